"""One column of the items of one modality, kept so that a condition on 100,000 of them takes no time; pure.

Where its values come from is for `matching.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from engine.storage.conditions import Kind, as_number
from engine.types import Condition, Operator

_COMPARED: dict[Operator, Callable[[np.ndarray, int | float], np.ndarray]] = {
    "=": np.equal,
    "!=": np.not_equal,
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
}


class FilterColumn(Protocol):
    """The values of n items in one column."""

    def passing(self, condition: Condition) -> np.ndarray:
        """Return which rows fulfil a condition that the column allows: (n,) bool."""

    def said(self) -> list[tuple[str, int]]:
        """Return the different values as a condition writes them, each with how many rows have it."""


@dataclass(frozen=True)
class NumberColumn:
    """Numbers: values (n,) int64 or float64, and there (n,) bool, False where a row has none."""

    values: np.ndarray = field(repr=False)
    there: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, given: Sequence[int | float | None]) -> NumberColumn:
        """Return a column of numbers as they come; None where a row has none."""
        there = np.array([one is not None for one in given], bool)
        # A float would round whole numbers of more than 53 bits.
        whole = all(isinstance(one, int) for one in given if one is not None)
        return cls(np.array([one or 0 for one in given], np.int64 if whole else np.float64), there)

    def passing(self, condition: Condition) -> np.ndarray:
        """Return which rows fulfil a condition: (n,) bool."""
        number = as_number(condition.value)
        if number is None:  # an empty value, that of rows without any
            return ~self.there if condition.operator == "=" else self.there
        found = _COMPARED[condition.operator](self.values, number)
        return found | ~self.there if condition.operator == "!=" else found & self.there

    def said(self) -> list[tuple[str, int]]:
        """Return the different numbers in their order, each with how many rows have it."""
        values, counts = np.unique(self.values[self.there], return_counts=True)
        return [(f"{one}", count) for one, count in zip(values.tolist(), counts.tolist(), strict=True)]


@dataclass(frozen=True)
class TextColumn:
    """Texts, dates or truths: row i has `values[codes[i]]`, codes (n,) int32, -1 for none; values sorted."""

    kind: Kind
    codes: np.ndarray = field(repr=False)
    values: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, kind: Kind, given: Sequence[str | None]) -> TextColumn:
        """Return a column of texts as they come; None or an empty one where a row has none."""
        if kind == "date":
            given = [one and one.replace(" ", "T") for one in given]
        values = tuple(sorted({one for one in given if one}))
        place = {value: code for code, value in enumerate(values)}
        return cls(kind, np.array([place[one] if one else -1 for one in given], np.int32), values)

    def passing(self, condition: Condition) -> np.ndarray:
        """Return which rows fulfil a condition: (n,) bool."""
        there, value = self.codes >= 0, condition.value
        if not value:
            return ~there if condition.operator == "=" else there
        if condition.operator == "~":
            part = value.casefold()
            return _of_codes(self.codes, [part in one.casefold() for one in self.values])
        low, high = self._range(value.lower() if self.kind == "truth" else value)
        if condition.operator == "!=":
            return (self.codes < low) | (self.codes >= high)
        bounds = {"=": (low, high), ">=": (low, None), ">": (high, None), "<=": (0, high), "<": (0, low)}
        start, end = bounds[condition.operator]
        return (self.codes >= start) & (there if end is None else self.codes < end)

    def _range(self, value: str) -> tuple[int, int]:
        """Return where the values that equal one begin and end; a date equals its own beginnings too."""
        if self.kind != "date":
            return bisect_left(self.values, value), bisect_right(self.values, value)
        wanted = value.replace(" ", "T")

        def begins(one: str) -> str:
            return one[: len(wanted)]

        return bisect_left(self.values, wanted, key=begins), bisect_right(self.values, wanted, key=begins)

    def said(self) -> list[tuple[str, int]]:
        """Return the different texts in their order, each with how many rows have it."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).tolist()
        return list(zip(self.values, counts, strict=True))


@dataclass(frozen=True)
class LabelColumn:
    """Labels: row i has all of `values[codes[i]]`; codes (n,) int32."""

    codes: np.ndarray = field(repr=False)
    values: tuple[tuple[str, ...], ...] = field(repr=False)

    @classmethod
    def of(cls, given: Iterable[tuple[str, ...]]) -> LabelColumn:
        """Return a column of the labels of every row."""
        place: dict[tuple[str, ...], int] = {}
        codes = [place.setdefault(one, len(place)) for one in given]
        return cls(np.array(codes, np.int32), tuple(place))

    def passing(self, condition: Condition) -> np.ndarray:
        """Return which rows fulfil a condition: (n,) bool."""
        value, part = condition.value, condition.value.casefold()
        if not value:
            has = [bool(labels) for labels in self.values]
            return _of_codes(self.codes, [one != (condition.operator == "=") for one in has])
        if condition.operator == "~":
            return _of_codes(
                self.codes, [any(part in one.casefold() for one in some) for some in self.values]
            )
        found = _of_codes(self.codes, [value in labels for labels in self.values])
        return found if condition.operator == "=" else ~found

    def said(self) -> list[tuple[str, int]]:
        """Return the different labels in their order, each with how many rows have it."""
        counts: dict[str, int] = {}
        rows = np.bincount(self.codes, minlength=len(self.values)).tolist()
        for labels, count in zip(self.values, rows, strict=True):
            for one in labels:
                counts[one] = counts.get(one, 0) + count
        return sorted(counts.items())


def passing_all(conditions: Sequence[Condition], column: Callable[[str], FilterColumn], n: int) -> np.ndarray:
    """Return which of n rows fulfil conditions: (n,) bool.

    All must hold, but several that want one column to equal something are alternatives. `column` gives the
    column of a name.
    """
    found = np.ones(n, bool)
    wanted: dict[str, np.ndarray] = {}
    for one in conditions:
        passing = column(one.column).passing(one)
        if one.operator == "=":
            wanted[one.column] = wanted[one.column] | passing if one.column in wanted else passing
        else:
            found &= passing
    for passing in wanted.values():
        found &= passing
    return found


def _of_codes(codes: np.ndarray, holds: Sequence[bool]) -> np.ndarray:
    """Return for every code (n,) whether its value holds; -1, none, does not: (n,) bool."""
    return np.append(np.array(holds, bool), False)[codes]
