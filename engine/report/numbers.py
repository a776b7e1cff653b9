"""The numbers of a record by name, whatever it is made of: what a view showed, flat; measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from engine.report.view_file import Number


def numbers_of(record: Any, name: str = "") -> dict[str, Number]:
    """Return all numbers and words of a dataclass, a mapping or a sequence of these, nested names with dots.

    Those of a sequence are named by their first field where that tells them apart, else counted from 0.
    Arrays and sequences of bare values are left out: they are drawn, and in the data of the figures.
    """
    return dict(_flat(record, name))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Number]]:
    if isinstance(value, int | np.integer | np.bool_):
        yield name, int(value)
    elif isinstance(value, float | np.floating):
        yield name, float(value)
    elif value is None or isinstance(value, str):
        yield name, value
    else:
        for key, one in _parts(value):
            yield from _flat(one, f"{name}.{key}" if name else str(key))


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if is_dataclass(value):
        yield from ((one.name, getattr(value, one.name)) for one in fields(value))
    elif isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple) and value and all(is_dataclass(one) for one in value):
        yield from zip(_names(value), value, strict=True)


def _names(records: Sequence[Any]) -> list[Any]:
    first = [getattr(one, fields(one)[0].name) for one in records]
    told = len(set(map(str, first))) == len(first) and all(isinstance(one, str) for one in first)
    return first if told else list(range(len(first)))
