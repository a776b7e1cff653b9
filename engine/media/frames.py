"""Which frame of an animation, or page of a file, is taken: the first that is not one flat colour."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.media.pixels import is_flat

if TYPE_CHECKING:
    from PIL.Image import Image


def shown_frame(
    picture: Image,
    first: Image,
    read: Callable[[], Image],
    *,
    max_pixels: int,
    errors: tuple[type[Exception], ...],
) -> tuple[Image, int]:
    """Return the frame that is shown of an opened file, and its number from 1.

    `first` is its first frame, in RGB, and `read` returns the one that the file was brought to. Later frames
    are looked at until their pixels are max_pixels in all, or one of them raises one of `errors`.
    """
    looked, number = 0, 1
    while looked <= max_pixels:
        try:
            picture.seek(number)
            found = read()
        except errors:  # the end of the file too
            break
        looked, number = looked + found.width * found.height, number + 1
        if not is_flat(found):
            return found, number
    return first, 1


def check_frames(data: bytes, max_pixels: int, check_size: Callable[[tuple[int, int]], None]) -> None:
    """Decode the frames of a GIF, `max_pixels` in all: a broken one means the file was damaged on its way.

    A later frame may enlarge the picture beyond what its header says; `check_size` refuses it before memory
    is taken for it.
    """
    from PIL.GifImagePlugin import GifImageFile

    class Bounded(GifImageFile):
        @property
        def _size(self) -> tuple[int, int]:
            return self.__dict__["_size"]

        @_size.setter
        def _size(self, size: tuple[int, int]) -> None:
            check_size(size)
            self.__dict__["_size"] = size

    with Bounded(io.BytesIO(data)) as frames:
        decoded = 0
        while decoded <= max_pixels:
            frames.load()
            decoded += frames.width * frames.height
            try:
                frames.seek(frames.tell() + 1)
            except EOFError:
                break
