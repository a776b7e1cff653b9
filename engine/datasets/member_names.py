"""The names of a zip's members, of which many programs do not say how they are encoded; opens no zip."""

from __future__ import annotations

import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from zipfile import ZipInfo

_IS_UTF8 = 0x800
_UNICODE_PATH = 0x7075  # the extra field of Info-ZIP: version, CRC-32 of the plain name, name as UTF-8
_TRIED = ("cp932", "cp1252")
_ZIP_ENCODING = "cp437"
_BROADLY = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60]+")
_SAID = {"utf-8": "UTF-8", "cp932": "cp932 (Japanese)", "cp1252": "cp1252 (Western European)"}


def names_of(infos: Iterable[ZipInfo]) -> tuple[list[str], str]:
    """Return the names of members, and a sentence that tells which encoding was taken for likely.

    A name that does not say that it is UTF-8 is tried as UTF-8, cp932 and cp1252; all such names of a zip
    are taken to be in one encoding. The sentence is empty where nothing had to be guessed.
    """
    names: list[str] = []
    unsure: dict[int, bytes] = {}
    for number, info in enumerate(infos):
        known = info.orig_filename if info.flag_bits & _IS_UTF8 else _unicode_path(info)
        if known is None and not info.orig_filename.isascii():
            unsure[number] = info.orig_filename.encode(_ZIP_ENCODING)
        names.append(info.orig_filename if known is None else known)
    if not unsure:
        return names, ""
    encoding = likely_encoding(list(unsure.values()))
    for number, raw in unsure.items():
        names[number] = raw.decode(encoding)
    said = _SAID.get(encoding, encoding)
    return names, f"{len(unsure):,} names in the zip do not say how they are encoded: read as {said}."


def likely_encoding(names: list[bytes]) -> str:
    """Return the encoding that names in one unknown encoding are most likely in.

    UTF-8 where all are valid in it; cp932 where that gives Japanese in words of its own; else cp1252 or
    cp437, whichever gives more Latin letters.
    """
    whole = b"\n".join(names)
    read = {encoding: _decoded(whole, encoding) for encoding in ("utf-8", *_TRIED, _ZIP_ENCODING)}
    if read["utf-8"] is not None:
        return "utf-8"
    if read["cp932"] is not None and _is_japanese(read["cp932"]):
        return "cp932"
    western, plain = (_latin_share(read[encoding]) for encoding in ("cp1252", _ZIP_ENCODING))
    return "cp1252" if western > plain else _ZIP_ENCODING


def _unicode_path(info: ZipInfo) -> str | None:
    """Return the name that an extra field gives in UTF-8, where it belongs to the plain name."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        body, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(body) > 5:
            _, checksum = struct.unpack("<BL", body[:5])
            if checksum == zlib.crc32(info.orig_filename.encode(_ZIP_ENCODING)):
                return _decoded(body[5:], "utf-8")
    return None


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_japanese(text: str) -> bool:
    """Tell whether what is not ASCII is nearly all Japanese, and stands in words of its own.

    A letter with an accent and the one after it make a character of cp932 too: one alone in an ASCII word.
    """
    foreign = sum(not char.isascii() for char in text)
    words = [
        len(run[0])
        for run in _BROADLY.finditer(text)
        if len(run[0]) > 1 or not (_is_letter(text, run.start() - 1) or _is_letter(text, run.end()))
    ]
    return sum(words) >= 0.9 * foreign


def _is_letter(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isascii() and text[at].isalpha()


def _latin_share(text: str | None) -> float:
    """Return how many of the characters that are not ASCII are Latin letters, in [0, 1]."""
    foreign = [char for char in text or "" if not char.isascii()]
    latin = sum(unicodedata.name(char, "").startswith("LATIN") for char in foreign)
    return latin / len(foreign) if foreign else 0.0
