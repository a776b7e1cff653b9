"""Colours by name: which of eleven basic colour names a pixel has, and which a question asks for.

The names are Berlin and Kay's (1969) eleven basic colour terms; the shades that belong to each come
from the XKCD colour survey (Munroe 2010, CC0), in weights.json.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from engine.models.pocket.reranker.recipe import RECIPE

NAMES: tuple[str, ...] = tuple(RECIPE.shades)
_STEPS = 32  # per channel: the table of 32 x 32 x 32 colours is looked up, not computed, per pixel


def named(pixels: np.ndarray) -> np.ndarray:
    """Return the place in NAMES of the colour of all pixels: (...,) int8 for (..., 3) uint8 RGB."""
    steps = pixels >> 3
    return _table()[steps[..., 0], steps[..., 1], steps[..., 2]]


def asked(word: str) -> int | None:
    """Return the place in NAMES of the colour that a word of a question means, or None."""
    name = RECIPE.colour_words.get(word)
    return None if name is None else NAMES.index(name)


@cache
def _table() -> np.ndarray:
    """Return the nearest name in CIELAB of every coarse RGB colour: (32, 32, 32) int8."""
    levels = np.arange(_STEPS) * (256 // _STEPS) + 4
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    shades = [(place, shade) for place, name in enumerate(NAMES) for shade in RECIPE.shades[name]]
    rgb = np.array([[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for _, shade in shades])
    owners = np.array([place for place, _ in shades], np.int8)
    lab, known = _lab(grid), _lab(rgb)
    nearest = [
        ((block[:, None, :] - known) ** 2).sum(-1).argmin(1) for block in np.array_split(lab, 16)
    ]  # blocks: 32,768 x 100 x 3 numbers at once would take 80 MB
    return owners[np.concatenate(nearest)].reshape(_STEPS, _STEPS, _STEPS)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Return sRGB (n, 3) int64 in 0..255 as CIELAB (n, 3) float64 under D65 (IEC 61966-2-1, CIE 1976)."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)
