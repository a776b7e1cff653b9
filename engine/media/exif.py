"""When and with what a picture was taken, from its EXIF, as two columns; nothing else is read, never a place.

What is broken says nothing, and costs nothing: no pixel is decoded.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.media.metadata import metadata_of
from engine.text import clean_text
from engine.types import Metadata

if TYPE_CHECKING:
    from PIL.Image import Exif
    from PIL.Image import Image as Picture

TAKEN, CAMERA = "taken", "camera"
_DETAILS = 0x8769  # the part of EXIF that says how a picture was taken
# When the shutter was pressed, and when that was digitised: of a scan, or of a camera that tells them apart.
_DATES = ((0x9003, 0x9011), (0x9004, 0x9012))  # each with its offset from UTC
_MAKE, _MODEL = 0x010F, 0x0110
_STAMP = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
_FIRST_YEAR = 1826  # of the oldest photograph that is left; cameras without a clock write 0000
_MAKER_CHARS = 60
# What Pillow's parser raises on hostile EXIF.
_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    AssertionError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)


def exif_columns(data: bytes) -> Metadata:
    """Return what a picture's EXIF says: `taken`, in ISO 8601, and `camera`, its maker and model.

    The time is that of the camera's clock, with its offset from UTC where that is written.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            found = _exif(picture)
            return metadata_of(((TAKEN, _taken(found.get_ifd(_DETAILS))), (CAMERA, _camera(found))))
    except _ERRORS:
        return ()


def _exif(picture: Picture) -> Exif:
    """Return a picture's EXIF, without decoding it: Pillow's own `getexif` decodes a PNG."""
    from PIL.Image import Exif

    if picture.format == "TIFF":
        return picture.getexif()
    found, raw = Exif(), picture.info.get("exif")
    if isinstance(raw, bytes):
        found.load(raw)
    return found


def _taken(details: dict[int, Any]) -> str | None:
    for date, offset in _DATES:
        stamp = _STAMP.match(_words(details.get(date)))
        if not stamp:
            continue
        try:
            year, month, day, hour, minute, second = map(int, stamp.groups())
            when = datetime(year, month, day, hour, minute, second)
        except ValueError:  # 0000:00:00, or the 31st of February
            continue
        if when.year >= _FIRST_YEAR:
            zone = _words(details.get(offset))
            return when.isoformat() + (zone if _OFFSET.fullmatch(zone) else "")
    return None


def _camera(found: Exif) -> str | None:
    """Return maker and model: most models begin with their maker, who then is not named twice."""
    maker, model = (_words(found.get(tag))[:_MAKER_CHARS].strip() for tag in (_MAKE, _MODEL))
    if model.casefold().startswith(maker.split(" ")[0].casefold()):
        return model or None
    return f"{maker} {model}".strip() or None


def _words(given: Any) -> str:
    """Return a value of EXIF on one line; it may be of any type, and end in zero bytes."""
    if isinstance(given, bytes):
        given = given[:1_000].decode("utf-8", "replace")
    return " ".join(clean_text(given[:1_000].replace("\0", " ")).split()) if isinstance(given, str) else ""
