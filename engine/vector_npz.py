"""Vectors in NPZ, read a page at a time and never unpickled.

Writing keeps the texts in memory, but not the vectors.
"""

from __future__ import annotations

import io
import lzma
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from engine.errors import VectorFileError
from engine.vector_rows import COLUMNS, RawRows, VectorRow

MAGIC = b"PK"
_MAX_ROW_BYTES = 1 << 20  # of one array: NumPy gives every text the room of the longest
_MAX_TEXT_BYTES = 1 << 30  # of one written array
_COPIED_BYTES = 1 << 20
# What zipfile and NumPy raise on hostile bytes; an encrypted member is a RuntimeError.
_ERRORS = (
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
    """An NPZ of vectors, its arrays checked; see `vector_rows.Table`. Raises VectorFileError."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with self._opened() as arrays:
            self.columns = tuple(arrays)
            self.total = next((array.shape[0] for array in arrays.values()), 0)  # of id, the first column
            for column, array in arrays.items():
                self._check(column, array)
            self.dim = arrays["vector"].shape[1] if "vector" in arrays else 0

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        with self._opened() as arrays:
            for start in range(0, self.total, rows):
                count = min(rows, self.total - start)
                vectors = arrays["vector"].take(count)
                single = vectors.dtype in (np.float16, np.float32)
                yield RawRows(
                    start + 1,
                    vectors.astype(np.float32 if single else np.float64),
                    np.full(count, self.dim),
                    {name: array.take(count).tolist() for name, array in arrays.items() if name != "vector"},
                )

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
    def _opened(self) -> Iterator[dict[str, _Array]]:
        try:
            with ExitStack() as stack:
                archive = stack.enter_context(zipfile.ZipFile(self._path))
                here = set(archive.namelist())
                columns = [column for column in COLUMNS if f"{column}.npy" in here]
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
        """Return the next rows. Raises EOFError where the file ends before."""
        wanted = rows * self.row_bytes
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise EOFError("it ends before its last row")
        return np.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:])


class NpzWriter:
    """Writes rows with their vectors (n, dim) into an NPZ; vectors wait on the disk until it is closed."""

    def __init__(self, path: Path, dim: int) -> None:
        self._path, self._dim = path, dim
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
        longest = max(len(text) for row in values for text in (row if isinstance(row, list) else [row]))
        width = len(values[0]) if isinstance(values[0], list) else 1
        if longest * 4 * width * len(values) > _MAX_TEXT_BYTES:
            words = (
                f"the array {column} would give each of {len(values):,} rows room for {longest:,} characters"
            )
            raise VectorFileError(self._path.name, f"{words}. Export to .parquet instead.")
        held = io.BytesIO()
        np.save(held, np.array(values, np.str_), allow_pickle=False)
        archive.writestr(f"{column}.npy", held.getbuffer(), zipfile.ZIP_DEFLATED)
