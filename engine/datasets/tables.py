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
    cells are text, but those of this column are numbers.
    """

    entry: Entry
    kind: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[tuple[int, Row | str]]] = field(repr=False)
    notes: tuple[str, ...] = ()
    value: Callable[[str, object], object] = field(repr=False, default=lambda column, cell: cell)

    @property
    def folder(self) -> str:
        """Return the folder in which the table lies, "" for the root."""
        return posixpath.dirname(self.entry.path)


def may_be_table(path: str) -> bool:
    """Tell by its name whether a file is a table, or a document that may be one."""
    return posixpath.splitext(path)[1].lower() in _READERS


def open_table(entry: Entry) -> Table | None:
    """Return the table in a file, or None where it is a document that lists nothing. Raises MediaError."""
    return _READERS[posixpath.splitext(entry.path)[1].lower()](entry)


def _csv(entry: Entry) -> Table | None:
    from engine.datasets.csv_tables import csv_table

    return csv_table(entry)


def _json_lines(entry: Entry) -> Table | None:
    from engine.datasets.json_tables import json_lines

    return json_lines(entry)


def _json_document(entry: Entry) -> Table | None:
    from engine.datasets.json_tables import json_document

    return json_document(entry)


# To read another kind of table, write a function of an entry and add its suffix here.
_READERS: dict[str, Callable[[Entry], Table | None]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_document,
}
