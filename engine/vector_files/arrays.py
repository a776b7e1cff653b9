"""Arrays of NumPy's own format, read a page at a time and never unpickled: alone in a file, or in an NPZ."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import iso

# What zipfile and NumPy raise on hostile bytes; an encrypted member is a RuntimeError.
ERRORS = (
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


class Array:
    """One array, read from its beginning; `row_bytes` is the size of one row."""

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


@contextmanager
def reading_arrays(name: str, what: str) -> Iterator[None]:
    """Say in words what goes wrong while a file of a name is read. Raises VectorFileError."""
    try:
        yield
    except ERRORS as error:
        reason = " ".join((str(error) or type(error).__name__).split())[:200]
        raise VectorFileError(name, f"the {what} cannot be read: {reason}.") from error


def read_array(path: Path) -> np.ndarray:
    """Return a small array of numbers in a .npy, of any shape (n, ...) and dtype of numbers.

    Raises VectorFileError.
    """
    with reading_arrays(path.name, "NPY"):
        array: np.ndarray = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise VectorFileError(path.name, "it is not a .npy of numbers.")
    return array


def as_floats(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d), any dtype of numbers, as float32 where they have so few digits, else float64."""
    return vectors.astype(np.float32 if vectors.dtype in (np.float16, np.float32) else np.float64)


def values_of(array: np.ndarray) -> list[Any]:
    """Return the plain values of an array (n,) of any plain dtype; a date as ISO text, None for no date."""
    if array.dtype.kind == "M":
        return [None if one == "NaT" else iso(one) for one in np.datetime_as_string(array).tolist()]
    return (array.astype(np.float64) if array.dtype.kind == "f" else array).tolist()
