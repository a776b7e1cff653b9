"""Pure NumPy on rows of vectors; knows nothing of items, models or stores."""

from __future__ import annotations

import numpy as np

_ROWS = 10_000  # in float64 at once: of a million rows it would be gigabytes


def normalise(vectors: np.ndarray, *, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Scale every row to unit Euclidean length.

    vectors: (n, d), any float dtype. Returns (n, d) of dtype. Raises ValueError for a row that is
    zero or not finite: it has no direction, and a made-up one would be found by later searches.
    """
    vectors = np.asarray(vectors)
    unit = np.empty(vectors.shape, dtype)
    for start in range(0, len(vectors), _ROWS):
        unit[start : start + _ROWS] = _normalised(np.asarray(vectors[start : start + _ROWS], np.float64))
    return unit


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Return float64 rows (n, d) at unit length, float64. Raises ValueError as `normalise` does."""
    peaks = np.abs(vectors).max(axis=1, keepdims=True, initial=0)  # (n, 1)
    if not np.isfinite(peaks).all() or (peaks == 0).any():
        raise ValueError("a row that is zero or not finite cannot be normalised")
    scaled = vectors / peaks  # squares of very small or large numbers would leave float64's range
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def truncate(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Keep the first dim numbers of every row: vectors (n, d) -> (n, dim) of the same dtype, a view.

    They are not of unit length. Only models trained for it (Matryoshka representation learning, Kusupati
    et al. 2022) keep their order at a smaller width. Raises ValueError unless 1 <= dim <= d.
    """
    if not 0 < dim <= vectors.shape[1]:
        raise ValueError(f"a width of {dim} cannot be cut from vectors of {vectors.shape[1]}")
    return vectors[:, :dim]


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return res[i][j] = a[i] · b[j] for rows of unit length: (n, d), (m, d) -> (n, m) in [-1, 1].

    Of the wider of the two float dtypes.
    """
    return np.clip(a @ b.T, -1.0, 1.0)
