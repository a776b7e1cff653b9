"""Picture bytes into an upright RGB picture, and thumbnails; stores nothing."""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from engine.errors import TooLargeError, UnreadableMediaError
from engine.media.ends import end_of
from engine.media.exif import exif_columns
from engine.media.frames import check_frames, shown_frame
from engine.media.mended import deep_colours, is_deep, rows_of_cut
from engine.media.parts import Format, Limits, Part
from engine.media.pixels import MAX_ASPECT, is_flat, to_rgb
from engine.types import Noted

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose
    from PIL.ImageFile import ImageFile

THUMBNAIL_PX = 320
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/heic": ".heic",
    "image/avif": ".avif",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF")
_ORIENTATION_TAG = 0x0112
_FINER = 3  # how much finer than what is wanted a picture is kept: Pillow's reducing_gap of no visible loss
_PIXEL_BYTES = 12  # a decoded pixel, its copy in RGB, and one more while it is turned or reduced
_VIDEO_PIXEL_BYTES = 16  # of HEIC and AVIF, with the frames of the decoder
_COEFFICIENT_BYTES = 6  # per pixel of a progressive JPEG, which is held whole at its full size
# What Pillow's decoders raise on hostile bytes; SyntaxError is its word for a broken PNG chunk.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AssertionError,
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
    """Let our own pixel limit stand in place of Pillow's warning at 89 megapixels."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None


@cache
def _heif() -> None:
    """Let Pillow read HEIC, which costs 20 MB that no other picture needs."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def open_image(data: bytes, *, max_pixels: int, side_px: int | None = None) -> tuple[Image, int, int]:
    """Decode a picture to upright RGB: of an animation the first frame that is not one flat colour.

    side_px: a picture much larger than that is decoded smaller, its shorter side at least so many pixels;
    None decodes in full. Returns (picture, width, height) with the upright size of the file in pixels.
    Raises TooLargeError before decoding anything, UnreadableMediaError with the decoder's reason.
    """
    part = read_picture(data, Limits(max_pixels, side_px))
    return part.content, part.width_px or 0, part.height_px or 0


def read_picture(data: bytes, limits: Limits) -> Part:
    """Decode a picture as `open_image`, within more limits, with what must be said of it."""
    from PIL import Image

    _pillow()
    formats: tuple[str, ...] = _FORMATS
    if _recognise(data, "") == "image/heic":
        _heif()
        formats = ("HEIF", "AVIF")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as picture:
            _check_size(picture.size, limits.max_pixels)
            if picture.format == "GIF":
                check_frames(data, limits.max_pixels, lambda size: _check_size(size, limits.max_pixels))
            return _decoded(picture, data, limits)
    except _DECODE_ERRORS as error:
        reason = str(error) or type(error).__name__
        if "cannot identify image file" in reason:
            reason = "it begins like a picture, but the rest is damaged or missing"
        if isinstance(error, MemoryError) and limits.memory_bytes < math.inf:
            reason = (
                f"it takes more memory than the {limits.memory_bytes / 1e6:,.4g} MB that decoding may take "
                f"(setting GAPSCOPE_DECODE_MEMORY_MB)"
            )
        raise UnreadableMediaError(f"The picture cannot be read: {reason}.") from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooLargeError(
            f"The picture of {width:,} × {height:,}",
            width * height / 1e6,
            max_pixels / 1e6,
            "megapixels",
            "GAPSCOPE_MAX_IMAGE_MEGAPIXELS",
        )


def _decoded(picture: ImageFile, data: bytes, limits: Limits) -> Part:
    width, height = picture.size
    if limits.side_px:
        picture.draft(None, (limits.side_px, limits.side_px))
    limits.reserve(_needed_bytes(picture, width * height))

    def read_frame() -> Image:
        _check_size(picture.size, limits.max_pixels)
        picture.load()
        return to_rgb(picture)[0]

    rgb, notes = _loaded(picture, data, limits)
    if picture.format != "JPEG" and is_flat(rgb):
        rgb, frame = shown_frame(
            picture, rgb, read_frame, max_pixels=limits.max_pixels, errors=(*_DECODE_ERRORS, TooLargeError)
        )
        if frame > 1:
            notes = (*notes, ("frame", f"frame {frame}"))
            width, height = picture.size
    notes = (*notes, *_seen(rgb, width, height))
    rgb = _reduced(rgb, limits.side_px)
    turn = _turn(picture)
    upright = rgb.transpose(turn) if turn is not None else rgb
    upright.info = {}  # whatever its file says of itself need not travel with it
    if turn in _quarter_turns():
        width, height = height, width
    return Part(upright, width_px=width, height_px=height, notes=notes)


def _needed_bytes(picture: ImageFile, full_pixels: int) -> int:
    """Return about how much memory it takes to decode an opened picture, in bytes."""
    each = _VIDEO_PIXEL_BYTES if picture.format in ("HEIF", "AVIF") else _PIXEL_BYTES
    held = _COEFFICIENT_BYTES * full_pixels if picture.info.get("progressive") else 0
    return picture.width * picture.height * each + held


def _loaded(picture: ImageFile, data: bytes, limits: Limits) -> tuple[Image, tuple[Noted, ...]]:
    """Decode the opened frame to RGB, also where Pillow by itself would refuse it or show nothing of it."""
    deep = is_deep(picture)
    try:
        picture.load()
    except OSError:
        if picture.format == "JPEG" and (found := rows_of_cut(data, limits.side_px)):
            return found
        raise
    return (deep_colours(picture, data) if deep else None) or to_rgb(picture)


def _seen(rgb: Image, width: int, height: int) -> tuple[Noted, ...]:
    """Return what must be said of a picture of these colours and this size."""
    flat = (("flat", ""),) if is_flat(rgb) else ()
    is_strip = max(width, height) > MAX_ASPECT * min(width, height)
    return (*flat, ("strip", f"{width:,} x {height:,} pixels")) if is_strip else flat


def _reduced(rgb: Image, side_px: int | None) -> Image:
    """Return a picture, by a whole number smaller where it is finer than `_FINER` times what is wanted."""
    factor = min(rgb.size) // (_FINER * side_px) if side_px else 1
    return rgb.reduce(factor) if factor > 1 else rgb


def _turn(picture: Image) -> Transpose | None:
    """Return the transposition that sets the picture upright (EXIF), None where it stands already."""
    from PIL.Image import Transpose

    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except _DECODE_ERRORS:  # broken EXIF costs the orientation, not the picture
        return None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation)  # type: ignore[arg-type]  # whatever the file holds, or nothing


def _quarter_turns() -> tuple[int, ...]:
    from PIL.Image import Transpose

    return (Transpose.TRANSPOSE, Transpose.TRANSVERSE, Transpose.ROTATE_90, Transpose.ROTATE_270)


def thumbnail(picture: Image) -> bytes:
    """Return the picture as WebP with no side longer than THUMBNAIL_PX, and the longer over half of it."""
    small = picture.copy() if max(picture.size) <= THUMBNAIL_PX else _shrunk(picture)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=75, method=0)
    return out.getvalue()


def _shrunk(picture: Image) -> Image:
    """Shrink by a whole number: a fifth of the time of a bicubic resize, and as good at this size."""
    return picture.reduce(math.ceil(max(picture.size) / THUMBNAIL_PX))


def _recognise(data: bytes, suffix: str) -> str | None:
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


def _decode(data: bytes, limits: Limits) -> list[Part]:
    return [replace(read_picture(data, limits), metadata=exif_columns(data))]


_NAMES = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "HEIC", "AVIF")
FORMAT = Format("image", _NAMES, SUFFIXES, _recognise, _decode, end=end_of, apart=True)
