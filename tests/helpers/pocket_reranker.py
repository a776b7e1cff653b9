"""Evidence of Pocket's reranker, made up."""

from __future__ import annotations

import numpy as np

from engine.models.pocket.reranker.evidence import (
    Evidence,
)


def some(seed: int = 0, text: tuple[str, ...] = (), things: int = 0) -> Evidence:
    """Return made-up evidence of the right shapes."""
    chance = np.random.default_rng(seed)

    def half(*shape: int) -> np.ndarray:
        return chance.uniform(0.01, 1, shape).astype(np.float16)

    return Evidence(
        half(8),
        half(14, 8),
        half(3, 4, 8),
        half(1000),
        np.float32(1.5),
        half(3, 4, 11),
        half(3, 4),
        things,
        text,
    )
