"""Pairs as the lessons take them: real CLIP's, and drawn ones that need no file."""

from __future__ import annotations

import numpy as np

from engine.analysis.gap import unit
from engine.lessons.pairs import Pairs
from tests.helpers.golden import golden


def pairs_of(x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> Pairs:
    ids = [tuple(f"{kind} {row}" for row in range(len(x))) for kind in ("image", "text")]
    return Pairs("drawn", "tester", "image", "text", ids[0], ids[1], x, y, len(x), seed)


def clip_pairs(*, seed: int = 0) -> Pairs:
    """Return the 500 pairs of the golden file; seed 1 halves them as GAP_SCIENCE.md, 3.7 and 3.10."""
    return pairs_of(*golden("features_clip.npy"), seed=seed)


def drawn_pairs(n: int, *, gap: float = 0.5, noise: float = 0.3, dim: int = 12, seed: int = 0) -> Pairs:
    """Return pairs around shared directions, pushed apart along one axis by `gap`."""
    chance = np.random.default_rng(seed)
    shared, away = chance.normal(size=(n, dim)), np.zeros(dim)
    away[0] = gap * dim**0.5
    x, y = (unit(shared + sign * away + noise * chance.normal(size=(n, dim))) for sign in (1, -1))
    return pairs_of(x, y, seed=seed)
