"""Text bytes into text; how a model cuts long text is the model's business."""

from __future__ import annotations

from engine.errors import UnreadableMediaError
from engine.media.parts import Format, Limits, Part
from engine.text import clean_text

TEXT_MIME = "text/plain"
MAX_CHARS = 10_000
_SUFFIXES = {"", ".txt", ".md", ".text"}


def open_text(data: bytes) -> str:
    """Decode UTF-8 (with or without BOM), without control characters, at most MAX_CHARS characters.

    Raises UnreadableMediaError where nothing readable is left.
    """
    text = clean_text(data.decode("utf-8-sig", errors="replace"))[:MAX_CHARS]
    if not text:
        raise UnreadableMediaError("The text file holds no readable character.")
    return text


def is_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8 without control characters that no text has."""
    if b"\x00" in data:
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(ord(char) < 32 and char not in "\t\n\r\f\x1b" for char in text[:4096])


def _recognise(data: bytes, suffix: str) -> str | None:
    return TEXT_MIME if suffix in _SUFFIXES and is_text(data) else None


def _decode(data: bytes, limits: Limits) -> list[Part]:
    text = open_text(data)
    return [Part(text, text=text)]


FORMAT = Format("text", ("plain text (.txt, .md)",), {TEXT_MIME: ".txt"}, _recognise, _decode, is_kept=False)
