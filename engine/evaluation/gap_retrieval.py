"""Retrieval from one modality to another inside a collection: ranks of what belongs together, and means.

Questions and candidates are stored vectors; what a page or a command asks a collection is in `run.py`.
An item may belong to several (a picture and its five captions): the best rank counts ("any hit").
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.metrics import Interval, bootstrap
from engine.progress import Watch

KS = (1, 5, 10)
MOST_QUESTIONS = 1_000
RESAMPLES = 500
_BLOCK = 500
_UNHEARD = Watch()


@dataclass(frozen=True)
class Retrieval:
    """How well items of one modality find what belongs to them among the other, by cosine.

    `hits` has hit@k ("any hit", R@k) for every k of KS, in [0, 1] with intervals over questions, `mrr` the
    mean reciprocal rank, `median_rank` the median rank of the best (ties at mid-rank); `chance_hits` and
    `chance_mrr` are those of a random order with one right answer, where the median rank is
    (candidates + 1) / 2.
    """

    questions: int
    candidates: int
    hits: dict[str, Interval]
    mrr: Interval
    median_rank: float
    chance_hits: dict[str, float]
    chance_mrr: float


def retrieval(
    x: np.ndarray,
    y: np.ndarray,
    keys_x: Sequence[Hashable],
    keys_y: Sequence[Hashable],
    *,
    seed: int = 0,
    watch: Watch = _UNHEARD,
) -> Retrieval | None:
    """Return how well the rows of x find the rows of y of the same key.

    x (n, d), y (m, d): unit rows of any float dtype, compared as float32, so that cosines within 1e-6 tie.
    At most MOST_QUESTIONS of the rows of x ask, drawn by the seed, and all of y answer. None where no row of
    x has one of y. Raises CancelledError where the watch hears a cancel.
    """
    ranks, candidates = best_ranks(x, y, keys_x, keys_y, seed=seed, watch=watch), len(y)
    if not len(ranks):
        return None
    every = np.arange(1, candidates + 1)

    def mean(values: np.ndarray) -> Interval:
        """values: (questions,) float64."""
        return bootstrap(values, resamples=RESAMPLES, seed=seed)

    return Retrieval(
        questions=len(ranks),
        candidates=candidates,
        hits={str(k): mean((ranks <= k).astype(np.float64)) for k in KS},
        mrr=mean(1 / ranks),
        median_rank=float(np.median(ranks)),
        chance_hits={str(k): min(1.0, k / candidates) for k in KS},
        chance_mrr=float((1 / every).mean()),
    )


def best_ranks(
    x: np.ndarray,
    y: np.ndarray,
    keys_x: Sequence[Hashable],
    keys_y: Sequence[Hashable],
    *,
    seed: int = 0,
    watch: Watch = _UNHEARD,
) -> np.ndarray:
    """Return for each row of x the best rank of a row of y of its key, among all rows of y.

    x (n, d), y (m, d): unit rows of any float dtype, as in `retrieval`. Returns (questions,) float64 from 1,
    in the order of the rows of x that have one.
    """
    documents = y.astype(np.float32, copy=False)
    rows_of: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys_y):
        rows_of.setdefault(key, []).append(row)
    asked = np.array([row for row, key in enumerate(keys_x) if key in rows_of], np.intp)
    if len(asked) > MOST_QUESTIONS:
        asked = np.sort(np.random.default_rng(seed).choice(asked, MOST_QUESTIONS, replace=False))
    ranks = np.empty(len(asked))
    for start in range(0, len(asked), _BLOCK):
        watch.at(start / len(asked))
        rows = asked[start : start + _BLOCK]
        scores = x[rows].astype(np.float32, copy=False) @ documents.T
        # In whole millionths, as equal vectors differ by the noise of a product, which is no order.
        np.rint(np.multiply(scores, 1e6, out=scores), out=scores)
        own = _best_own(scores, [rows_of[keys_x[row]] for row in rows.tolist()])
        above = np.count_nonzero(scores > own, axis=1)
        tied = np.count_nonzero(scores == own, axis=1) - 1
        ranks[start : start + len(rows)] = 1 + above + tied / 2
    return ranks


def _best_own(scores: np.ndarray, right: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the best score of each row's right columns: (n, m) float32 -> (n, 1)."""
    counts = np.array([len(columns) for columns in right])
    flat = scores[np.repeat(np.arange(len(scores)), counts), [row for columns in right for row in columns]]
    return np.maximum.reduceat(flat, np.append(0, np.cumsum(counts)[:-1]))[:, None]
