"""Retrieval metrics as pure functions of ranks, and intervals over questions; knows no items and no models.

Ranks count from 1. Ties take the middle of the places they share, so that constant scores earn no
credit: a fractional rank r counts as within k where r <= k, and is discounted by 1 / log2(r + 1). A
relevant item that was never ranked has the rank infinity. Everywhere `ranks` are those of the r relevant
documents of one question. A document counts as relevant from any grade above 0 on; nDCG alone looks at how
high the grade is. One number per metric is the mean over questions. Sources: recall, precision, success,
MRR, MAP and nDCG as in TREC (Voorhees and Harman 2005), nDCG with the grade as gain and the ideal over ALL
relevant items (Järvelin and Kekäläinen 2002); the percentile bootstrap over questions (Efron and
Tibshirani 1993; Sakai 2006 for information retrieval).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NDCG_K = 10
RESAMPLES = 10_000
_BLOCK = 500  # resamples drawn at once: 10,000 of 10,000 questions would be 800 MB of indices


@dataclass(frozen=True)
class Interval:
    """A mean over n questions with a percentile bootstrap interval; low = high = mean below 2 questions."""

    mean: float
    low: float
    high: float
    n: int


def ranks_by_score(scores: np.ndarray, relevant: Iterable[int]) -> np.ndarray:
    """Return the ranks of the relevant documents for one question, ties at mid-rank.

    scores: (n,) of any float dtype, higher is better; relevant: r rows, 0 to n - 1. Returns (r,) float64
    from 1 to n, in the order of `relevant`.
    """
    own = scores[list(relevant)]  # (r,)
    above = (scores[None, :] > own[:, None]).sum(axis=1)
    tied = (scores[None, :] == own[:, None]).sum(axis=1) - 1
    return 1.0 + above + tied / 2.0


def ranks_by_order(order: Sequence[Hashable], relevant: Iterable[Hashable]) -> np.ndarray:
    """Return the places of the r relevant documents in a strict order: (r,) float64, from 1.

    Infinity for one that is not in it.
    """
    place = {id_: rank for rank, id_ in enumerate(order, start=1)}
    return np.array([place.get(id_, np.inf) for id_ in relevant], np.float64)


def hit_at(ranks: np.ndarray, k: int) -> float:
    """Return 1 if any relevant document has rank <= k, else 0 ("any hit", TREC's success@k).

    ranks: (r,) float64.
    """
    return float((ranks <= k).any())


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Return the share of ALL relevant documents with rank <= k, in [0, 1] ("share found", TREC's).

    Of many that tie no more count than there are places within k. ranks: (r,) float64; 0 where r is 0.
    """
    return len(_within(ranks, k, np.ones(len(ranks)))) / len(ranks) if len(ranks) else 0.0


def precision_at(ranks: np.ndarray, k: int) -> float:
    """Return the share of the first k places that relevant documents have, in [0, 1].

    A list that is shorter than k counts as if others followed. Of many that tie no more count than there are
    places within k. ranks: (r,) float64.
    """
    return len(_within(ranks, k, np.ones(len(ranks)))) / k


def average_precision_at(ranks: np.ndarray, k: int) -> float:
    """Return the mean over ALL relevant documents of the precision at their ranks, 0 beyond k, in [0, 1].

    That is trec_eval's map_cut: the divisor is r, also where more are relevant than k can hold. ranks: (r,)
    float64. Of t that tie at the mid-rank m below j others, the i-th counts (j + i) / m: where nothing else
    ties with them that sums to t, which is what they gain in any order.
    """
    found = np.sort(ranks[_within(ranks, k, np.ones(len(ranks)))])
    return float((np.arange(1, len(found) + 1) / found).sum() / len(ranks)) if len(ranks) else 0.0


def reciprocal_rank(ranks: np.ndarray) -> float:
    """Return 1 / rank of the first relevant document, in [0, 1]; 0 where none was ranked.

    ranks: (r,) float64.
    """
    return float(1.0 / ranks.min()) if len(ranks) else 0.0


def ndcg_at(ranks: np.ndarray, k: int, gains: np.ndarray | None = None) -> float:
    """Return DCG@k / IDCG@k with discount 1 / log2(rank + 1), in [0, 1].

    ranks: (r,) float64; gains: (r,) the grades of the same documents, any numeric dtype, 1 each where they
    are not given. The ideal ranks ALL of them, also those that were not found. Of many that tie no more
    count than there are places within k; as the discount is convex, the middle rank never gains more than
    those places do.
    """
    gains = np.ones(len(ranks)) if gains is None else np.asarray(gains, np.float64)
    found = _within(ranks, k, gains)
    gained = (gains[found] / np.log2(ranks[found] + 1)).sum()
    best = np.sort(gains)[::-1][:k]
    ideal = (best / np.log2(np.arange(2, len(best) + 2))).sum()
    return min(1.0, float(gained / ideal)) if ideal else 0.0


def _within(ranks: np.ndarray, k: int, gains: np.ndarray) -> np.ndarray:
    """Return the rows whose rank is at most k; of those that share a rank, the ones with the highest gains.

    t rows at the rank m take the places from m - (t - 1) / 2 on, of which those up to k count. ranks and
    gains: (r,) float64. Returns (at most r,) int64.
    """
    found = []
    for rank in np.unique(ranks[ranks <= k]):
        tied = np.flatnonzero(ranks == rank)
        places = int(k - (rank - (len(tied) - 1) / 2)) + 1
        found.append(tied[np.argsort(-gains[tied], kind="stable")][:places])
    return np.concatenate(found) if found else np.zeros(0, np.intp)


def measures(ranks: np.ndarray, ks: Sequence[int], gains: np.ndarray | None = None) -> dict[str, float]:
    """Return one question's hit, recall, precision and map @k for every k, mrr and ndcg@10, all in [0, 1].

    ranks: (r,) float64; gains: (r,) the grades of the same documents, any numeric dtype, None for 1 each.
    """
    return {
        **{f"hit@{k}": hit_at(ranks, k) for k in ks},
        **{f"recall@{k}": recall_at(ranks, k) for k in ks},
        **{f"precision@{k}": precision_at(ranks, k) for k in ks},
        **{f"map@{k}": average_precision_at(ranks, k) for k in ks},
        "mrr": reciprocal_rank(ranks),
        f"ndcg@{NDCG_K}": ndcg_at(ranks, NDCG_K, gains),
    }


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """Return the mean of every metric over questions, each with its interval."""
    return {name: bootstrap(np.array([row[name] for row in rows])) for name in (rows[0] if rows else ())}


def deltas(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> dict[str, Interval]:
    """Return the mean change of every metric over the same questions: a paired bootstrap."""
    pairs = list(zip(before, after, strict=True))
    names = before[0] if before else ()
    return {name: bootstrap(np.array([new[name] - old[name] for old, new in pairs])) for name in names}


def bootstrap(
    values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the mean of values (n,), any float dtype, with the percentile interval of resampled means.

    Over differences of the same questions this is the paired bootstrap. The same seed gives the same
    interval. Raises ValueError where there are no values.
    """
    if not len(values):
        raise ValueError("there is no mean of no questions")
    mean = float(values.mean())
    if len(values) < 2 or values.min() == values.max():
        return Interval(mean, mean, mean, len(values))
    chance, drawn = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        rows = chance.integers(0, len(values), (min(_BLOCK, resamples - start), len(values)))
        drawn.append(values[rows].mean(axis=1))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), len(values))
