"""One file on its way in, with what its data set says of it; finds none (`engine/datasets/` does)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine.errors import TooLargeError, UnreadableMediaError
from engine.types import Failure, LeftOut, Metadata


@dataclass(frozen=True)
class Source:
    """One file to ingest; `read` returns its bytes or raises MediaError.

    `size_bytes` is how many that are at most, as far as it is known before they are read.
    `given_id` is what its data set calls it, where judgements name it so.
    """

    name: str
    read: Callable[[], bytes] = field(repr=False)
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = ()
    size_bytes: int = 0
    given_id: str = ""


@dataclass(frozen=True)
class SourceList:
    """The files found, what was wrong with others, what is left out on purpose, and what is to be told."""

    sources: tuple[Source, ...]
    failed: tuple[Failure, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: SourceList) -> SourceList:
        return SourceList(
            self.sources + other.sources,
            self.failed + other.failed,
            self.left_out + other.left_out,
            self.notes + other.notes,
        )


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file of at most so many. Raises TooLargeError, UnreadableMediaError."""
    with open_file(path, max_bytes) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise _unopened(error) from error


def open_file(path: Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a regular file, of at most so many bytes. Raises TooLargeError, UnreadableMediaError."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
            raise UnreadableMediaError("This is not a regular file.")
        if max_bytes is not None and found.st_size > max_bytes:
            raise too_large(found.st_size, max_bytes)
        return path.open("rb")
    except OSError as error:
        raise _unopened(error) from error


def _unopened(error: OSError) -> UnreadableMediaError:
    return UnreadableMediaError(f"The file cannot be opened: {error.strerror}.")


def too_large(size: int, limit: int) -> TooLargeError:
    """Return the error of a file that is larger than what is taken; both in bytes."""
    return TooLargeError("The file", size / 1e6, limit / 1e6, "MB", "GAPSCOPE_MAX_FILE_MB")
