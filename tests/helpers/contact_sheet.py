"""A made-up kind of media: a file of several pictures, each of which becomes an item of its own."""

from __future__ import annotations

import pytest

from engine.errors import MediaError, UnreadableMediaError
from engine.media.formats import DECODERS
from engine.media.images import open_image
from engine.media.parts import Format, Limits, Part

MIME = "image/x-contact-sheet"
_HEAD = b"CONTACT SHEET\0"


def sheet(*pictures: bytes) -> bytes:
    """Return the file of these pictures."""
    return _HEAD + b"".join(len(one).to_bytes(4, "big") + one for one in pictures)


def _recognise(data: bytes, suffix: str) -> str | None:
    return MIME if data.startswith(_HEAD) else None


def _decode(data: bytes, limits: Limits) -> list[Part]:
    rest, parts = data[len(_HEAD) :], []
    while rest:
        size = int.from_bytes(rest[:4], "big")
        picture, rest = rest[4 : 4 + size], rest[4 + size :]
        if len(picture) < size:
            raise UnreadableMediaError("The contact sheet is cut off.")
        parts.append(_part(f"picture {len(parts) + 1}", picture, limits))
    return parts


def _part(key: str, data: bytes, limits: Limits) -> Part:
    try:
        content, width, height = open_image(data, max_pixels=limits.max_pixels, side_px=limits.side_px)
    except MediaError as error:
        return Part(error, key)
    return Part(content, key, width_px=width, height_px=height)


FORMAT = Format("image", ("contact sheets",), {MIME: ".sheet"}, _recognise, _decode)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let contact sheets be read for the time of a test."""
    monkeypatch.setitem(DECODERS, MIME, FORMAT)
