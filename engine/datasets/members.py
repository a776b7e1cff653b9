"""A file in an archive as the archive tells of it, before anything is decided about it; opens none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

IN_MEMORY = 64_000_000  # bytes of a member that is read in parts; a larger one goes into a temporary file
# Pictures pack no further and tables to a tenth; what unpacks to so many times its size is filled up.
MOST_UNPACKED = 200
SMALL_MEMBER_BYTES = 16_000_000  # at most so large, a member may unpack to as much as it likes
SMALL_ARCHIVE_BYTES = 1_000_000_000  # and an archive in all
MOST_MEMBERS = 1_000_000


@dataclass(frozen=True)
class Member:
    """A file in an archive, or a link there: `link` is the target as it is written, from the link's folder.

    `read` and `open` are an Entry's. `packed_bytes` is what it takes in the archive, 0 where that is not
    known of a single one.
    """

    name: str
    size_bytes: int
    read: Callable[[int], bytes] = field(repr=False)
    open: Callable[[], BinaryIO] = field(repr=False)
    packed_bytes: int = 0
    link: str = ""


@dataclass(frozen=True)
class Members:
    """What an archive holds, in its order; what is no file, by name; and why the rest is not known."""

    members: list[Member]
    no_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""
