"""The table of the media that are read here, and which of them some bytes are; decodes nothing.

To add a kind of media, write engine/media/<kind>.py with its `Format`, and add it to FORMATS.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from engine.errors import EmptyFileError, UnknownFormatError
from engine.media import images, plain_text
from engine.media.parts import Format
from engine.types import MODALITIES, Modality

# Asked in this order what bytes are; plain text comes last, since other kinds may be made of text too.
FORMATS: tuple[Format, ...] = (images.FORMAT, plain_text.FORMAT)
DECODERS: dict[str, Format] = {mime: one for one in FORMATS for mime in one.suffixes}


def sniff(data: bytes, name: str) -> str:
    """Return the MIME type of these bytes, a key of DECODERS.

    The name decides nothing about pictures; it only keeps text out that pretends to be something
    else (a `.jpg` of words is a broken picture, not a note). Raises EmptyFileError, or
    UnknownFormatError with what is accepted.
    """
    if not data:
        raise EmptyFileError
    suffix = PurePosixPath(name).suffix.lower()
    for one in dict.fromkeys(DECODERS.values()):
        if mime := one.recognise(data, suffix):
            return mime
    if plain_text.is_text(data):
        raise UnknownFormatError(f"The file is named {suffix} but holds plain text. Accepted: {accepted()}.")
    raise UnknownFormatError(f"The content is of no supported kind. Accepted: {accepted()}.")


def format_of(mime: str) -> Format:
    """Return the format of a MIME type. Raises UnknownFormatError."""
    if mime not in DECODERS:
        raise UnknownFormatError(f"{mime} is not read here.")
    return DECODERS[mime]


def suffix_of(mime: str) -> str:
    """Return the suffix of a file of this MIME type in the library. Raises UnknownFormatError."""
    return format_of(mime).suffixes[mime]


def media_suffixes() -> set[str]:
    """Return the suffixes of all files that the library keeps."""
    return {suffix for one in DECODERS.values() if one.is_kept for suffix in one.suffixes.values()}


def accepted() -> str:
    """Return in words what is read: "JPEG, PNG or plain text"."""
    names = [name for one in dict.fromkeys(DECODERS.values()) for name in one.names]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def decoded_modalities() -> tuple[Modality, ...]:
    """Return the modalities that files become, in the order of MODALITIES."""
    found = {one.modality for one in DECODERS.values()}
    return tuple(one for one in MODALITIES if one in found)
