"""Tells what bytes are by looking at them, never by their name; decodes nothing."""

from __future__ import annotations

from pathlib import PurePosixPath

from engine.errors import EmptyFileError, UnknownFormatError

IMAGE_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/heic": ".heic",
    "image/avif": ".avif",
}
TEXT_MIME = "text/plain"
ACCEPTED = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF or plain text (.txt, .md)"
_TEXT_SUFFIXES = {"", ".txt", ".md", ".text"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def sniff(data: bytes, name: str) -> str:
    """Return the MIME type of these bytes: one of IMAGE_SUFFIXES, or TEXT_MIME.

    The name decides nothing about pictures; it only keeps text out that pretends to be something
    else (a `.jpg` of words is a broken picture, not a note). Raises EmptyFileError, or
    UnknownFormatError with what is accepted.
    """
    if not data:
        raise EmptyFileError
    mime = _image_mime(data)
    if mime:
        return mime
    suffix = PurePosixPath(name).suffix.lower()
    if _is_text(data):
        if suffix in _TEXT_SUFFIXES:
            return TEXT_MIME
        raise UnknownFormatError(f"The file is named {suffix} but holds plain text. Accepted: {ACCEPTED}.")
    raise UnknownFormatError(f"The content is of no supported kind. Accepted: {ACCEPTED}.")


def _image_mime(data: bytes) -> str | None:
    for magic, mime in _MAGIC:
        if data.startswith(magic):
            return mime
    # Two letters are not enough to know a BMP by: its second header is 12 to 124 bytes long.
    if data[:2] == b"BM" and 12 <= int.from_bytes(data[14:18], "little") <= 124:
        return "image/bmp"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        if data[8:12] in (b"avif", b"avis") or b"avif" in data[16:64]:
            return "image/avif"
        if data[8:12] in _HEIF_BRANDS:
            return "image/heic"
    return None


def _is_text(data: bytes) -> bool:
    if b"\x00" in data:
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(ord(char) < 32 and char not in "\t\n\r\f\x1b" for char in text[:4096])
