"""What other columns of a data set say about an item: names and values cleaned and bounded; pure.

Values come from strangers' files. What has no plain value (nested, binary, NaN, nothing) is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from functools import lru_cache
from typing import Any

from engine.text import clean_text
from engine.types import Metadata

MAX_COLUMNS = 32
MAX_NAME_CHARS = 60
MAX_TEXT_CHARS = 200
KINDS = ("text", "whole", "real", "truth")  # what an exported column may hold
PREFIX = "meta."  # with a dot no key is one of Item's fields, nor a name one of an import's columns
_INT64 = 2**63
LARGEST_EXACT = 2**53  # up to which every whole number has a float of its own
_JSON_TYPES = {str: "text", int: "integer", float: "real", bool: "true"}  # as SQLite calls them
_NOTHING = ("", "nan")
_WRITTEN = {
    "truth": re.compile("true|false", re.IGNORECASE),
    "whole": re.compile("-?(0|[1-9][0-9]{0,17})"),  # 007 is a name
    "real": re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE),
}
_FRACTION = re.compile(r"\.([0-9]*?)0*(?=$|Z|[-+])")
_NAMED = 8  # columns that a note names


@lru_cache(4_096)  # asked for every row
def column_name(given: str) -> str:
    """Return a column's name on one line, without our prefix; empty where nothing is left of it."""
    name = " ".join(clean_text(given).split())
    while name.startswith(PREFIX):
        name = name.removeprefix(PREFIX).strip()
    name = name[:MAX_NAME_CHARS].strip()
    return name if name.strip("\u200c\u200d ") else ""


def cleaned_value(given: Any) -> str | int | float | bool | None:
    """Return a value that can be kept, or None for what says nothing or is not plain.

    A whole number beyond 64 bits becomes text, which keeps every digit; a date becomes ISO text.
    """
    if isinstance(given, bool):
        return given
    if isinstance(given, int):
        return given if -_INT64 <= given < _INT64 else _text(_digits(given))
    if isinstance(given, float):
        return float(given) if math.isfinite(given) else None
    if isinstance(given, date | time):
        return given.isoformat()
    return _text(given) if isinstance(given, str) else None


def metadata_of(given: Iterable[tuple[str, Any]]) -> Metadata:
    """Return names and values that can be kept, sorted by name; the first of two names is kept."""
    found: dict[str, str | int | float | bool] = {}
    for raw, value in given:
        name, kept = column_name(raw), cleaned_value(value)
        if name and kept is not None and len(found) < MAX_COLUMNS:
            found.setdefault(name, kept)
    return tuple(sorted(found.items()))


class ColumnChoice:
    """Chooses the columns of one file that are kept, as they come; `left` are the others.

    `names` maps what a column is called in the file to its name here. Left out is what has no readable name,
    or one that is there already, or comes after MAX_COLUMNS others.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._left: dict[str, None] = {}
        self._here: set[str] = set()

    @property
    def left(self) -> tuple[str, ...]:
        """Return the columns that are not kept, as the file calls them."""
        return tuple(self._left)

    def leave(self, given: str) -> None:
        """Note a column that cannot be kept."""
        self._left[given] = None

    def add(self, given: str) -> str:
        """Return the name of a column, or an empty one where it is left out."""
        if given in self.names or given in self._left:
            return self.names.get(given, "")
        name = column_name(given)
        if not name or name in self._here or len(self.names) == MAX_COLUMNS:
            self.leave(given)
            return ""
        self._here.add(name)
        self.names[given] = name
        return name


class TextColumns:
    """Finds which columns of a CSV hold numbers or truths in every cell that says something."""

    def __init__(self) -> None:
        self._fitting: dict[str, dict[str, re.Pattern[str]]] = {}

    def see(self, row: Mapping[str, Any]) -> None:
        """Take the cells of one row into account."""
        for column, cell in row.items():
            fitting = self._fitting.setdefault(column, dict(_WRITTEN))
            if fitting and isinstance(cell, str) and (text := cell.strip()).lower() not in _NOTHING:
                self._fitting[column] = {one: rule for one, rule in fitting.items() if rule.fullmatch(text)}

    def read(self, column: str, cell: Any) -> Any:
        """Return a cell as what its column holds; None where it says nothing."""
        kind = next(iter(self._fitting.get(column, ())), "text")
        if kind == "text" or not isinstance(cell, str):
            return cell
        text = cell.strip().lower()
        if text in _NOTHING:
            return None
        return text == "true" if kind == "truth" else int(text) if kind == "whole" else float(text)


def left_out(names: Iterable[str]) -> str:
    """Say which columns of a file were not read, and why; empty where all were."""
    shown = [column_name(name) or "(no name)" for name in names]
    if not shown:
        return ""
    more = f" and {len(shown) - _NAMED:,} more" if len(shown) > _NAMED else ""
    words = "1 column was" if len(shown) == 1 else f"{len(shown):,} columns were"
    return (
        f"{words} left out: {', '.join(shown[:_NAMED])}{more}. At most {MAX_COLUMNS} are kept, each with a "
        f"name of its own, of texts, numbers, true or false, or dates."
    )


def to_keys(metadata: Metadata) -> dict[str, str | int | float | bool]:
    """Return metadata under keys that no field of Item has, for a flat store."""
    return {f"{PREFIX}{name}": value for name, value in metadata}


def from_keys(keys: Mapping[str, Any]) -> Metadata:
    """Return the metadata among the keys of a flat store."""
    found = ((key.removeprefix(PREFIX), value) for key, value in keys.items() if key.startswith(PREFIX))
    return tuple(sorted(found))


def file_name(name: str, taken: Iterable[str]) -> str:
    """Return what a column is called in an exported file, whose own columns are `taken`."""
    return f"{PREFIX}{name}" if name in taken else name


def kind_of(json_types: Iterable[str]) -> str:
    """Return of which of KINDS a column is, from the JSON types of its values; text where they differ."""
    types = set(json_types)
    fitting = {"truth": {"true", "false"}, "whole": {"integer", "long"}, "real": {"real", "integer"}}
    return next((kind for kind, known in fitting.items() if types <= known), "text")


def kinds_of(items: Iterable[Metadata]) -> dict[str, str]:
    """Return the names in the metadata of some items, sorted, each with which of KINDS its column is."""
    types: dict[str, set[str]] = {}
    for name, value in (pair for metadata in items for pair in metadata):
        types.setdefault(name, set()).add(_json_type(value))
    return {name: kind_of(found) for name, found in sorted(types.items())}


def _json_type(value: str | float | bool) -> str:
    is_long = type(value) is int and abs(value) > LARGEST_EXACT
    return "long" if is_long else _JSON_TYPES[type(value)]


def as_kind(value: Any, kind: str) -> Any:
    """Return a value as a column of one of KINDS holds it; None stays."""
    made = {"text": str, "whole": int, "real": float, "truth": bool}
    return None if value is None else made[kind](value)


def iso(written: str) -> str:
    """Return a point of time as Arrow and NumPy write it, in ISO 8601, without zeros that say nothing."""
    joined = "T".join(written.split(" ", 1))
    return _FRACTION.sub(lambda found: f".{found[1]}" if found[1] else "", joined)


def disagreement(one: Metadata, other: Metadata) -> bool:
    """Tell whether two say different things under one name; 3 and 3.0 and "3" are the same."""
    said = dict(other)
    return any(name in said and value != said[name] and str(value) != str(said[name]) for name, value in one)


def _text(given: str) -> str | None:
    return clean_text(given[: 10 * MAX_TEXT_CHARS])[:MAX_TEXT_CHARS].strip() or None


def _digits(given: int) -> str:
    # Python refuses to write more than 4,300 digits; more than MAX_TEXT_CHARS are never kept.
    return str(given) if given.bit_length() < 8 * MAX_TEXT_CHARS else ""
