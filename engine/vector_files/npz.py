"""Vectors in NPZ, read a page at a time and never unpickled.

Writing keeps the texts in memory, but not the vectors.
"""

from __future__ import annotations

import io
import math
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import LARGEST_EXACT, MAX_COLUMNS, ColumnChoice, as_kind, file_name
from engine.vector_files.arrays import ERRORS, Array, as_floats, reading_arrays, values_of
from engine.vector_files.reading import Reading, used
from engine.vector_files.rows import TAKEN, RawRows, VectorRow, is_other
from engine.vector_files.source import Given, opened

MAGIC = b"PK"
_MAX_ROW_BYTES = 1 << 20  # of one array: NumPy gives every text the room of the longest
_MAX_OTHER_ROW_BYTES = 1 << 14  # of an array of metadata: with 32 of them, half a GB a page
_MAX_TEXT_BYTES = 1 << 30  # of one written array
_COPIED_BYTES = 1 << 20
_WANTED = {
    "vector": "numbers of shape (n, d)",
    "label": "text (dtype str) of shape (n,) or (n, m)",
    "text": "text (dtype str) of shape (n,)",
}


class NpzTable:
    """An NPZ of vectors; see `rows.Table`. Raises VectorFileError where it cannot be read."""

    def __init__(self, given: Given, name: str, reading: Reading) -> None:
        self._given, self._name = given, name
        self._arrays: dict[str, Array] = {}
        self._unreadable: dict[str, str] = {}
        with self._opened() as archive:
            for member in dict.fromkeys(archive.namelist()):
                if member.endswith(".npy"):
                    self._look_at(archive, member.removesuffix(".npy"))
        names = [*self._arrays, *self._unreadable]
        self.types = {one: self._words(one) for one in names}
        found = used(names, reading, self._fits)
        self.used = found.columns
        self.total = next((self._rows(one) for one in self.used.values()), 0)  # of id, the first column
        self.problems = (*found.problems, *filter(None, map(self._fault, self.used)))
        self.dim, self.numbers = 0, ""
        if "vector" in self.used and not self.problems:
            vectors = self._arrays[self.used["vector"]]
            self.dim, self.numbers = vectors.shape[1], str(vectors.dtype)
        self.others = self._chosen(names)

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        with self._streams([*self.used.values(), *self.others.names]) as arrays:
            for start in range(0, self.total, rows):
                count = min(rows, self.total - start)
                taken = {name: array.take(count) for name, array in arrays.items()}
                yield RawRows(
                    start + 1,
                    as_floats(taken[self.used["vector"]]),
                    np.full(count, self.dim),
                    {role: taken[name].tolist() for role, name in self.used.items() if role != "vector"},
                    {kept: values_of(taken[name]) for name, kept in self.others.names.items()},
                )

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first values of every array that can be read. Raises VectorFileError."""
        plain = [
            name for name, one in self._arrays.items() if one.dtype.kind in "USiufbM" and not one.fortran
        ]
        fits = [name for name in plain if self._arrays[name].row_bytes <= _MAX_ROW_BYTES]
        with self._streams(fits) as arrays:
            return {name: array.take(min(rows, array.shape[0])).tolist() for name, array in arrays.items()}

    def _look_at(self, archive: zipfile.ZipFile, name: str) -> None:
        with archive.open(f"{name}.npy") as stream:
            try:
                self._arrays[name] = Array(stream)
            except ERRORS as error:
                self._unreadable[name] = " ".join(str(error).split())[:200]

    def _rows(self, name: str) -> int:
        return int(self._arrays[name].shape[0]) if name in self._arrays else 0

    def _words(self, name: str) -> str:
        array = self._arrays.get(name)
        return f"{array.dtype} of shape {array.shape}" if array else "not readable"

    def _chosen(self, names: Sequence[str]) -> ColumnChoice:
        """Return which other arrays become metadata; one that cannot be read is left out."""
        choice = ColumnChoice()
        for name in names:
            if is_other(name, names, self.used.values()):
                if len(choice.names) < MAX_COLUMNS and self._is_plain(name):
                    choice.add(name)
                else:
                    choice.leave(name)
        return choice

    def _is_plain(self, name: str) -> bool:
        array = self._arrays.get(name)
        if array is None or array.shape != (self.total,):
            return False
        return array.dtype.kind in "UiufbM" and array.row_bytes <= _MAX_OTHER_ROW_BYTES

    def _fits(self, role: str, name: str) -> bool:
        array = self._arrays.get(name)
        if array is None:
            return False
        kind, dimensions = array.dtype.kind, len(array.shape)
        if role == "vector":
            return kind in "fiu" and dimensions == 2
        if role == "label":
            return kind in "Uiu" and dimensions in (1, 2)
        return kind in ("USiu" if role in ("id", "pair") else "U") and dimensions == 1

    def _fault(self, role: str) -> str:
        """Return in words what is wrong with an array that is used; empty where nothing is."""
        column = self.used[role]
        array = self._arrays.get(column)
        if array is None:
            return f"the array {column} cannot be read: {self._unreadable[column]}"
        if not self._fits(role, column):
            objects = "holds Python objects, which are never read: they could run code. Save it as"
            found = f"is {self.types[column]}; it must be"
            problem = objects if array.dtype.kind == "O" else found
            return f"the array {column} {problem} {_WANTED.get(role, _WANTED['text'])}"
        if array.shape[0] != self.total:
            words = (
                f"the array {column} has {array.shape[0]:,} rows, but {next(iter(self.used.values()))} has"
            )
            return f"{words} {self.total:,}. Row i of every array belongs together"
        if array.fortran and len(array.shape) == 2:
            words = f"the array {column} is in Fortran order"
            return f"{words}; save np.ascontiguousarray({column}) instead"
        if array.row_bytes > _MAX_ROW_BYTES:
            words = f"the array {column} takes {array.row_bytes:,} bytes a row"
            return f"{words}; at most {_MAX_ROW_BYTES:,} are read"
        return ""

    @contextmanager
    def _streams(self, names: Iterable[str]) -> Iterator[dict[str, Array]]:
        with self._opened() as archive, ExitStack() as stack:
            streams = {
                name: stack.enter_context(archive.open(f"{name}.npy")) for name in dict.fromkeys(names)
            }
            yield {name: Array(stream) for name, stream in streams.items()}

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with reading_arrays(self._name, "NPZ"), opened(self._given) as stream, zipfile.ZipFile(stream) as one:
            yield one


class NpzWriter:
    """Writes rows with their vectors (n, dim) into an NPZ; vectors wait on the disk until it is closed.

    kinds are the columns of metadata, with what they hold (`metadata.KINDS`). An array has no empty cells: as
    in pandas, numbers and truths with gaps become floats with NaN; their values stay equal, and whole numbers
    too large for that become text.
    """

    def __init__(self, path: Path, dim: int, kinds: Mapping[str, str]) -> None:
        self._path, self._dim, self._kinds = path, dim, kinds
        self._vectors = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed by `discard`)
        self._rows: list[VectorRow] = []

    def write(self, rows: Sequence[VectorRow], vectors: np.ndarray) -> None:
        """Write n rows with their vectors (n, dim) float32."""
        self._rows += rows
        self._vectors.write(np.ascontiguousarray(vectors, "<f4").tobytes())

    def close(self) -> None:
        """Put the arrays together. Raises VectorFileError where the texts would take too much room."""
        with zipfile.ZipFile(self._path, "w", allowZip64=True) as archive:
            for column in ("item", "id", "modality", "text", "pair", "name"):
                self._add(archive, column, [getattr(row, column) for row in self._rows])
            most = max((len(row.labels) for row in self._rows), default=0)
            if most:
                padded = [[*row.labels, *[""] * (most - len(row.labels))] for row in self._rows]
                self._add(archive, "label", padded if most > 1 else [row[0] for row in padded])
            said = [dict(row.metadata) for row in self._rows]
            for name, kind in self._kinds.items():
                values = [as_kind(one.get(name), kind) for one in said]
                self._add(archive, file_name(name, TAKEN), _array_of(values, kind))
            with archive.open("vector.npy", "w", force_zip64=True) as out:
                shape = (len(self._rows), self._dim)
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(out, header)
                self._vectors.seek(0)
                while data := self._vectors.read(_COPIED_BYTES):
                    out.write(data)

    def discard(self) -> None:
        """Let go of what it holds."""
        self._vectors.close()

    def _add(self, archive: zipfile.ZipFile, column: str, values: list[Any]) -> None:
        if column in ("text", "pair", "name") and not any(values):
            return
        first = next(iter(values), "")
        is_text = isinstance(first, str | list)
        if is_text:
            self._check_room(column, values, len(first) if isinstance(first, list) else 1)
        held = io.BytesIO()
        np.save(held, np.array(values, np.str_ if is_text else None), allow_pickle=False)
        archive.writestr(f"{column}.npy", held.getbuffer(), zipfile.ZIP_DEFLATED)

    def _check_room(self, column: str, values: list[Any], width: int) -> None:
        longest = max(len(text) for row in values for text in (row if isinstance(row, list) else [row]))
        if longest * 4 * width * len(values) > _MAX_TEXT_BYTES:
            words = (
                f"the array {column} would give each of {len(values):,} rows room for {longest:,} characters"
            )
            raise VectorFileError(self._path.name, f"{words}. Export to .parquet instead.")


def _array_of(values: list[Any], kind: str) -> list[Any]:
    """Return a column without gaps: text as it is, "" where there is none, numbers with NaN instead.

    Whole numbers that a float would round are text, where a gap would make floats of them.
    """
    rounded = kind == "whole" and None in values and any(abs(value or 0) > LARGEST_EXACT for value in values)
    if kind == "text" or rounded:
        return ["" if value is None else str(value) for value in values]
    return [math.nan if value is None else value for value in values]
