"""Vectors in NPZ, read a page at a time and never unpickled.

Writing keeps the texts in memory, but not the vectors.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import MAX_COLUMNS, ColumnChoice, as_kind, file_name, iso
from engine.vector_files.rows import COLUMNS, TAKEN, RawRows, VectorRow, is_other

MAGIC = b"PK"
_MAX_ROW_BYTES = 1 << 20  # of one array: NumPy gives every text the room of the longest
_MAX_OTHER_ROW_BYTES = 1 << 14  # of an array of metadata: with 32 of them, half a GB a page
_MAX_TEXT_BYTES = 1 << 30  # of one written array
_WHOLE_FLOATS = 2**53  # up to here every whole number is a float64
_COPIED_BYTES = 1 << 20
# What zipfile and NumPy raise on hostile bytes; an encrypted member is a RuntimeError.
_ERRORS = (
    SystemError,  # NumPy's word for a letter that Unicode does not have
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    SyntaxError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
)


class NpzTable:
    """An NPZ of vectors, its arrays checked; see `rows.Table`. Raises VectorFileError."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with self._opened() as arrays:
            self.columns = tuple(arrays)
            self.total = next((array.shape[0] for array in arrays.values()), 0)  # of id, the first column
            for column, array in arrays.items():
                self._check(column, array)
            self.dim = arrays["vector"].shape[1] if "vector" in arrays else 0
        self.others = self._chosen()

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        with self._opened(self.others.names) as arrays:
            others = {kept: arrays.pop(name) for name, kept in self.others.names.items()}
            for start in range(0, self.total, rows):
                count = min(rows, self.total - start)
                vectors = arrays["vector"].take(count)
                single = vectors.dtype in (np.float16, np.float32)
                yield RawRows(
                    start + 1,
                    vectors.astype(np.float32 if single else np.float64),
                    np.full(count, self.dim),
                    {name: array.take(count).tolist() for name, array in arrays.items() if name != "vector"},
                    {name: _values(array.take(count)) for name, array in others.items()},
                )

    def _chosen(self) -> ColumnChoice:
        """Return which other arrays become metadata; one that cannot be read is left out."""
        choice = ColumnChoice()
        with zipfile.ZipFile(self._path) as archive:
            members = [one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")]
            for name in dict.fromkeys(members):
                if not is_other(name, members):
                    continue
                if len(choice.names) < MAX_COLUMNS and self._is_plain(archive, name):
                    choice.add(name)
                else:
                    choice.leave(name)
        return choice

    def _is_plain(self, archive: zipfile.ZipFile, name: str) -> bool:
        try:
            with archive.open(f"{name}.npy") as stream:
                array = _Array(stream)
        except _ERRORS:
            return False
        fits = array.shape == (self.total,) and array.dtype.kind in "UiufbM"
        return fits and array.row_bytes <= _MAX_OTHER_ROW_BYTES

    def _check(self, column: str, array: _Array) -> None:
        kind, dimensions = array.dtype.kind, len(array.shape)
        if kind == "O":
            problem = "holds Python objects, which are never read: they could run code. Save it as"
        else:
            problem = f"is {array.dtype} of shape {array.shape}; it must be"
        if column == "vector":
            wanted, fits = "numbers of shape (n, d)", kind in "fiu" and dimensions == 2
        elif column == "label":
            wanted, fits = "text (dtype str) of shape (n,) or (n, m)", kind in "Uiu" and dimensions in (1, 2)
        else:
            numbers = "iu" if column in ("id", "pair") else ""
            wanted, fits = "text (dtype str) of shape (n,)", kind in f"U{numbers}" and dimensions == 1
        if not fits:
            raise VectorFileError(self._name, f"the array {column} {problem} {wanted}.")
        if array.shape[0] != self.total:
            words = f"the array {column} has {array.shape[0]:,} rows, but id has {self.total:,}."
            raise VectorFileError(self._name, f"{words} Row i of every array belongs together.")
        if array.fortran and dimensions == 2:
            words = f"the array {column} is in Fortran order"
            raise VectorFileError(self._name, f"{words}; save np.ascontiguousarray({column}) instead.")
        if array.row_bytes > _MAX_ROW_BYTES:
            words = f"the array {column} takes {array.row_bytes:,} bytes a row"
            raise VectorFileError(self._name, f"{words}; at most {_MAX_ROW_BYTES:,} are read.")

    @contextmanager
    def _opened(self, others: Iterable[str] = ()) -> Iterator[dict[str, _Array]]:
        try:
            with ExitStack() as stack:
                archive = stack.enter_context(zipfile.ZipFile(self._path))
                here = set(archive.namelist())
                columns = [*(column for column in COLUMNS if f"{column}.npy" in here), *others]
                streams = [stack.enter_context(archive.open(f"{column}.npy")) for column in columns]
                yield {column: _Array(stream) for column, stream in zip(columns, streams, strict=True)}
        except _ERRORS as error:
            reason = " ".join((str(error) or type(error).__name__).split())[:200]
            raise VectorFileError(self._name, f"the NPZ cannot be read: {reason}.") from error


class _Array:
    """One array of an NPZ, read from its beginning; `row_bytes` is the size of one row."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        version = np.lib.format.read_magic(stream)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in headers:
            raise ValueError(f"version {version} of its arrays is not known here")
        self.shape, self.fortran, self.dtype = headers[version](stream)
        if not self.shape:
            raise ValueError("it holds a single value where an array is wanted")
        self.row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))

    def take(self, rows: int) -> np.ndarray:
        """Return the next rows: (rows, ...) of the array's own shape and dtype, read-only.

        Raises EOFError where the file ends before.
        """
        wanted = rows * self.row_bytes
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise EOFError("it ends before its last row")
        return np.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:])


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
    rounded = kind == "whole" and None in values and any(abs(value or 0) > _WHOLE_FLOATS for value in values)
    if kind == "text" or rounded:
        return ["" if value is None else str(value) for value in values]
    return [math.nan if value is None else value for value in values]


def _values(array: np.ndarray) -> list[Any]:
    """Return the plain values of an array (n,) of any plain dtype; a date as ISO text, None for no date."""
    if array.dtype.kind == "M":
        return [None if one == "NaT" else iso(one) for one in np.datetime_as_string(array).tolist()]
    return (array.astype(np.float64) if array.dtype.kind == "f" else array).tolist()
