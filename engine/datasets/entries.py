"""Files as they were given, wherever they lie, before anything is understood of them; finds none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from engine.types import Failure


@dataclass(frozen=True)
class Entry:
    """One file of what was given.

    `path` is relative, with "/" between its parts, and unique among the entries of one archive; `within` is
    the name of the archive that holds it, "" outside archives. `size_bytes` may be a mere claim of an
    archive. `read(limit)` returns its bytes or raises MediaError, TooLargeError beyond so many; `open()`
    returns a stream that can be sought, for what is read in parts, or raises MediaError.
    """

    path: str
    size_bytes: int
    read: Callable[[int], bytes] = field(repr=False)
    open: Callable[[], BinaryIO] = field(repr=False)
    within: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Files or rows that are not taken, counted by reason: a sentence, how many, and a few of their names."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """All that was given, in a stable order: entries, what is left out on purpose, what cannot be read."""

    entries: tuple[Entry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed: tuple[Failure, ...] = ()

    def __add__(self, other: Listing) -> Listing:
        return Listing(
            self.entries + other.entries, self.left_out + other.left_out, self.failed + other.failed
        )
