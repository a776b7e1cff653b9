"""Bytes and a name into media items, captions included; the one door from files to items.

Which media are read is the table of `formats`; how many are decoded at once, and where, is `decoder`'s.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import MediaError, UnreadableMediaError
from engine.media.formats import format_of, sniff
from engine.media.images import thumbnail
from engine.media.parts import Limits, Part
from engine.media.plain_text import TEXT_MIME
from engine.media.sources import Source
from engine.types import Item, MediaItem, Modality


@dataclass(frozen=True)
class Probe:
    """A file that was read and recognised but not decoded: enough to know whether it is stored.

    It can be sent to another process: the source's reader has done its work and stays behind.
    """

    source: Source
    data: bytes = field(repr=False)
    mime: str
    sha256: str

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
    return Probe(replace(source, read=bytes), data, mime, hashlib.sha256(data).hexdigest())


def probe_stored(item: Item, data: bytes) -> Probe:
    """Return the file of a stored item, which need not be recognised again."""
    return Probe(Source(item.name, bytes), data, item.mime, item.media or "")


def decode(probed: Probe, limits: Limits) -> list[MediaItem]:
    """Decode a recognised file into an item per part, in order; at least one.

    A part that cannot be read has as its content the MediaError with the reason. Raises MediaError where
    that is true of the whole file, and ValueError where a decoder gives two parts one key.
    """
    parts = format_of(probed.mime).decode(probed.data, limits)
    if not parts:
        raise UnreadableMediaError("The file holds nothing that can be read.")
    keys = {part.key for part in parts}
    if len(keys) < len(parts) or (len(keys) > 1 and "" in keys):  # the ids are made from them
        raise ValueError(f"Each of several parts needs a key of its own, not {keys} ({probed.mime}).")
    return [MediaItem(_item(probed, part), part.content) for part in parts]


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
        media=probed.sha256 if is_kept else None,
        size_bytes=len(probed.data),
        width_px=part.width_px,
        height_px=part.height_px,
        start_seconds=part.start_seconds,
        added_at=int(time.time()),
        metadata=source.metadata,
        given_id=source.given_id,
    )
