"""Text bytes into text; how a model cuts long text is the model's business."""

from __future__ import annotations

from engine.errors import UnreadableMediaError
from engine.text import clean_text

MAX_CHARS = 10_000


def open_text(data: bytes) -> str:
    """Decode UTF-8 (with or without BOM), without control characters, at most MAX_CHARS characters.

    Raises UnreadableMediaError where nothing readable is left.
    """
    text = clean_text(data.decode("utf-8-sig", errors="replace"))[:MAX_CHARS]
    if not text:
        raise UnreadableMediaError("The text file holds no readable character.")
    return text
