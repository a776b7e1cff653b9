"""Bytes of a table or a list into text, by the encoding that they are likely in; reads no file."""

from __future__ import annotations

import codecs

from engine.errors import UnreadableMediaError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_LOOKED_AT = 4_096


def decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return bytes as text, and in words which encoding it was where it is not UTF-8.

    Raises UnreadableMediaError where it is neither UTF-8, UTF-16 nor Windows-1252.
    """
    encoding, named = _encoding(data)
    try:
        return data.decode(encoding), ((f"read as {named}",) if named else ())
    except UnicodeDecodeError as error:
        raise UnreadableMediaError("This is not text in UTF-8, UTF-16 or Windows-1252.") from error


def _encoding(data: bytes) -> tuple[str, str]:
    for mark, encoding, named in _MARKS:
        if data.startswith(mark):
            return encoding, named
    head = data[: _LOOKED_AT // 2 * 2]
    for encoding, zeros, others in (
        ("utf-16-le", head[1::2], head[::2]),
        ("utf-16-be", head[::2], head[1::2]),
    ):
        # in languages of Latin letters every other byte is 0, and no text in another encoding has one
        if zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return encoding, "UTF-16"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252", "Windows-1252"
    return "utf-8", ""
