"""The modality gap in numbers, from the vectors themselves and never from a projection of them.

Rows are one modality each, made unit length first: without that the length of vectors mixes into the
gap. Pure; knows no store. What chance does to these is in `gap_chance.py`, pairs against what does not belong
together in `pairwise.py`, the classifier of the modality in `separability.py`, and all of it for a collection
in `engine/evaluation/gap_matrix.py`. Sources: Liang et al. 2022 (gap vector, L2M), Schrodi et al. 2024 (RMG,
L2I, the few dimensions), Wang and Isola 2020 (alignment, uniformity). All arithmetic is in float64, but for
the cosines that only rank neighbours (`knn_purity`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from engine.analysis.all_pairs import uniformity_rows
from engine.progress import Watch
from engine.vectors import normalise

_BLOCK = 1_000
_UNHEARD = Watch()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d), any float dtype, as unit rows (n, d) float64.

    Raises ValueError for a zero or not finite row.
    """
    return normalise(vectors, dtype=np.float64)


def l2m(x: np.ndarray, y: np.ndarray) -> float:
    """Return ‖mean(x) - mean(y)‖, in [0, 2]; x (n, d), y (m, d) float64 unit rows. Liang et al. 2022."""
    return float(np.linalg.norm(x.mean(0) - y.mean(0)))


def l2m_squared_unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """Return L2M² less tr(Σx)/n and tr(Σy)/m, by which chance raises it; may be below 0.

    x (n, d), y (m, d) float64 unit rows, n, m >= 2. Raises ValueError below.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError("a spread needs two rows of each modality")
    return l2m(x, y) ** 2 - sum(_trace(rows) / len(rows) for rows in (x, y))


def _trace(rows: np.ndarray) -> float:
    """Return the trace of the covariance of rows (n, d) float64, by n - 1."""
    middle = rows.mean(0)
    return max(0.0, float(np.vdot(rows, rows)) - len(rows) * float(middle @ middle)) / (len(rows) - 1)


def cone(x: np.ndarray) -> float:
    """Return the mean cosine of two different rows, in [-1/(n-1), 1].

    x (n, d) float64 unit rows, n >= 2. Raises ValueError below.
    """
    if len(x) < 2:
        raise ValueError("a mean cosine needs two rows")
    total = x.sum(0)
    return float((total @ total - np.vdot(x, x)) / (len(x) * (len(x) - 1)))


def unpaired_cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean cosine of rows that do not belong together, in [-1, 1].

    x, y: (n, d) float64 unit rows, row i with row i, n >= 2. Raises ValueError for less, or for two shapes.
    """
    check_paired(x, y)
    if len(x) < 2:
        raise ValueError("rows that do not belong together need two pairs")
    return float((x.sum(0) @ y.sum(0) - np.vdot(x, y)) / (len(x) * (len(x) - 1)))


def rmg(x: np.ndarray, y: np.ndarray) -> float:
    """Return the relative modality gap of n pairs, in [0, 1]: 0.5 where a pair is as far as two random rows.

    The mean distance d = (1 - cos) / 2 of pairs over itself plus the mean distance within modalities,
    i = i left out. x, y: (n, d) float64 unit rows, row i with row i, n >= 2. Raises ValueError for less,
    or for two shapes. Schrodi et al. 2024.
    """
    check_paired(x, y)
    across = alignment(x, y) / 4  # (1 - cos) / 2 by differences: exactly 0 where the two are the same
    within = max(0.0, ((1 - cone(x)) / 2 + (1 - cone(y)) / 2) / 2)
    # 0/0 where all points coincide: there is no gap then.
    return across / (across + within) if across + within > 1e-15 else 0.0


def l2i(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean distance of pairs, in [0, 2]. Schrodi et al. 2024.

    x, y: (n, d) float64 unit rows, row i with row i, n >= 1. Raises ValueError for two shapes.
    """
    check_paired(x, y)
    return float(np.sqrt(squared_distances(x, y)).mean())


def alignment(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared distance of pairs, in [0, 4]: 2 - 2 mean cosine. Wang and Isola 2020.

    x, y: (n, d) float64 unit rows, row i with row i, n >= 1. Raises ValueError for two shapes.
    """
    check_paired(x, y)
    return float(squared_distances(x, y).mean())


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ‖xi - yi‖² of pairs, (n,) float64; x, y: (n, d) float64, by blocks."""
    found = np.empty(len(x))
    for start in range(0, len(x), _BLOCK):
        apart = x[start : start + _BLOCK] - y[start : start + _BLOCK]
        found[start : start + _BLOCK] = np.einsum("ij,ij->i", apart, apart)
    return found


def uniformity(x: np.ndarray, *, t: float = 2.0) -> float:
    """Return log mean exp(-t ‖xi - xj‖²) over i < j, in [-2tn/(n-1), 0]: low is spread out.

    x (n, d) unit rows of any float dtype, n >= 2. Raises ValueError below. Wang and Isola 2020.
    """
    return float(uniformity_rows(x @ x.T, t=t).mean())


def cross_uniformity(x: np.ndarray, y: np.ndarray, *, t: float = 2.0) -> float:
    """Return log mean exp(-t ‖xi - yj‖²) over i != j, in [-4t, 0]: low where what is no pair is far apart.

    A gap lowers it too. x, y: (n, d) unit rows of any float dtype, row i with row i, n >= 2. Raises
    ValueError for less, or for two shapes.
    """
    check_paired(x, y)
    return float(uniformity_rows(x @ y.T, t=t).mean())


def top_dims_share(x: np.ndarray, y: np.ndarray, *, k: int) -> float | None:
    """Return the share of ‖Δ‖² that the k largest numbers of the gap vector Δ carry, in [k/d, 1].

    x (n, d), y (m, d) float64 unit rows, k >= 1; None where the centroids are one. Schrodi et al. 2024.
    """
    squares = np.sort((x.mean(0) - y.mean(0)) ** 2)[::-1]
    return float(squares[:k].sum() / squares.sum()) if squares.sum() > 1e-24 else None


def pc1_agreement(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return |cosine| of the gap vector and the first principal component of both together, in [0, 1].

    At 1 the first axis of a joint PCA is the gap. x (n, d), y (m, d) float64 unit rows; None where the
    centroids are one. After Liang et al. 2022.
    """
    from scipy.sparse.linalg import svds

    rows, apart = np.concatenate([x, y]), x.mean(0) - y.mean(0)
    length = float(np.linalg.norm(apart))
    if length < 1e-12:
        return None
    rows -= rows.mean(0)
    if min(rows.shape) < 10:  # below what the iteration of svds takes
        first = np.linalg.svd(rows, full_matrices=False)[2][0]
    else:
        start = np.random.default_rng(0).normal(size=min(rows.shape))
        first = svds(rows, k=1, v0=start, return_singular_vectors="vh")[2][0]
    return min(1.0, float(abs(first @ apart) / length))


def knn_purity(x: np.ndarray, y: np.ndarray, *, k: int = 15, watch: Watch = _UNHEARD) -> float:
    """Return the mean share of the k nearest neighbours (cosine, itself left out) of the own modality.

    In [0, 1], over the rows of both: x (n, d) and y (m, d) unit rows, any float dtype (compared as
    float32), 1 <= k < n + m. Raises ValueError for another k, and CancelledError where the
    watch hears a cancel.
    """
    rows = np.concatenate([x, y]).astype(np.float32)
    if not 1 <= k < len(rows):
        raise ValueError(f"k is {k}; it must be 1 to {len(rows) - 1}")
    labels, shares = np.repeat([0, 1], [len(x), len(y)]), []
    for start in range(0, len(rows), _BLOCK):
        watch.at(start / len(rows))
        block = slice(start, start + _BLOCK)
        scores = rows[block] @ rows.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        nearest = np.argpartition(scores, len(rows) - k, axis=1)[:, len(rows) - k :]
        shares.append((labels[nearest] == labels[block][:, None]).mean(1))
    return float(np.concatenate(shares).mean())


def purity_baseline(n: int, m: int) -> float:
    """Return the purity that n and m rows would have where modality did not matter, in [0, 1]; n + m >= 2."""
    total = n + m
    return (n * (n - 1) + m * (m - 1)) / (total * (total - 1))


def joined(
    a: Sequence[str], b: Sequence[str], pair_of: Mapping[str, Hashable]
) -> tuple[list[int], list[int]]:
    """Return the rows of a and of b that belong together, one row of b for each of a, each used once."""
    waiting: dict[Hashable, list[int]] = {}
    for row, id_ in enumerate(b):
        waiting.setdefault(pair_of.get(id_, id_), []).append(row)
    left, right = [], []
    for row, id_ in enumerate(a):
        rows = waiting.get(pair_of.get(id_, id_))
        if rows:
            left.append(row)
            right.append(rows.pop(0))
    return left, right


def check_paired(x: np.ndarray, y: np.ndarray) -> None:
    """Raise ValueError unless x and y, (n, d) of any dtype, have as many rows of one width."""
    if x.shape != y.shape:
        raise ValueError(f"pairs need as many rows on both sides, not {x.shape} and {y.shape}")
