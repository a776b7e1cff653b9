"""Where a picture ends in the bytes of its file, which may go on; walks their structure and decodes nothing.

A TIFF has no end: its parts may lie anywhere in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

# Of parts that a file may consist of: beyond these nobody's picture is, and the walk would take seconds.
_MOST_PARTS = 500_000
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart
_ALONE = (0x01, 0xD8)  # markers without a length


def end_of(data: bytes, mime: str) -> int:
    """Return how many of the bytes are the picture's; all of them where its end is not to be found."""
    find = _ENDS.get(mime)
    end = find(data) if find else len(data)
    return end if 0 < end <= len(data) else len(data)


def jpeg_ends(data: bytes) -> bool:
    """Tell whether a JPEG has its end-of-image marker."""
    return _jpeg(data) > 0


def _jpeg(data: bytes) -> int:
    at = 2
    for _ in range(_MOST_PARTS):
        marker = _JPEG_MARKER.search(data, at)
        if marker is None:
            break
        kind, at = data[marker.start() + 1], marker.end()
        if kind == 0xD9:
            return at
        if kind not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    return 0


def _png(data: bytes) -> int:
    at = 8
    for _ in range(_MOST_PARTS):
        if at + 12 > len(data):
            break
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + size
        if kind == b"IEND":
            return at
    return 0


def _gif(data: bytes) -> int:
    at, left = 13 + _colours(data[10:11]), _MOST_PARTS
    while left:
        kind = data[at : at + 1]
        if kind == b";":
            return at + 1
        if kind == b",":
            at += 11 + _colours(data[at + 9 : at + 10])  # and the size of its codes
        elif kind == b"!":
            at += 2
        else:
            break
        while left and at < len(data) and data[at]:
            at, left = at + 1 + data[at], left - 1
        at, left = at + 1, max(0, left - 1)
    return 0


def _colours(flags: bytes) -> int:
    """Return the bytes of the table of colours that follows these flags."""
    return 3 * (2 << (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def _webp(data: bytes) -> int:
    size = int.from_bytes(data[4:8], "little")
    return 8 + size + size % 2


def _bmp(data: bytes) -> int:
    number = {at: int.from_bytes(data[at : at + 4], "little") for at in (10, 14, 18, 30, 34, 126, 130)}
    if number[14] < 40:
        return 0
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    row = (number[18] * int.from_bytes(data[28:30], "little") + 31) // 32 * 4
    packed = number[30] not in (0, 3, 6)
    end = number[10] + (number[34] if packed else row * height)
    return max(end, 14 + number[126] + number[130]) if number[14] >= 124 else end  # its colour profile


def _boxes(data: bytes) -> int:
    """Walk the boxes of an ISO media file (HEIC, AVIF)."""
    at = 0
    for _ in range(_MOST_PARTS):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if len(kind) < 4 or not kind.isalnum():
            return at
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # the last one, to the end of the file
            return len(data)
        at += size
    return 0


_ENDS: Mapping[str, Callable[[bytes], int]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/bmp": _bmp,
    "image/heic": _boxes,
    "image/avif": _boxes,
}
