"""What a kind of media tells of itself, and the parts that its files give; `formats` lists the kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.types import Modality


@dataclass(frozen=True)
class Limits:
    """What decoding must keep to: the pixels of a picture, and the shorter side that is enough of a JPEG.

    side_px None decodes in full.
    """

    max_pixels: int
    side_px: int | None = None


@dataclass(frozen=True)
class Part:
    """One part of a file, which becomes an item: a page, a segment, or all of it.

    `content` is what an embedder reads of it (see `types.MediaItem`), or the MediaError that says why
    nothing can be read. `key` tells it from the other parts of its file: "page 3"; the item's id is made
    from it, and its name ends with it. The only part of a file that has no other needs none, and its item
    has the file's hash as its id. `text` is what a part of text says. Sizes are in pixels, `start_seconds`
    from the start of the medium.
    """

    content: Any = field(repr=False)
    key: str = ""
    text: str = ""
    width_px: int | None = None
    height_px: int | None = None
    start_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Format:
    """A kind of media: how its files are recognised and decoded, and which modality they yield.

    `names` are its formats in words; `suffixes` tells for every MIME type how its files end in the
    library; `recognise(data, suffix)` returns the MIME type of bytes whose name ends with `suffix` (lower
    case), or None for other bytes; `decode(data, limits)` returns the parts in order and raises MediaError
    where there are none to be had. The file is kept in the library unless its items hold all of it.
    """

    modality: Modality
    names: tuple[str, ...]
    suffixes: Mapping[str, str]
    recognise: Callable[[bytes, str], str | None]
    decode: Callable[[bytes, Limits], list[Part]]
    is_kept: bool = True
