"""Files as they were given, wherever they lie, before anything is understood of them; finds none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

from engine.text import MAX_CHARS, clean_text
from engine.types import Failure
from engine.types import LeftOut as LeftOut

_EXAMPLES = 3


@dataclass(frozen=True)
class Entry:
    """One file of what was given.

    `path` is relative, with "/" between its parts, and unique among the entries of one archive; `within` is
    the name of the archive that holds it, "" outside archives. `size_bytes` may be a mere claim of an
    archive, which it does not exceed when it is read. `read(limit)` returns its bytes or raises MediaError,
    TooLargeError beyond so many; `open()` returns a stream that can be sought, for what is read in parts,
    or raises MediaError.
    """

    path: str
    size_bytes: int
    read: Callable[[int], bytes] = field(repr=False)
    open: Callable[[], BinaryIO] = field(repr=False)
    within: str = ""


@dataclass(frozen=True)
class Listing:
    """All that was given, in a stable order: entries, what is left out on purpose, what cannot be read.

    `notes` say what was decided on the way, as sentences.
    """

    entries: tuple[Entry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Listing) -> Listing:
        return joined((self, other))


def joined(listings: Iterable[Listing]) -> Listing:
    """Return several listings as one, in their order; what is left out for one reason is counted together."""
    kept = tuple(listings)
    left = Tally()
    for one in chain.from_iterable(listing.left_out for listing in kept):
        left.add(one.reason, *one.examples, count=one.count)
    return Listing(
        tuple(chain.from_iterable(listing.entries for listing in kept)),
        left.left_out,
        tuple(chain.from_iterable(listing.failed for listing in kept)),
        tuple(dict.fromkeys(chain.from_iterable(listing.notes for listing in kept))),
    )


class Tally:
    """Counts what is left out by its reason, and keeps a few names of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, *names: str, count: int = 1) -> None:
        """Count files or rows, of which these are some, that are left out for a reason."""
        self._counts[reason] += count
        kept = self._examples[reason]
        kept += [clean_text(name)[-MAX_CHARS:] for name in names[: _EXAMPLES - len(kept)]]

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was counted, by reason, in the order in which the reasons came up."""
        return tuple(
            LeftOut(reason, count, tuple(self._examples[reason])) for reason, count in self._counts.items()
        )
