"""Recall at several k with its intervals, and how it changed for the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.evaluation.metrics import Interval, bootstrap

RESAMPLES = 1_000


@dataclass(frozen=True)
class Recalls:
    """Recall@k (any hit) in [0, 1] by k, and its change in [-1, 1] against another one, empty for none.

    Both with bootstrap intervals of 95 %, the change of the same questions (paired).
    """

    hits: dict[int, Interval]
    changes: dict[int, Interval]


def recalls(
    ranks: Mapping[int, np.ndarray], before: Mapping[int, np.ndarray] | None = None, *, seed: int = 0
) -> Recalls:
    """Return what ranks (q,) float64, from 1, say for each k; infinity is not found.

    `before` (q,) float64: those of the same questions in the same order, to tell the change from.
    """
    found = {k: (one <= k).astype(np.float64) for k, one in ranks.items()}
    changed = {} if before is None else {k: one - (before[k] <= k) for k, one in found.items()}
    return Recalls(_means(found, seed), _means(changed, seed))


def _means(values: Mapping[int, np.ndarray], seed: int) -> dict[int, Interval]:
    return {k: bootstrap(one, resamples=RESAMPLES, seed=seed) for k, one in values.items()}
