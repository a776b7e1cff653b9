"""Lesson 12: pictures as weighted means of captions (ConSE): no gap of their own, and its price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from engine.analysis.gap import l2m
from engine.errors import GapscopeError
from engine.evaluation.gap_retrieval import best_ranks
from engine.evaluation.metrics import Interval, bootstrap
from engine.lessons.mixed import FIRST, order
from engine.lessons.pairs import Pairs, read_pairs
from engine.storage.data_folder import DataFolder

SHARPNESS = 100.0  # what cosines are multiplied by before the softmax: CLIP's own scale


@dataclass(frozen=True)
class Space:
    """How n pairs lie and are found: l2m in [0, 2]; r1 is R@1 of b asking a, share of a in a mixed first k.

    distinct: how many different vectors the items of a have, to six decimals.
    """

    n: int
    k: int
    l2m: float
    share: float
    r1: float
    distinct: int


@dataclass(frozen=True)
class Anchored:
    """The `held` pairs as they are and anchored to the captions of `anchors` other pairs, by T.

    changes: R@1 of every T less that of raw, paired over questions.
    """

    held: Pairs
    anchors: int
    raw: Space
    by_top: dict[int, Space]
    changes: dict[int, Interval]


def anchored(pairs: Pairs, tops: Iterable[int]) -> Anchored:
    """Anchor the items of a of the half that is held out to those of b of the other half, for every T.

    tops: every T to compare, at least 1; one above the number of anchors takes them all.
    """
    fit, held = pairs.halves()
    moved = {top: replace(held, x=anchor(held.x, fit.y, top=top)) for top in tops}
    before = _firsts(held)
    return Anchored(
        held=held,
        anchors=len(fit),
        raw=space(held),
        by_top={top: space(rows) for top, rows in moved.items()},
        changes={top: bootstrap(_firsts(rows) - before, seed=pairs.seed) for top, rows in moved.items()},
    )


def anchor_weights(x: np.ndarray, anchors: np.ndarray, *, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the T nearest anchors of each row and their weights, nearest first.

    x (n, d), anchors (m, d): unit rows of any float dtype; top: at least 1, at most m are taken. Returns
    (n, T) int64 and (n, T) float64: the softmax of SHARPNESS times the cosine, over the T of them, so that
    each row is at least 0 and sums to 1. After Norouzi et al. 2014, with captions for labels.
    """
    logits = SHARPNESS * (x @ anchors.T)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    near = np.take_along_axis(logits, best, axis=1)
    weights = np.exp(near - near[:, :1])  # as of all anchors: the sum over all cancels
    return best, weights / weights.sum(axis=1, keepdims=True)


def anchor(x: np.ndarray, anchors: np.ndarray, *, top: int) -> np.ndarray:
    """Return the weighted mean of each row's T nearest anchors at unit length: (n, d) float64.

    x (n, d), anchors (m, d), top: as in `anchor_weights`. Where anchors cancel each other out, the nearest
    stands alone.
    """
    best, weights = anchor_weights(x, anchors, top=top)
    mean = np.einsum("nt,ntd->nd", weights, anchors[best])
    lengths = np.linalg.norm(mean, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, mean / np.maximum(lengths, 1e-9), anchors[best[:, 0]])


def space(pairs: Pairs) -> Space:
    """Measure pairs as they lie."""
    k = min(FIRST, len(pairs))
    return Space(
        n=len(pairs),
        k=k,
        l2m=l2m(pairs.x, pairs.y),
        share=order(pairs, "raw", k=k).share,
        r1=float(_firsts(pairs).mean()),
        distinct=len(np.unique(np.round(pairs.x, 6), axis=0)),
    )


def as_they_are(folder: DataFolder, collection: str, *, n: int, seed: int = 0) -> tuple[str, Space] | None:
    """Return a collection's model and its space over at most n pairs drawn by the seed, None without any."""
    try:
        pairs = read_pairs(folder, collection, most=n, seed=seed)
    except GapscopeError:  # it was deleted, or emptied: the lesson does without
        return None
    return pairs.model, space(pairs)


def _firsts(pairs: Pairs) -> np.ndarray:
    """Return 1 for each item of b that finds its own of a first, else 0: (n,) float64."""
    keys = range(len(pairs))
    return (best_ranks(pairs.y, pairs.x, keys, keys, seed=pairs.seed) <= 1).astype(np.float64)
