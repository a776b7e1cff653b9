"""Decoded pixels of any kind into 8-bit RGB on a ground that shows them; opens no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.types import Noted

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

MAX_ASPECT = 50  # a processor that resizes the shorter edge to 384 px makes 22 MB of such a strip
_STRIP_ROWS = 256
_FLAT_LEVELS = 2  # of 255: what a lossy format makes of one colour
_FEW_BITS = 12  # with so few of 16 bits a picture is black; 14 may be a dark one
_OPAQUE, _LIGHT = 128, 230  # of 255
_NEARLY_ALL = 0.95
_SAMPLED_PX = 512  # a side that is enough to tell what is drawn


def to_rgb(picture: Image) -> tuple[Image, tuple[Noted, ...]]:
    """Return a loaded picture of any mode as RGB, and what must be said of that."""
    notes: tuple[Noted, ...] = ()
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture, notes = _eight_bit(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB"), notes
    from PIL import Image

    rgba = picture.convert("RGBA")
    is_light = _drawn_in_white(rgba)
    ground = Image.new("RGB", rgba.size, "black" if is_light else "white")
    ground.paste(rgba, mask=rgba)  # a third of the memory that compositing takes
    return ground, (*notes, ("ground", "")) if is_light else notes


def _drawn_in_white(rgba: Image) -> bool:
    """Tell whether a picture has a transparent ground on which nearly all that can be seen is white."""
    if extremes(rgba)[3][0] >= _OPAQUE:
        return False
    step = max(1, max(rgba.size) // _SAMPLED_PX)
    small = rgba.reduce(step) if step > 1 else rgba
    mask = small.getchannel("A").point(lambda value: 255 * (value >= _OPAQUE))
    counts = small.convert("RGB").convert("L").histogram(mask)
    return sum(counts[_LIGHT:]) > _NEARLY_ALL * sum(counts)


def _eight_bit(picture: Image) -> tuple[Image, tuple[Noted, ...]]:
    """Scale 16-bit, 32-bit and float greys to 8 bits; Pillow's own convert() clips at 255."""
    import numpy as np

    values = np.asarray(picture)  # (height, width)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):
        raise ValueError("its values are not finite")
    notes: tuple[Noted, ...] = ()
    if picture.mode != "F" and low >= 0 and high <= 65535:
        low, (high, notes) = 0.0, full_scale(int(high))
    elif picture.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return scaled(values, low, high), notes


def full_scale(highest: int) -> tuple[float, tuple[Noted, ...]]:
    """Return what is white where 16-bit values go up to `highest`, and a note where that is not 65,535."""
    bits = highest.bit_length()
    if not 0 < bits <= _FEW_BITS:
        return 65535.0, ()
    return 2.0**bits - 1, (("depth", f"{bits} bits"),)


def scaled(values: np.ndarray, low: float, high: float) -> Image:
    """Return values, (height, width) or (height, width, 3) of any dtype, as 8 bits from low to high."""
    import numpy as np
    from PIL import Image

    span = (high - low) or 1.0
    small = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _STRIP_ROWS):  # 64-bit floats of a whole picture would take gigabytes
        strip = values[top : top + _STRIP_ROWS].astype(np.float64)
        small[top : top + _STRIP_ROWS] = ((strip - low) / span * 255).round()
    return Image.fromarray(small)


def extremes(picture: Image) -> tuple[tuple[int, int], ...]:
    """Return the least and the greatest value of every band of a picture that has several, of 8 bits each."""
    found: Any = picture.getextrema()
    return found


def is_flat(picture: Image) -> bool:
    """Tell whether an RGB picture is one colour."""
    return all(high - low <= _FLAT_LEVELS for low, high in extremes(picture))


def within_aspect(picture: Image) -> Image:
    """Return the picture, or the middle of one that is more than MAX_ASPECT times as long as wide.

    A processor that brings the shorter edge to a given size would make gigabytes of a strip; it cuts out the
    middle afterwards, so that it sees the same.
    """
    short, long = sorted(picture.size)
    if long <= MAX_ASPECT * short:
        return picture
    left, top = ((side - min(side, MAX_ASPECT * short)) // 2 for side in picture.size)
    return picture.crop((left, top, picture.width - left, picture.height - top))
