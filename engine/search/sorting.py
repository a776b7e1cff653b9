"""Hits in the order of a column; which ones were found stays as it was, and so do their ranks."""

from __future__ import annotations

from collections.abc import Sequence

from engine.storage.conditions import value_of
from engine.types import Hit

_Key = tuple[bool, float, str]


def sort_hits(hits: Sequence[Hit], column: str, *, descending: bool = False) -> tuple[Hit, ...]:
    """Return hits by what their items say in a column: numbers by size, then texts by their letters.

    Those that say nothing come last both ways, and those that say the same stay in the order they had.
    """
    told = [hit for hit in hits if value_of(hit.item, column) is not None]
    rest = [hit for hit in hits if value_of(hit.item, column) is None]
    return (*sorted(told, key=lambda hit: _key(hit, column), reverse=descending), *rest)


def _key(hit: Hit, column: str) -> _Key:
    value = value_of(hit.item, column)
    return (True, 0.0, value.casefold()) if isinstance(value, str) else (False, float(value or 0), "")
