"""Lesson 11: the first pictures of every caption's list read again by a reranker, which is simulated here.

How far any reranker can come is measured; how good one is, is set: its score is 1 for the caption's own
picture and 0 for others, plus normal noise. No model is asked: Pocket's own reranker is on its page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from engine.evaluation.metrics import Interval, bootstrap
from engine.lessons.pairs import Pairs

Quality = Literal["perfect", "good", "noisy", "random"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
KS = (1, 5, 10, 20, 50, 100)
# What the score of the own picture is raised by, and the standard deviation of the noise on every score.
_SIGNAL: dict[Quality, tuple[float, float]] = {
    "perfect": (1.0, 0.0),
    "good": (1.0, 0.3),
    "noisy": (1.0, 0.8),
    "random": (0.0, 1.0),
}


@dataclass(frozen=True)
class Outcome:
    """What one reranker made of the first K of n lists: R@1 before and after, and questions won and lost.

    won: own item first only after; lost: only before; change: R@1 after less before, paired over questions.
    captured: the share of the possible gain, below 0 for a loss; None where nothing could be gained.
    """

    quality: Quality
    after: float
    won: int
    lost: int
    change: Interval
    captured: float | None


@dataclass(frozen=True)
class Funnel:
    """First-stage lists of `candidates` items for n questions, of which the first `top` are read again.

    ceilings: R@K of the first stage by K, which R@1 after reranking cannot pass; before: its R@1. `by_k`
    has for each quality R@1 after reranking for every K of `ceilings`. read: pairs that a reranker scores.
    """

    n: int
    candidates: int
    top: int
    before: float
    ceiling: float
    ceilings: dict[int, float]
    outcomes: dict[Quality, Outcome]
    by_k: dict[Quality, dict[int, float]]
    read: int


def funnel(pairs: Pairs, top: int) -> Funnel:
    """Rerank what every item of b finds among all of a, for every quality; `top` is at least 1."""
    lists = first_stage(pairs)
    n, candidates = lists.shape
    top = min(top, candidates)
    known = {k: float((places(lists) <= k).mean()) for k in KS if k <= candidates}
    noise = np.random.default_rng(pairs.seed).normal(size=(n, min(candidates, max(*KS, top))))
    return Funnel(
        n=n,
        candidates=candidates,
        top=top,
        before=float((places(lists) <= 1).mean()),
        ceiling=float((places(lists) <= top).mean()),
        ceilings=known,
        outcomes={one: _outcome(lists, one, noise[:, :top], pairs.seed) for one in QUALITIES},
        by_k={
            one: {
                k: float((places(reranked(lists, simulated(lists, one, noise[:, :k]))) <= 1).mean())
                for k in known
            }
            for one in QUALITIES
        },
        read=n * top,
    )


def first_stage(pairs: Pairs) -> np.ndarray:
    """Return for every item of b the rows of a, nearest first: (n, n) int64; equal ones in their order."""
    cosines = np.round(pairs.y.astype(np.float32) @ pairs.x.T.astype(np.float32), 6)
    return np.argsort(-cosines, axis=1, kind="stable")


def simulated(lists: np.ndarray, quality: Quality, noise: np.ndarray) -> np.ndarray:
    """Return a simulated reranker's scores of the first K of every list: (n, K) float64.

    lists (n, m) int64: row i is the list of question i, whose own document is i; noise (n, K) float64,
    standard normal.
    """
    signal, spread = _SIGNAL[quality]
    own = lists[:, : noise.shape[1]] == np.arange(len(lists))[:, None]
    return signal * own + spread * noise


def reranked(lists: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return lists (n, m) int64 whose first K are put in the order of scores (n, K) of any float dtype.

    Equal scores stay as they were, and so does everything below K. Returns (n, m) int64.
    """
    head = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.concatenate([np.take_along_axis(lists[:, :head], order, axis=1), lists[:, head:]], axis=1)


def places(lists: np.ndarray) -> np.ndarray:
    """Return the place of document i in list i, from 1: lists (n, m) int64 to (n,) int64."""
    return np.argmax(lists == np.arange(len(lists))[:, None], axis=1) + 1


def _outcome(lists: np.ndarray, quality: Quality, noise: np.ndarray, seed: int) -> Outcome:
    before = places(lists)
    after = places(reranked(lists, simulated(lists, quality, noise)))
    gained = (after <= 1).astype(np.float64) - (before <= 1)
    possible = int((before <= noise.shape[1]).sum() - (before <= 1).sum())
    return Outcome(
        quality=quality,
        after=float((after <= 1).mean()),
        won=int((gained > 0).sum()),
        lost=int((gained < 0).sum()),
        change=bootstrap(gained, seed=seed),
        captured=float(gained.sum()) / possible if possible else None,
    )
