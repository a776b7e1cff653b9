"""Nearest neighbours by comparing everything with everything, block by block. Pure: NumPy alone."""

from __future__ import annotations

import numpy as np

from engine.progress import Watch

_BLOCK = 2_000  # rows compared at once
_PAIRS = 8_000_000  # at once, at most: 32 MB of scores and 64 MB of the order they are in


def exact(
    vectors: np.ndarray, k: int, metric: str, watch: Watch | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the k nearest of all rows and their distances, itself first.

    vectors: (n, d) float32 unit rows; 1 <= k <= n. Both results are (n, k), int64 and float32; `metric` is
    cosine (1 - cosine) or euclidean. Raises CancelledError.
    """
    watch = watch or Watch()
    rows, distances = [], []
    squares = (vectors**2).sum(1)
    step = max(1, min(_BLOCK, _PAIRS // len(vectors)))
    for start in range(0, len(vectors), step):
        watch.at(start / len(vectors))
        block = vectors[start : start + step]
        scores = block @ vectors.T
        if metric == "euclidean":
            scores = -np.sqrt(np.maximum(0, squares[start : start + step, None] + squares - 2 * scores))
        own = np.arange(len(block))
        scores[own, own + start] = np.inf
        found = nearest(scores, k)
        near = np.take_along_axis(scores, found, 1)
        near[:, 0] = 1.0 if metric == "cosine" else 0.0  # its own
        rows.append(found)
        distances.append(np.maximum(0, 1 - near) if metric == "cosine" else -near)
    return np.concatenate(rows), np.concatenate(distances).astype(np.float32)


def nearest(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k highest scores of every row, highest first: (n, m) to (n, k) int64."""
    kept = scores.shape[1] - min(k, scores.shape[1])
    some = np.argpartition(scores, kept, axis=1)[:, kept:]
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
