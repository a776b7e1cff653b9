"""Picture bytes into an upright RGB picture on white, and thumbnails; stores nothing."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING

from engine.errors import TooLargeError, UnreadableMediaError

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_PX = 256
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "HEIF", "AVIF")
_MAX_GIF_FRAMES = 500
# What Pillow's decoders raise on hostile bytes; SyntaxError is its word for a broken PNG chunk.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


@cache
def _pillow() -> None:
    """Set Pillow up once: HEIC, and our own pixel limit in place of its warning at 89 megapixels."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, *, max_pixels: int, side_px: int | None = None) -> tuple[Image, int, int]:
    """Decode a picture (first frame) to upright RGB on white.

    side_px: a JPEG is decoded at the smallest of its reduced scales whose shorter side has at
    least this many pixels; None decodes in full.

    Returns (picture, width, height) with the upright size of the file in pixels. Raises
    TooLargeError before decoding anything, UnreadableMediaError with the decoder's reason.
    """
    from PIL import Image

    _pillow()
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise TooLargeError(
                    f"The picture of {width:,} × {height:,}",
                    width * height / 1e6,
                    max_pixels / 1e6,
                    "megapixels",
                    "GAPSCOPE_MAX_IMAGE_MEGAPIXELS",
                )
            return _decoded(picture, side_px)
    except _DECODE_ERRORS as error:
        reason = str(error) or type(error).__name__
        if "cannot identify image file" in reason:
            reason = "it begins like a picture, but the rest is damaged or missing"
        raise UnreadableMediaError(f"The picture cannot be read: {reason}.") from error


def _decoded(picture: Image, side_px: int | None) -> tuple[Image, int, int]:
    from PIL import ImageOps

    width, height = picture.size
    if picture.format == "GIF":
        _check_frames(picture)
    if side_px:
        picture.draft(None, (side_px, side_px))
    picture.load()
    turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    upright = ImageOps.exif_transpose(picture)
    rgb = _on_white(upright)
    return rgb, *((height, width) if turned else (width, height))


def _check_frames(picture: Image) -> None:
    """Decode every frame: a broken later frame means the file was damaged on its way here."""
    for index in range(_MAX_GIF_FRAMES):
        try:
            picture.seek(index)
        except EOFError:
            break
        picture.load()
    picture.seek(0)


def _on_white(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _eight_bit(picture)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _eight_bit(picture: Image) -> Image:
    """Scale 16-bit, 32-bit and float greys to 8 bits; Pillow's own convert() clips at 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(picture, dtype=np.float64)  # (height, width)
    if not np.isfinite(values).all():
        raise ValueError("its values are not finite")
    low, high = values.min(), values.max()
    if picture.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    elif picture.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = (high - low) or 1.0
    return Image.fromarray(((values - low) / span * 255).round().astype(np.uint8), mode="L")


def thumbnail(picture: Image) -> bytes:
    """Return the picture as WebP with no side longer than THUMBNAIL_PX."""
    small = picture.copy() if max(picture.size) <= THUMBNAIL_PX else _shrunk(picture)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80, method=1)
    return out.getvalue()


def _shrunk(picture: Image) -> Image:
    from PIL import Image

    scale = THUMBNAIL_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
