"""A record's numbers come out by name: nested, of lists by what tells them apart, without its arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.report.numbers import numbers_of


@dataclass(frozen=True)
class Inner:
    name: str
    mean: float
    flag: bool = True


@dataclass(frozen=True)
class Outer:
    counts: np.ndarray = field(repr=False)
    values: tuple[float, ...]
    inner: Inner | None
    several: tuple[Inner, ...]
    by_k: dict[int, float]


def test_numbers_are_named_by_where_they_are():
    a, b = Inner("a", np.float64(0.5)), Inner("b", 0.25)
    assert numbers_of(Outer(np.zeros(3), (1.0, 2.0), a, (a, b), {5: np.float32(0.5)})) == {
        "inner.name": "a",
        "inner.mean": 0.5,
        "inner.flag": 1,
        "several.a.name": "a",
        "several.a.mean": 0.5,
        "several.a.flag": 1,
        "several.b.name": "b",
        "several.b.mean": 0.25,
        "several.b.flag": 1,
        "by_k.5": 0.5,
    }
    assert type(numbers_of(a)["mean"]) is float


def test_what_one_name_does_not_tell_apart_is_counted():
    same = (Inner("a", 0.5), Inner("a", 0.25))
    assert numbers_of(same, "rows") == {
        "rows.0.name": "a",
        "rows.0.mean": 0.5,
        "rows.0.flag": 1,
        "rows.1.name": "a",
        "rows.1.mean": 0.25,
        "rows.1.flag": 1,
    }
    assert numbers_of(None, "umap") == {"umap": None} and numbers_of(()) == {}
