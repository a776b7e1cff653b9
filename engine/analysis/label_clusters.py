"""Clusters of two modalities together, held against labels: do they follow what is shown, or the modality?

Pure. k-means finds them, as many as there are labels. Sources: Rosenberg and Hirschberg 2007 (V-measure),
Grassucci et al. 2026 (the V-measure as what a modality gap costs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ONE_MODALITY = 0.95  # a cluster that has this share of one modality is of that modality only
STARTS = 3  # k-means ends elsewhere from another start: how far elsewhere is part of the answer


@dataclass(frozen=True)
class LabelClusters:
    """How clusters of `rows` rows agree with their `labels` labels, over STARTS starts of k-means.

    `v_measure` is the mean, `lowest` and `highest` the ends, all in [0, 1], where 1 is a cluster for each
    label and nothing else in it; `one_modality` the mean share of clusters in which one modality has
    ONE_MODALITY of the rows or more.
    """

    rows: int
    labels: int
    v_measure: float
    lowest: float
    highest: float
    one_modality: float


def label_clusters(
    x: np.ndarray, y: np.ndarray, labels: Sequence[str], *, seed: int = 0
) -> LabelClusters | str:
    """Return how k-means over both modalities agrees with labels, or in words why that cannot be told.

    x (n, d) and y (m, d): unit rows of any float dtype; labels: one for each row of x, then of y, "" for
    none, and those rows are left out. k is the number of labels, or of rows that differ if fewer.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    there = np.array([bool(label) for label in labels], bool)
    if not there.any():
        return "No item has a label, so there is nothing to hold clusters against."
    rows = np.concatenate([x, y]).astype(np.float32)[there]
    of_x, known = (np.arange(len(there)) < len(x))[there], [label for label in labels if label]
    count = len(set(known))
    if count < 2 or count > len(rows) // 2:
        return f"{len(rows):,} items with {count:,} different labels cannot be clustered by label."
    k = min(count, _different(rows))
    if k < 2:
        return "All vectors are the same: there are no clusters."
    measured, alone = [], []
    for start in range(STARTS):
        found = KMeans(k, n_init=1, max_iter=100, random_state=seed + start).fit_predict(rows)
        measured.append(float(v_measure_score(known, found)))
        alone.append(_of_one_modality(found, of_x))
    return LabelClusters(
        len(rows), count, float(np.mean(measured)), min(measured), max(measured), float(np.mean(alone))
    )


def _different(rows: np.ndarray) -> int:
    """Return how many rows (n, d) differ, told by their place along one random line."""
    line = np.random.default_rng(0).normal(size=rows.shape[1])
    return len(np.unique(np.round(rows @ line, 6)))


def _of_one_modality(clusters: np.ndarray, of_x: np.ndarray) -> float:
    """Return the share of clusters (n,) int32 that are of one modality; of_x: (n,) bool."""
    sizes = np.bincount(clusters)
    shares = np.bincount(clusters, of_x)[sizes > 0] / sizes[sizes > 0]
    return float((np.maximum(shares, 1 - shares) >= ONE_MODALITY).mean())
