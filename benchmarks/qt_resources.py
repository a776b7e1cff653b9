"""Reads Qt's resource files (.rcc, versions 1 to 3), in which Debian's GCompris keeps its pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_FOLDER, _ZLIB, _ZSTD = 2, 1, 4


def entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file in a resource file; one packed by zstd is left out."""
    data = path.read_bytes()
    if data[:4] != b"qres":
        raise ValueError(f"{path} is no Qt resource file")
    version, tree, payload, names = struct.unpack(">IIII", data[4:20])
    size = 22 if version >= 2 else 14

    def walk(node: int, above: str) -> Iterator[tuple[str, bytes]]:
        start = tree + node * size
        offset, flags = struct.unpack(">IH", data[start : start + 6])
        name = f"{above}/{_name(data, names + offset)}" if node else ""
        if flags & _FOLDER:
            count, first = struct.unpack(">II", data[start + 6 : start + 14])
            for child in range(first, first + count):
                yield from walk(child, name)
        elif not flags & _ZSTD:
            [at] = struct.unpack(">I", data[start + 10 : start + 14])
            yield name, _content(data, payload + at, packed=bool(flags & _ZLIB))

    yield from walk(0, "")


def _name(data: bytes, at: int) -> str:
    [length] = struct.unpack(">H", data[at : at + 2])
    return data[at + 6 : at + 6 + 2 * length].decode("utf-16-be")


def _content(data: bytes, at: int, *, packed: bool) -> bytes:
    [length] = struct.unpack(">I", data[at : at + 4])
    raw = data[at + 4 : at + 4 + length]
    return zlib.decompress(raw[4:]) if packed else raw
