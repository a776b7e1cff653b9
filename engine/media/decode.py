"""Bytes and a name into media items, captions included; the one door from files to items."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from engine.errors import UnknownFormatError
from engine.media.images import open_image
from engine.media.plain_text import open_text
from engine.media.sniff import TEXT_MIME, sniff
from engine.media.sources import Source
from engine.types import Item, MediaItem


@dataclass(frozen=True)
class Probe:
    """A file that was read and recognised but not decoded: enough to know whether it is stored."""

    source: Source
    data: bytes
    mime: str
    sha256: str

    @property
    def modality(self) -> str:
        """Return 'text' or 'image'."""
        return "text" if self.mime == TEXT_MIME else "image"


def caption_id(owner: str, caption: str) -> str:
    """Return the id of a caption: two pictures with the same caption keep a caption each."""
    return hashlib.sha256(f"caption\0{owner}\0{caption}".encode()).hexdigest()


def probe(source: Source) -> Probe:
    """Read a file and recognise it by its content. Raises MediaError with the reason in words."""
    data = source.read()
    mime = sniff(data, source.name)
    return Probe(source, data, mime, hashlib.sha256(data).hexdigest())


def decode(probed: Probe, *, max_pixels: int, side_px: int | None) -> MediaItem:
    """Decode a recognised file. Raises MediaError with the reason in words."""
    if probed.mime == TEXT_MIME:
        text = open_text(probed.data)
        return MediaItem(_item(probed, caption=text), text)
    if not probed.mime.startswith("image/"):
        raise UnknownFormatError(f"{probed.mime} is not read here.")
    picture, width, height = open_image(probed.data, max_pixels=max_pixels, side_px=side_px)
    caption = probed.source.captions[0] if probed.source.captions else ""
    item = _item(probed, caption=caption, media=probed.sha256, width_px=width, height_px=height)
    return MediaItem(item, picture)


def captions_of(probed: Probe) -> list[MediaItem]:
    """Return one text item per caption of a picture, paired with it."""
    if probed.mime == TEXT_MIME:
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
            ),
            caption,
        )
        for caption in probed.source.captions
    ]


def _item(probed: Probe, **fields: object) -> Item:
    return Item(
        id=probed.sha256,
        modality=probed.modality,  # type: ignore[arg-type]
        name=probed.source.name,
        mime=probed.mime,
        pair=probed.sha256,
        labels=probed.source.labels,
        metadata=probed.source.metadata,
        size_bytes=len(probed.data),
        added_at=int(time.time()),
        **fields,  # type: ignore[arg-type]
    )
