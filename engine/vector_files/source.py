"""A file as it is given: by its path, or opened already, as an upload is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

Given = Path | IO[bytes]


@contextmanager
def opened(given: Given) -> Iterator[IO[bytes]]:
    """Lend a file at its beginning; one that was given opened stays so. Raises OSError, ValueError."""
    if isinstance(given, Path):
        with given.open("rb") as stream:
            yield stream
    else:
        given.seek(0)
        yield given


def head_of(given: Given, size: int) -> bytes:
    """Return the first bytes of a file. Raises OSError, ValueError."""
    with opened(given) as stream:
        return stream.read(size)
