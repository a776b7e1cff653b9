"""What a kind of media tells of itself, and the parts that its files give; `formats` lists the kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.types import Metadata, Modality, Noted

if TYPE_CHECKING:
    from engine.settings import Settings


def _granted(needed_bytes: int) -> None:
    """Let a decoder take memory that nobody counts."""


@dataclass(frozen=True)
class Limits:
    """What decoding must keep to: the pixels of a picture, and the shorter side that is enough of it.

    side_px None decodes in full. `seconds` of processor time and `memory_bytes` hold where a file is decoded
    in a process of its own (`processes`). A decoder calls `reserve` with the bytes that it is going to take,
    and goes on when that returns: all decoders share one budget.
    """

    max_pixels: int
    side_px: int | None = None
    seconds: float = math.inf
    memory_bytes: float = math.inf
    reserve: Callable[[int], None] = field(default=_granted, compare=False, repr=False)

    @classmethod
    def of(cls, settings: Settings, side_px: int | None = None) -> Limits:
        """Return the limits that the settings set."""
        memory_bytes = settings.decode_memory_mb * 1e6
        return cls(settings.max_image_pixels, side_px, settings.decode_seconds, memory_bytes)


@dataclass(frozen=True)
class Part:
    """One part of a file, which becomes an item: a page, a segment, or all of it.

    `content` is what an embedder reads of it (see `types.MediaItem`), or the MediaError that says why
    nothing can be read. `key` tells it from the other parts of its file: "page 3"; the item's id is made
    from it, and its name ends with it. The only part of a file that has no other needs none, and its item
    has the file's hash as its id. `text` is what a part of text says. Sizes are in pixels, `start_seconds`
    from the start of the medium. `notes` are what must be said of it although it was taken (`notes`);
    `metadata` is what the file itself says, and gives way to its data set's.
    """

    content: Any = field(repr=False)
    key: str = ""
    text: str = ""
    width_px: int | None = None
    height_px: int | None = None
    start_seconds: float | None = None
    notes: tuple[Noted, ...] = ()
    metadata: Metadata = ()


def _whole(data: bytes, mime: str) -> int:
    """Return where a file ends of which all is kept."""
    return len(data)


@dataclass(frozen=True, eq=False)
class Format:
    """A kind of media: how its files are recognised and decoded, and which modality they yield.

    `names` are its formats in words; `suffixes` tells for every MIME type how its files end in the
    library; `recognise(data, suffix)` returns the MIME type of bytes whose name ends with `suffix` (lower
    case), or None for other bytes; `decode(data, limits)` returns the parts in order and raises MediaError
    where there are none to be had. The file is kept in the library unless its items hold all of it, and of
    its bytes those before `end(data, mime)`. One that is decoded `apart` gets a process of its own.
    """

    modality: Modality
    names: tuple[str, ...]
    suffixes: Mapping[str, str]
    recognise: Callable[[bytes, str], str | None]
    decode: Callable[[bytes, Limits], list[Part]]
    is_kept: bool = True
    end: Callable[[bytes, str], int] = _whole
    apart: bool = False
