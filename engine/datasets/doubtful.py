"""Files that are likely not to be read, told by their names and sizes before they are; opens nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from engine.datasets.entries import Entry
from engine.datasets.same_names import is_picture
from engine.media.plain_text import SUFFIXES
from engine.text import clean_name

_SHOWN = 3


def doubts(entries: Iterable[Entry]) -> list[str]:
    """Say of files, tables not among them, which are empty and which are called like nothing that is read."""
    empty, other = [], []
    for one in entries:
        if not one.size_bytes:
            empty.append(one)
        elif not is_picture(one.path) and posixpath.splitext(one.path)[1].lower() not in SUFFIXES:
            other.append(one)
    found = []
    if other:
        does, tried = "files do not look like pictures, texts or tables by their names", "each"
        if len(other) == 1:
            does, tried = "file does not look like a picture, text or table by its name", "it"
        found.append(
            f"{len(other):,} {does} ({_names(other)}): {tried} is tried, and named if it cannot be read."
        )
    if empty:
        some = "file is" if len(empty) == 1 else "files are"
        found.append(f"{len(empty):,} {some} empty ({_names(empty)}).")
    return found


def _names(entries: Sequence[Entry]) -> str:
    some = ", ".join(clean_name(one.path) for one in entries[:_SHOWN])
    return f"{some}, …" if len(entries) > _SHOWN else some
