"""A table of a data set: rows that say something of files, whatever format they are written in."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.datasets.entries import Entry

MAX_TABLE_BYTES = 100_000_000
Row = Mapping[str, object]


@dataclass(frozen=True)
class Inside:
    """A picture that a cell of a table holds itself: what it is called, its size as far as it is known.

    `read(limit)` returns its bytes or raises MediaError, TooLargeError beyond so many.
    """

    name: str
    size_bytes: int
    read: Callable[[int], bytes] = field(repr=False)


@dataclass(frozen=True)
class Table:
    """Rows that say something of files; a column that names them is found by what it holds.

    `rows()` yields the number of each row (a line, from 1) and the row, or in words why it cannot be read,
    anew at every call. A cell holds plain values, lists or objects of them, or an `Inside`. `notes` say how
    it was read where that was a guess. `value(column, cell)` is what a cell says where all of a format's
    cells are text, but those of this column are numbers. `classes` are columns that the file itself says are
    names of classes. `unread` are columns whose cells no row has: each with what it holds, in words.
    """

    entry: Entry
    kind: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[tuple[int, Row | str]]] = field(repr=False)
    notes: tuple[str, ...] = ()
    value: Callable[[str, object], object] = field(repr=False, default=lambda column, cell: cell)
    classes: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Return the folder in which the table lies, "" for the root."""
        return posixpath.dirname(self.entry.path)
