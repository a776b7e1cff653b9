"""A Parquet file as a table: with pictures in its rows, or of files that lie beside it."""

from __future__ import annotations

import itertools
import posixpath
import re
import weakref
from collections.abc import Iterator
from functools import partial

from engine.datasets.columns import ID_NAMES, NAME_COLUMN, file_columns, plain_column
from engine.datasets.entries import Entry
from engine.datasets.folders import split_of
from engine.datasets.parquet import Cells, ParquetFile
from engine.datasets.parquet_bytes import Stretches
from engine.datasets.tables import Inside, Row, Table
from engine.errors import UnreadableMediaError

_SHARD = re.compile(r"(.+?)[-_.]\d{4,6}[-_]of[-_]\d{4,6}")
_NUMBERS = "lists of numbers"
_OTHERS = "nested values, sounds or bytes of no picture"
_WEAK = {*ID_NAMES, "name"}
_TEXT = "text"
_STRETCHES = Stretches()  # one for all files of the process: its memory does not grow with their number
_numbers = itertools.count()


def parquet_table(entry: Entry) -> Table:
    """Return the table in a Parquet file. Raises MediaError, also for one of vectors alone."""
    file = ParquetFile(entry)
    names_files = any(plain_column(name) not in _WEAK for name in file_columns(file.columns))
    if file.vectors and not file.pictures and not names_files:
        raise UnreadableMediaError(
            f"It holds vectors (column {file.vectors[0]}) and no pictures: use “Add vectors” on the Library "
            f"page, or `python -m engine import`."
        )
    is_ours = NAME_COLUMN in file.columns and bool(file.pictures)
    split = "" if "split" in file.schema.names else _split_of(entry.path)
    columns = [name for name in file.schema.names if not (is_ours and name == _TEXT)]
    return Table(
        entry,
        f"Parquet, {file.total:,} rows",
        (*columns, "split") if split else tuple(columns),
        _Rows(file, split, is_ours=is_ours).all,
        classes=tuple(file.classes),
        unread={**dict.fromkeys(file.vectors, _NUMBERS), **dict.fromkeys(file.others, _OTHERS)},
    )


class _Rows:
    """The rows of a file, with every picture as what is read later."""

    def __init__(self, file: ParquetFile, split: str, *, is_ours: bool) -> None:
        self._file, self._is_ours = file, is_ours
        self._more = {"split": split} if split else {}
        self._stem = posixpath.splitext(posixpath.basename(file.entry.path))[0]
        self._number = next(_numbers)
        weakref.finalize(self, _STRETCHES.forget, self._number)

    def all(self) -> Iterator[tuple[int, Row | str]]:
        """Yield the number of each row, from 1, and the row."""
        for row in self._file.rows():
            cells = {**row.cells, **self._more}
            for name in row.pictures:
                cells[name] = self._picture(row, name)
            if self._is_ours and (text := cells.pop(_TEXT, None)):
                cells[self._file.pictures[0]] = self._text(str(text), row.number)
            yield row.number + 1, cells

    def _picture(self, row: Cells, name: str) -> Inside | str:
        """Return a picture in the row, or the name of the file it is in; "" for none."""
        path, inside = row.pictures[name]
        if not inside:
            return path
        size = self._file.mean_bytes(name, self._file.place_of(row.number)[0])
        called = path or f"{self._stem}/{row.number + 1:06d}"
        return Inside(called, size, partial(self._read, name, row.number))

    def _read(self, name: str, number: int, max_bytes: int) -> bytes:
        file = self._file
        leaf, place = file.bytes_column(name), file.place_of(number)
        return _STRETCHES.read(self._number, file.entry, leaf, *place, max_bytes)

    def _text(self, text: str, number: int) -> Inside:
        """Return a text of its own, as an export has it, which has no picture."""
        data = text.encode()
        return Inside(f"{self._stem}/{number + 1:06d}.txt", len(data), lambda max_bytes: data)


def _split_of(path: str) -> str:
    """Return the split that a file's name tells: `train` of `data/train-00000-of-00002.parquet`; else ""."""
    folder, base = posixpath.split(path)
    stem = posixpath.splitext(base)[0]
    if found := _SHARD.fullmatch(stem):
        return found[1]
    return split_of(stem) or split_of(posixpath.basename(folder).removeprefix("partial-"))
