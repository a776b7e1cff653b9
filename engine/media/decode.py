"""Bytes and a name into media items, captions included; the one door from files to items.

Which media are read is the table of `formats`; how many are decoded at once, and where, is `decoder`'s and
`processes`'.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import MediaError, UnreadableMediaError
from engine.media.formats import format_of, sniff
from engine.media.images import thumbnail
from engine.media.metadata import metadata_of
from engine.media.parts import Limits, Part
from engine.media.plain_text import TEXT_MIME
from engine.media.sources import Source
from engine.text import clean_text
from engine.types import Item, MediaItem, Modality, Noted


@dataclass(frozen=True)
class Probe:
    """A file that was read and recognised but not decoded: enough to know whether it is stored.

    `sha256` is of the file as it was given, and `media` of `data`, which is what is kept of it: up to the end
    of the picture, without the `left_bytes` that follow. It can be sent to another process: the source's
    reader has done its work and stays behind.
    """

    source: Source
    data: bytes = field(repr=False)
    mime: str
    sha256: str
    media: str
    left_bytes: int = 0

    @property
    def modality(self) -> Modality:
        """Return the modality of the items that the file becomes. Raises UnknownFormatError."""
        return format_of(self.mime).modality


def caption_id(owner: str, caption: str) -> str:
    """Return the id of a caption: two pictures with the same caption keep a caption each."""
    return hashlib.sha256(f"caption\0{owner}\0{caption}".encode()).hexdigest()


def part_id(owner: str, key: str) -> str:
    """Return the id of a part of a file, by the file's hash; the only part of a file has that hash itself."""
    return hashlib.sha256(f"part\0{owner}\0{key}".encode()).hexdigest() if key else owner


def probe(source: Source) -> Probe:
    """Read a file and recognise it by its content. Raises MediaError with the reason in words."""
    data = source.read()
    mime = sniff(data, source.name)
    sha256, end = hashlib.sha256(data).hexdigest(), format_of(mime).end(data, mime)
    left_bytes, data = len(data) - end, data[:end]
    media = hashlib.sha256(data).hexdigest() if left_bytes and format_of(mime).is_kept else sha256
    return Probe(replace(source, read=bytes), data, mime, sha256, media, left_bytes)


def probe_stored(item: Item, data: bytes) -> Probe:
    """Return the file of a stored item, which need not be recognised again."""
    media = item.media or ""
    return Probe(Source(item.name, bytes), data, item.mime, media, media)


def decode(probed: Probe, limits: Limits) -> list[MediaItem]:
    """Decode a recognised file in this process; see `items_of`, and `decoder` for files of strangers."""
    return items_of(probed, format_of(probed.mime).decode(probed.data, limits))


def items_of(probed: Probe, parts: Sequence[Part], heard: str = "") -> list[MediaItem]:
    """Return an item per decoded part of a file, in order; at least one.

    A part that cannot be read has as its content the MediaError with the reason. `heard` is what libraries
    wrote while they decoded it. Raises MediaError where no part can be read, and ValueError where a decoder
    gives two parts one key.
    """
    if not parts:
        raise UnreadableMediaError("The file holds nothing that can be read.")
    keys = {part.key for part in parts}
    if len(keys) < len(parts) or (len(keys) > 1 and "" in keys):  # the ids are made from them
        raise ValueError(f"Each of several parts needs a key of its own, not {keys} ({probed.mime}).")
    of_file = tuple(_notes(probed, heard))
    return [
        MediaItem(_item(probed, part), part.content, part.notes if place else (*part.notes, *of_file))
        for place, part in enumerate(parts)
    ]


def _notes(probed: Probe, heard: str) -> Iterator[Noted]:
    """Yield what must be said of a file as a whole."""
    if probed.left_bytes and format_of(probed.mime).is_kept:
        yield "tail", f"{probed.left_bytes / 1e6:,.3g} MB"
    if lines := [" ".join(clean_text(line).split()) for line in heard.splitlines() if line.strip()]:
        yield "warned", lines[0] if len(lines) == 1 else f"{lines[0]}; and {len(lines) - 1:,} more"


def thumbnail_of(parts: Sequence[MediaItem]) -> bytes:
    """Return a thumbnail of the first picture among the parts of a file; empty where there is none."""
    for part in parts:
        if part.item.modality == "image" and not isinstance(part.content, MediaError):
            return thumbnail(part.content)
    return b""


def content_of(item: Item, parts: Sequence[MediaItem]) -> Any:
    """Return the content of a stored item among the decoded parts of its file. Raises MediaError.

    An imported item has an id that says nothing of its file, which has one part then.
    """
    found = [part for part in parts if len(parts) == 1 or part.item.id == item.id]
    if not found:
        raise UnreadableMediaError("Its part of the file is not found any more.")
    if isinstance(found[0].content, MediaError):
        raise found[0].content
    return found[0].content


def captions_of(probed: Probe) -> list[MediaItem]:
    """Return one text item per caption of a file that is no text itself, paired with it."""
    if probed.modality == "text":
        return []
    return [
        MediaItem(
            Item(
                id=caption_id(probed.sha256, caption),
                modality="text",
                name=probed.source.name,
                mime=TEXT_MIME,
                pair=probed.sha256,
                caption=caption,
                labels=probed.source.labels,
                metadata=probed.source.metadata,
                size_bytes=len(caption.encode()),
                added_at=int(time.time()),
                place=place or None,
            ),
            caption,
        )
        for place, caption in enumerate(probed.source.captions)
    ]


def _item(probed: Probe, part: Part) -> Item:
    source, is_kept = probed.source, format_of(probed.mime).is_kept
    caption = source.captions[0] if source.captions and probed.modality != "text" else ""
    return Item(
        id=part_id(probed.sha256, part.key),
        modality=probed.modality,
        name=f"{source.name}, {part.key}" if part.key else source.name,
        mime=probed.mime,
        pair=probed.sha256,
        caption=part.text or caption,
        labels=source.labels,
        media=probed.media if is_kept else None,
        size_bytes=len(probed.data) + (0 if is_kept else probed.left_bytes),
        width_px=part.width_px,
        height_px=part.height_px,
        start_seconds=part.start_seconds,
        added_at=int(time.time()),
        metadata=metadata_of((*source.metadata, *part.metadata)) if part.metadata else source.metadata,
        given_id=source.given_id,
    )
