"""A cell of a table into captions or labels: lists however they were written, and no words for NaN; pure."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping

from engine.text import clean_text

MAX_CAPTION_CHARS = 2_000
MAX_LABEL_CHARS = 100
NO_TEXT = "the caption is not text"
CUT = f"the caption is longer than {MAX_CAPTION_CHARS:,} characters and was cut"
CUT_LABEL = f"the label is longer than {MAX_LABEL_CHARS} characters and was cut"
MORE_CELLS = "there are more cells than columns, and what stands beyond them was left out"
_NOTHING = {"", "nan", "null", "<na>", "nat"}
_NO_WORDS = {*_NOTHING, "none", "n/a"}  # as a label "none" may be a class
_MAX_LIST_CHARS = 100_000
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_NUMPY = re.compile(rf"\[\s*{_QUOTED}(?:\s+{_QUOTED})*\s*\]")  # an array's own text, without commas
# What data sets call the words of one caption among several, and the name of one label.
_WORDS = ("raw", "caption", "text", "sentence", "value")
_NAMES = ("name", "label", "category", "class")
_COMMAS = ("tags", "tag", "keywords")  # a label may hold a comma ("tench, Tinca tinca"), a tag does not


def is_nothing(value: object, words: set[str] = _NOTHING) -> bool:
    """Tell whether a cell says nothing: empty, null, NaN, or one of these words."""
    if isinstance(value, str):
        return len(value) < 8 and value.strip().lower() in words
    return value is None or (isinstance(value, float) and math.isnan(value))


def texts_in(value: object, column: str = "") -> tuple[list[str], list[str]]:
    """Return the captions of a cell, cleaned, in order, and in words what could not be taken as it is."""
    found: list[str] = []
    problems: list[str] = []
    for one in _flat(value, _WORDS):
        if not isinstance(one, str):
            problems.append(NO_TEXT)
            continue
        text = "" if is_nothing(one, _NO_WORDS) else clean_text(one)
        if len(text) > MAX_CAPTION_CHARS:
            problems.append(CUT)
            text = text[:MAX_CAPTION_CHARS].strip()
        if text:
            found.append(text)
    return found, problems


def labels_in(value: object, column: str = "") -> tuple[list[str], list[str]]:
    """Return the labels of a cell, cleaned, and in words what was cut; text holds several between ";".

    0 is a label too: class numbers start there.
    """
    found: list[str] = []
    problems: list[str] = []
    separator = "[;,]" if column.strip().lower() in _COMMAS else ";"
    for one in _flat(value, _NAMES):
        for part in re.split(separator, one) if isinstance(one, str) else [str(one)]:
            label = clean_text(part)
            if len(label) > MAX_LABEL_CHARS:
                problems.append(CUT_LABEL)
            if label:
                found.append(label[:MAX_LABEL_CHARS])
    return found, problems


def as_list(text: str) -> list[object] | None:
    """Return the list of texts that some text writes, as JSON, Python or NumPy do; None where it is none."""
    written = text.strip()
    if not (written.startswith("[") and written.endswith("]")) or len(written) > _MAX_LIST_CHARS:
        return None
    if _NUMPY.fullmatch(written):
        return [ast.literal_eval(one) for one in re.findall(_QUOTED, written)]
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(written)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        # "[1]" or "[unclear]" may be words of a caption
        plain = isinstance(found, list) and all(one is None or isinstance(one, str) for one in found)
        return found if plain else None
    return None


def _flat(value: object, keys: tuple[str, ...]) -> Iterator[object]:
    """Yield what a cell holds, one by one; of an object the part that is called by one of these keys."""
    if is_nothing(value):
        return
    if isinstance(value, str):
        listed = as_list(value) if value.lstrip()[:1] == "[" else None
        if listed is None:
            yield value
        else:
            for one in listed:
                yield from _flat(one, keys)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one, keys)
    elif isinstance(value, Mapping):
        yield next((value[key] for key in keys if not is_nothing(value.get(key))), value)
    else:
        yield value
