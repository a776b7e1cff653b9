"""Text bytes into text; how a model cuts long text is the model's business."""

from __future__ import annotations

import codecs

from engine.errors import UnreadableMediaError
from engine.media.parts import Format, Limits, Part
from engine.text import clean_text

TEXT_MIME = "text/plain"
MAX_CHARS = 10_000
SUFFIXES = {"", ".txt", ".md", ".text"}
# What is looked at of a text: ten times what is taken of it, for text that is mostly to be dropped. Cleaning
# looks at every character, and took minutes for hundreds of megabytes.
_READ_BYTES = 10 * 4 * MAX_CHARS
_PIECE_BYTES = 1_000_000


def open_text(data: bytes) -> str:
    """Decode UTF-8 (with or without BOM), without control characters, at most MAX_CHARS characters.

    Only the first 400,000 bytes are looked at. Raises UnreadableMediaError where nothing readable is there.
    """
    return _opened(data)[0]


def _opened(data: bytes) -> tuple[str, bool]:
    """Return the text, and whether there was more of it."""
    text = clean_text(data[:_READ_BYTES].decode("utf-8-sig", errors="replace"))
    if not text:
        raise UnreadableMediaError("The text file holds no readable character.")
    return text[:MAX_CHARS], len(text) > MAX_CHARS or len(data) >= _READ_BYTES


def is_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8 without control characters that no text has."""
    if b"\x00" in data:
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()  # whole, a long text would be held at up to four times
    try:
        for start in range(0, len(data), _PIECE_BYTES):
            text = decoder.decode(data[start : start + _PIECE_BYTES], final=start + _PIECE_BYTES >= len(data))
            if not start and any(ord(char) < 32 and char not in "\t\n\r\f\x1b" for char in text[:4096]):
                return False
    except UnicodeDecodeError:
        return False
    return True


def _recognise(data: bytes, suffix: str) -> str | None:
    return TEXT_MIME if suffix in SUFFIXES and is_text(data) else None


def _end(data: bytes, mime: str) -> int:
    return min(len(data), _READ_BYTES)


def _decode(data: bytes, limits: Limits) -> list[Part]:
    text, is_cut = _opened(data)
    return [Part(text, text=text, notes=(("long", f"{MAX_CHARS:,} characters"),) if is_cut else ())]


FORMAT = Format(
    "text", ("plain text (.txt, .md)",), {TEXT_MIME: ".txt"}, _recognise, _decode, is_kept=False, end=_end
)
