"""Pocket's picture tower: EfficientNet-Lite2 on ONNX Runtime, turned into the text space by ConSE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.models.pocket.recipe import RECIPE
from engine.models.pocket.runtime import Runner
from engine.vectors import normalise

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZE_PX: int = RECIPE.image["resize_px"]
CROP_PX: int = RECIPE.image["crop_px"]
_CHUNK = 2  # 97 pictures/s on two cores, where chunks of 8 gave 82: they stay in the cores' caches


def prepare(picture: Image) -> np.ndarray:
    """Resize the shorter side to 297 px (bicubic) and cut the centre: (260, 260, 3) uint8 RGB.

    Only the centre square of the source is resized: the same pixels as resizing all and cutting.
    """
    from PIL import Image

    side = min(picture.size) * CROP_PX / RESIZE_PX
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    small = picture.resize(
        (CROP_PX, CROP_PX),
        Image.Resampling.BICUBIC,
        box=(left, top, left + side, top + side),
        reducing_gap=3.0,
    )
    return np.asarray(small, np.uint8)


def conse(probabilities: np.ndarray, anchors: np.ndarray, top: int, *, sharpness: float = 1.0) -> np.ndarray:
    """Return the weighted mean of the label vectors of the likeliest classes, at unit length.

    f(x) = (1/Z) Σ_{t≤top} p_t^a s_t with Z = Σ_{t≤top} p_t^a; a (sharpness) is 1 in Norouzi et al. 2014,
    and below 1 gives the second thoughts of an over-sure classifier more weight.
    probabilities: (n, classes) float32 in [0, 1]; anchors: (classes, d) float32 of unit length; top: 1 to
    classes. Returns (n, d) float32.
    """
    best = np.argpartition(-probabilities, top - 1, axis=1)[:, :top]  # (n, top)
    weights = np.take_along_axis(probabilities, best, axis=1) ** sharpness  # (n, top)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return normalise(np.einsum("nt,ntd->nd", weights, anchors[best]))  # (n, d)


class ImageTower:
    """Pictures to unit vectors of 384 numbers in the text tower's space."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._runner = Runner(folder / "image.onnx", threads)
        self._anchors = np.load(folder / "anchors.npy")

    def encode(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Embed n prepared pictures, (260, 260, 3) uint8 each: (n, 384) float32, unit rows, order kept."""
        if not len(prepared):
            return np.zeros((0, self._anchors.shape[1]), np.float32)
        rule = RECIPE.anchors
        probabilities = self.probabilities(prepared)
        return conse(probabilities, self._anchors, rule["top_classes"], sharpness=rule["sharpness"])

    def probabilities(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Return p(class | picture) of n >= 1 prepared pictures, (260, 260, 3) uint8 each.

        (n, 1000) float32 in [0, 1], rows that sum to 1.
        """
        chunks = [
            {"pixels": np.stack(prepared[start : start + _CHUNK])}
            for start in range(0, len(prepared), _CHUNK)
        ]
        return np.concatenate(self._runner.run(chunks))
