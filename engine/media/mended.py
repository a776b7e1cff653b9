"""Pictures that Pillow refuses or shows nothing of: JPEGs cut at their end, and 16 bits that are not used."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from engine.media.ends import jpeg_ends
from engine.media.pixels import extremes, full_scale, scaled, to_rgb
from engine.types import Noted

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_NEARLY_ALL = 0.95  # of the rows
_END = b"\xff\xd9"
_FILLERS = (b"", 64 * b"\x55")
_DEEP = ("RGB;16", "RGBA;16")  # how Pillow calls 16 bits a colour, with the order of their bytes
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_HIDDEN = 15  # what is left of 12 bits in the upper byte


def rows_of_cut(data: bytes, side_px: int | None) -> tuple[Image, tuple[Noted, ...]] | None:
    """Return the rows that are there of a JPEG without its end, where these are nearly all of them.

    Of a progressive one there are none: its rows are complete at the end only.
    """
    import numpy as np

    if jpeg_ends(data) or _is_progressive(data):
        return None
    # What is missing is decoded from what stands in its place: where two of that differ, the file has ended.
    found, other = (_loaded(data + filler + _END, side_px) for filler in _FILLERS)
    same = (np.asarray(found) == np.asarray(other)).all((1, 2))  # (height,) bool
    rows = found.height if same.all() else int(same.argmin())
    if rows < _NEARLY_ALL * found.height:
        return None
    if rows == found.height:  # nothing but the mark of its end is missing
        return found, ()
    missing = f"{found.height - rows:,} of {found.height:,} rows"
    return found.crop((0, 0, found.width, rows)), (("cut", missing),)


def _is_progressive(data: bytes) -> bool:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        return bool(picture.info.get("progressive"))


def _loaded(data: bytes, side_px: int | None) -> Image:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        if side_px:
            picture.draft(None, (side_px, side_px))
        picture.load()
        return to_rgb(picture)[0]


def is_deep(picture: ImageFile) -> bool:
    """Tell whether an opened picture has 16 bits a colour, of which Pillow keeps the upper eight."""
    return any(_raw_mode(tile.args).startswith(_DEEP) for tile in picture.tile)


def deep_colours(picture: ImageFile, data: bytes) -> tuple[Image, tuple[Noted, ...]] | None:
    """Return a loaded picture of 16 bits a colour in RGB by all of them, where eight show next to nothing."""
    import numpy as np
    from PIL import Image

    if max(high for _, high in extremes(picture)[:3]) > _HIDDEN:
        return None
    with Image.open(io.BytesIO(data), formats=[picture.format or ""]) as other:
        # Told that the bytes are in the other order, Pillow keeps the lower ones.
        other.tile = [tile._replace(args=_swapped(tile.args)) for tile in other.tile]
        other.load()
        values = np.asarray(picture).astype(np.uint16) << 8 | np.asarray(other)  # (height, width, 3 or 4)
    white, notes = full_scale(int(values[..., :3].max()))
    rgb = scaled(values[..., :3], 0.0, white)
    if picture.mode == "RGBA":
        alpha = values[..., 3]
        rgb.putalpha(scaled(alpha, 0.0, full_scale(int(alpha.max()))[0]))
    mended, more = to_rgb(rgb)
    return mended, (*notes, *more)


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _swapped(args: Any) -> Any:
    """Return what a decoder is told of the bytes, in the other order."""
    name = _raw_mode(args)
    name = name[:-1] + _OTHER_ORDER[name[-1]]
    return (name, *args[1:]) if isinstance(args, tuple) else name
