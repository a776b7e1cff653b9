"""A CSV of what belongs to vectors, row by row; its numbers are told from its texts as in a data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import ColumnChoice, TextColumns
from engine.vector_files.reading import Reading, used
from engine.vector_files.rows import RawRows, is_other
from engine.vector_files.source import Given, opened

_SEPARATORS = ",;\t"


class CsvTable:
    """A CSV with a header, in UTF-8, its columns parted by a comma, semicolon or tab; see `rows.Table`.

    Raises VectorFileError where it cannot be read, or a row has another number of cells than the header.
    """

    dim, numbers = 0, ""

    def __init__(self, given: Given, name: str, reading: Reading, roles: Collection[str]) -> None:
        self._given, self._name = given, name
        self._kinds = TextColumns()
        self.total = 0
        with self._opened() as rows:
            self._header = header = next(rows, [])
            for row in rows:
                self._kinds.see(dict(zip(header, row, strict=True)))
                self.total += 1
        twice = {column for column in header if header.count(column) > 1}
        self.types = dict.fromkeys(header, "text")
        found = used(list(self.types), reading, lambda role, column: True, roles=roles)
        self.used = found.columns
        again = (f"the column {one} is there twice. Leave one of them out" for one in sorted(twice))
        self.problems = (*found.problems, *again)
        self.others = ColumnChoice()
        for column in self.types:
            if is_other(column, header, self.used.values()):
                self.others.add(column)

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        place = {column: number for number, column in enumerate(self._header)}
        with self._opened() as lines:
            next(lines)
            first = 1
            while some := list(islice(lines, rows)):
                cells = {role: [row[place[one]] for row in some] for role, one in self.used.items()}
                said = {
                    kept: [self._kinds.read(one, row[place[one]]) for row in some]
                    for one, kept in self.others.names.items()
                }
                none = np.zeros((len(some), 0), np.float32)
                yield RawRows(first, none, np.zeros(len(some), np.int64), cells, said)
                first += len(some)

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first values of every column. Raises VectorFileError."""
        with self._opened() as lines:
            header, some = next(lines, []), list(islice(lines, rows))
        return {column: [row[number] for row in some] for number, column in enumerate(header)}

    @contextmanager
    def _opened(self) -> Iterator[Iterator[list[str]]]:
        try:
            with opened(self._given) as stream:
                text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
                try:
                    yield self._rows(text)
                finally:
                    text.detach()  # an upload stays open
        except (OSError, ValueError, csv.Error) as error:
            raise VectorFileError(self._name, f"the CSV cannot be read: {error}.") from error

    def _rows(self, text: io.TextIOWrapper) -> Iterator[list[str]]:
        first = text.readline()
        separator = max(_SEPARATORS, key=first.count)
        reader = csv.reader(chain([first], text), delimiter=separator, strict=True)
        yield (header := next(reader, []))
        for number, row in enumerate(reader, 1):
            if row and len(row) != len(header):
                words = f"row {number:,} has {len(row):,} cells, and the header {len(header):,}"
                raise VectorFileError(self._name, f"the CSV cannot be read: {words}.")
            if row:
                yield row
