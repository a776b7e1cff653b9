"""Lesson 3: a PCA along the gap, every item's place on it, and UMAP, each beside the whole space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.analysis.gap import knn_purity, l2m, purity_baseline
from engine.lessons.pairs import Pairs
from engine.lessons.picture import NEIGHBOURS, Places, places_of
from engine.progress import Watch

MOST_PAIRS = 400  # a UMAP of so many pairs takes seconds
BINS = 40
_UNHEARD = Watch()


@dataclass(frozen=True)
class Flat:
    """A map of both modalities: places x and y (n, 2) float64, row i with row i, their common mean at 0.

    `ratio` is the distance of their centroids over their rms spread on this map; None without a spread.
    """

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    ratio: float | None


@dataclass(frozen=True)
class Islands:
    """What a PCA along the gap shows, and what is true of the whole space.

    counts_x and counts_y: (BINS,) int64, how many items of each modality lie between edges (BINS + 1,)
    float64 along the line of centroids, from their common mean. `l2m` is the distance of the centroids in
    [0, 2], `ratio` that over the rms spread in all dimensions, `shown` the share in [0, 1] of the spread
    around the centroids that the PCA keeps. `crossing` is the share of the `k` nearest neighbours that are of
    the other modality, and `mixed` what it would be if modality did not matter.
    """

    pca: Flat
    counts_x: np.ndarray = field(repr=False)
    counts_y: np.ndarray = field(repr=False)
    edges: np.ndarray = field(repr=False)
    l2m: float
    ratio: float | None
    shown: float
    crossing: float
    mixed: float
    k: int


def islands(pairs: Pairs) -> Islands:
    """Return the islands of pairs as a PCA along the gap shows them, and as they are.

    Raises ProjectionError where the centroids are in one place.
    """
    x, y = pairs.x, pairs.y
    flat = _flat(places_of(pairs, "PCA along the gap", _UNHEARD))
    reach = float(max(np.abs(flat.x[:, 0]).max(), np.abs(flat.y[:, 0]).max()))
    edges = np.linspace(-reach, reach, BINS + 1)
    k = min(NEIGHBOURS, len(pairs) - 1)  # no more than an item has others of its own modality
    counts_x, counts_y = (np.histogram(part[:, 0], edges)[0] for part in (flat.x, flat.y))
    whole = _spread(x, y)
    return Islands(
        pca=flat,
        counts_x=counts_x,
        counts_y=counts_y,
        edges=edges,
        l2m=l2m(x, y),
        ratio=distance_over_spread(x, y),
        shown=(_spread(flat.x, flat.y) / whole) ** 2 if whole > 0 else 1.0,
        crossing=1 - knn_purity(x, y, k=k),
        mixed=1 - purity_baseline(len(x), len(y)),
        k=k,
    )


def umap(pairs: Pairs, *, n_neighbors: int, seed: int, watch: Watch = _UNHEARD) -> Flat:
    """Return a UMAP of both modalities by cosine; of fewer than 15 items a PCA, as `maps.projection.fit`.

    Raises ProjectionError for settings that cannot be, and CancelledError where the watch hears a cancel.
    """
    return _flat(places_of(pairs, "UMAP", watch, n_neighbors=n_neighbors, seed=seed))


def distance_over_spread(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return the distance of two centroids over the rms distance of all rows from their own one.

    x (n, d), y (m, d) of any float dtype, in any number of dimensions; in [0, inf), or None where nothing
    is spread.
    """
    spread = _spread(x, y)
    return float(np.linalg.norm(x.mean(0) - y.mean(0))) / spread if spread > 1e-12 else None


def _spread(x: np.ndarray, y: np.ndarray) -> float:
    """Return the rms distance of rows from the centroid of their own modality, each modality alike."""
    return float(np.sqrt((x.var(0).sum() + y.var(0).sum()) / 2))


def _flat(places: Places) -> Flat:
    x, y = places.x.astype(np.float64), places.y.astype(np.float64)
    middle = np.concatenate([x, y]).mean(0)
    return Flat(x - middle, y - middle, distance_over_spread(x, y))
