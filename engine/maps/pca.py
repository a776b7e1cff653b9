"""Rows on their principal components, block by block, a given axis before them. Pure: NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK = 20_000  # rows taken into a QR decomposition at once


def pca(vectors: np.ndarray, dims: int, axis: np.ndarray | None) -> np.ndarray:
    """Return vectors (n, d) on their first principal components: (n, dims) of the same float dtype.

    An axis (d,), of length 1, goes before them, and they are taken across it. Where there are fewer, the last
    columns are 0. The sign of a component is free: the largest number of each is made positive, so that
    maps agree.
    """
    mean, first = vectors.mean(0), [] if axis is None else [axis]
    _, _, components = np.linalg.svd(_thin(vectors, mean, axis), full_matrices=False)
    rows = [*first, *components[: dims - len(first)]]
    rows = [
        row * np.sign(row[np.argmax(np.abs(row))]) if place >= len(first) else row
        for place, row in enumerate(rows)
    ]
    axes = np.array(rows).T
    places = np.concatenate([(block - mean) @ axes for block in _blocks(vectors)])
    return np.pad(places, ((0, 0), (0, dims - places.shape[1])))


def _thin(vectors: np.ndarray, mean: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """Return a matrix (at most d, d), of the rows' dtype, with their right singular vectors once centred.

    vectors: (n, d), mean and axis: (d,). What lies along the axis is taken out. Block by
    block, as a million rows are not to be copied.
    """
    small = vectors[:0]
    for block in _blocks(vectors):
        rows = block - mean
        rows = rows if axis is None else rows - np.outer(rows @ axis, axis)
        small = np.concatenate([small, rows])
        small = small if len(small) <= small.shape[1] else np.asarray(np.linalg.qr(small, mode="r"))
    return small


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Return rows (n, d) in parts."""
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
