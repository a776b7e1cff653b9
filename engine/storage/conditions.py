"""Conditions on columns as people write them, "width_px>=1000": read, checked, or refused in words.

Pure; which columns a collection has, and which items fulfil a condition, is for `matching.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from engine.errors import QueryError
from engine.media.metadata import PREFIX
from engine.text import clean_text
from engine.types import Condition, Filters, Item, Operator

Kind = Literal["number", "date", "truth", "text", "label"]
_ORDERED: tuple[Operator, ...] = ("=", "!=", ">=", "<=", ">", "<")
ALLOWED: dict[Kind, tuple[Operator, ...]] = {
    "number": _ORDERED,
    "date": _ORDERED,
    "truth": ("=", "!="),
    "text": ("=", "!=", "~"),
    "label": ("=", "!=", "~"),
}
FACTS: dict[str, Kind] = {  # what every collection has; all but "label" are fields of an item
    "name": "text",
    "caption": "text",
    "mime": "text",
    "label": "label",
    "width_px": "number",
    "height_px": "number",
    "size_bytes": "number",
    "start_seconds": "number",
    "added_at": "date",
}
MAX_CONDITIONS, MAX_CHARS = 20, 300
_OPERATORS = sorted(get_args(Operator), key=len, reverse=True)
_WRITTEN = re.compile(r"(.*?)\s*(>=|<=|!=|=|>|<|~)(.*)", re.DOTALL)
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?(Z|[-+]\d\d:?\d\d)?)?)?)?")
_DAY = re.compile(r"\d{4}-\d\d(?:$|-\d\d)")


def read_conditions(written: Iterable[str], kinds: Mapping[str, Kind]) -> tuple[Condition, ...]:
    """Return conditions as they are written, "COLUMN OPERATOR VALUE" each.

    kinds: the columns there are. An empty value is that of items which say nothing there: "split=" and
    "split!=" find those without a split, and those with one. Raises QueryError that names the columns, or
    the operators of the column, or what a value must look like.
    """
    found = [_read(clean_text(one)[: MAX_CHARS + 1], kinds) for one in written]
    if len(found) > MAX_CONDITIONS:
        raise QueryError(f"At most {MAX_CONDITIONS} conditions are taken, not {len(found):,}.")
    return tuple(dict.fromkeys(found))


def check_filters(filters: Filters, kinds: Mapping[str, Kind]) -> None:
    """Raise QueryError where a filter asks for a column there is not, or compares it as it cannot be."""
    for one in filters.of_columns:
        check_column(one.column, kinds)
        _check(one, kinds[one.column])


def check_column(name: str, kinds: Mapping[str, Kind]) -> str:
    """Return the name of a column, or raise QueryError with those there are."""
    if name in kinds:
        return name
    raise QueryError(f"No item here has the column {name[:60]!r}. There are: {', '.join(kinds)}.")


def is_date(text: str) -> bool:
    """Tell whether a text is a date in ISO 8601, down to the month at least."""
    return bool(_DAY.match(text) and _DATE.fullmatch(text))


def as_number(text: str) -> int | float | None:
    """Return the number that a text is, or None."""
    for made in (int, float):
        try:
            number = made(text.replace("_", "x"))  # Python would read 1_000
        except ValueError:
            continue
        return number if number == number else None  # nan is no number to compare with
    return None


def value_of(item: Item, column: str) -> str | int | float | bool | None:
    """Return what an item says in a column: a fact, or metadata; None where it says nothing."""
    if column == "label":
        return ", ".join(item.labels) or None
    if column in FACTS:
        value = getattr(item, column)
        return None if value == "" else value
    return dict(item.metadata).get(metadata_name(column))


def metadata_name(column: str) -> str:
    """Return what a column of the data is called in an item's metadata: the facts' own names are taken."""
    return column.removeprefix(PREFIX)


def _read(written: str, kinds: Mapping[str, Kind]) -> Condition:
    if len(written) > MAX_CHARS:
        raise QueryError(f"A condition has at most {MAX_CHARS} characters; this one begins {written[:40]!r}.")
    # A name may hold an operator itself, so that those there are go first, the longest before its beginning.
    for name in sorted(kinds, key=len, reverse=True):
        rest = written.removeprefix(name).lstrip() if written.startswith(name) else ""
        operator = next((one for one in _OPERATORS if rest.startswith(one)), None)
        if operator:
            return _check(Condition(name, operator, rest.removeprefix(operator).strip()), kinds[name])
    split = _WRITTEN.fullmatch(written)
    if not split or not split[1]:
        raise QueryError(
            f"{written!r} is no condition. Write a column, one of {' '.join(_OPERATORS)} and a value, as in "
            f"width_px>=1000."
        )
    check_column(split[1], kinds)
    raise AssertionError("a column there is was read above")


def _check(condition: Condition, kind: Kind) -> Condition:
    name, operator, value = condition.column, condition.operator, condition.value
    if operator not in ALLOWED[kind]:
        raise QueryError(
            f"{name} holds {_HOLDS[kind]}, which are compared by {' '.join(ALLOWED[kind])}, and not by "
            f"{operator}."
        )
    if not value:
        if operator not in ("=", "!="):
            raise QueryError(f"{name}{operator} wants a value to compare with.")
    elif kind == "number" and as_number(value) is None:
        raise QueryError(f"{name} holds numbers, and {value[:60]!r} is none: write one as 1000 or 0.5.")
    elif kind == "date" and not _DATE.fullmatch(value):
        raise QueryError(
            f"{name} holds dates, and {value[:60]!r} is none: write one as 2024, 2024-05, 2024-05-31 or "
            f"2024-05-31T12:00."
        )
    elif kind == "truth" and value.lower() not in ("true", "false"):
        raise QueryError(f"{name} is true or false, not {value[:60]!r}.")
    return condition


_HOLDS: dict[Kind, str] = {
    "number": "numbers",
    "date": "dates",
    "truth": "true or false",
    "text": "texts",
    "label": "labels",
}
