"""The modality gap in numbers, from the vectors themselves and never from a projection of them.

Rows are one modality each, made unit length first: without that the length of vectors mixes into the
gap. Pure; knows no store. Sources: Liang et al. 2022 (gap vector, L2M), Schrodi et al. 2024 (RMG, L2I), Wang
and Isola 2020 (alignment, uniformity), Shi et al. 2023 (linear separability), Radovanović et al. 2010
(hubness). All arithmetic is in float64, but for the cosines that only rank neighbours (`knn_purity`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.progress import Watch
from engine.types import Modality, VectorTable
from engine.vectors import normalise

SAMPLE = 5_000  # rows of a modality that separability and purity are measured on; the rest is not needed
PERMUTATIONS = 200
_TEST_SHARE = 0.2
_BLOCK = 1_000
_UNHEARD = Watch()


@dataclass(frozen=True)
class Null:
    """The same distance with shuffled modality labels: its mean, 99 % point, and p = (1 + #≥) / (B + 1)."""

    mean: float
    high: float
    p: float


@dataclass(frozen=True)
class PairGap:
    """The gap between two modalities of a collection.

    `l2m` is the distance of the centroids, in [0, 2], over all rows; `l2m_unbiased` the same without
    what a small sample adds, 0 where that would be negative; `rmg` in [0, 1] over `pairs` rows that
    belong together, None without pairs; `separability` the held-out accuracy of a linear classifier and
    `purity` the share of the k nearest neighbours that are of the own modality (`purity_baseline` where
    modalities are mixed), both over `sample_a` and `sample_b` rows and None below what they need.
    """

    a: Modality
    b: Modality
    n_a: int
    n_b: int
    l2m: float
    l2m_unbiased: float | None
    null: Null | None
    pairs: int
    rmg: float | None
    separability: float | None
    purity: float | None
    purity_baseline: float | None
    k: int
    sample_a: int
    sample_b: int
    seed: int


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
    return l2m(x, y) ** 2 - sum(float(rows.var(0, ddof=1).sum()) / len(rows) for rows in (x, y))


def l2m_null(
    x: np.ndarray,
    y: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    watch: Watch = _UNHEARD,
) -> Null:
    """Return the distribution of L2M where modality labels are shuffled; p is in (0, 1].

    x (n, d), y (m, d) float64 unit rows, n, m >= 1. Raises CancelledError where the watch
    hears a cancel.
    """
    both, chance, found = np.concatenate([x, y]), np.random.default_rng(seed), []
    total = both.sum(0)
    for done in range(permutations):
        watch.at(done / permutations)
        part = both[chance.permutation(len(both))[: len(x)]].sum(0)
        found.append(float(np.linalg.norm(part / len(x) - (total - part) / len(y))))
    least = l2m(x, y)
    p = (1 + sum(one >= least for one in found)) / (permutations + 1)
    return Null(float(np.mean(found)), float(np.quantile(found, 0.99)), p)


def cone(x: np.ndarray) -> float:
    """Return the mean cosine of two different rows, in [-1/(n-1), 1].

    x (n, d) float64 unit rows, n >= 2. Raises ValueError below.
    """
    if len(x) < 2:
        raise ValueError("a mean cosine needs two rows")
    total = x.sum(0)
    return float((total @ total - (x * x).sum()) / (len(x) * (len(x) - 1)))


def rmg(x: np.ndarray, y: np.ndarray) -> float:
    """Return the relative modality gap of n pairs, in [0, 1]: 0.5 where a pair is as far as two random rows.

    The mean distance d = (1 - cos) / 2 of pairs over itself plus the mean distance within modalities,
    i = i left out. x, y: (n, d) float64 unit rows, row i with row i, n >= 2. Raises ValueError for less,
    or for two shapes. Schrodi et al. 2024.
    """
    _check_paired(x, y)
    across = alignment(x, y) / 4  # (1 - cos) / 2 by differences: exactly 0 where the two are the same
    within = max(0.0, ((1 - cone(x)) / 2 + (1 - cone(y)) / 2) / 2)
    # 0/0 where all points coincide: there is no gap then.
    return across / (across + within) if across + within > 1e-15 else 0.0


def l2i(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean distance of pairs, in [0, 2]. Schrodi et al. 2024.

    x, y: (n, d) float64 unit rows, row i with row i, n >= 1. Raises ValueError for two shapes.
    """
    _check_paired(x, y)
    return float(np.linalg.norm(x - y, axis=1).mean())


def alignment(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared distance of pairs, in [0, 4]: 2 - 2 mean cosine. Wang and Isola 2020.

    x, y: (n, d) float64 unit rows, row i with row i, n >= 1. Raises ValueError for two shapes.
    """
    _check_paired(x, y)
    return float(((x - y) ** 2).sum(1).mean())


def uniformity(x: np.ndarray, *, t: float = 2.0) -> float:
    """Return log mean exp(-t ‖xi - xj‖²) over i < j, in [-2tn/(n-1), 0]: low is spread out.

    x (n, d) float64 unit rows, n >= 2. Raises ValueError below. Wang and Isola 2020.
    """
    if len(x) < 2:
        raise ValueError("uniformity needs two rows")
    total = 0.0
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        total += float(np.exp(-t * np.maximum(0.0, 2 - 2 * block @ x.T)).sum())
    count = len(x) * (len(x) - 1)
    return float(np.log((total - len(x)) / count))


def separability(
    x: np.ndarray, y: np.ndarray, *, groups: Sequence[object] | None = None, seed: int = 0
) -> float:
    """Return the held-out accuracy of a linear classifier of the modality, balanced, in [0, 1].

    A fifth of the groups is held out; what belongs together (a picture and its caption) must share a
    group, or the classifier is tested on what it has seen the twin of: accuracy falls below 0.5 then.
    x (n, d), y (m, d) float64; groups: one per row of x, then of y; None: every row is one. Raises
    ValueError with fewer than 5 groups, or a modality that is on one side of the split only.
    Shi et al. 2023.
    """
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    named = np.unique(np.arange(len(rows)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    count = int(named.max()) + 1
    if count < 5:
        raise ValueError("a held-out fifth needs five groups")
    held = np.random.default_rng(seed).permutation(count)[: max(1, round(count * _TEST_SHARE))]
    test = np.isin(named, held)
    if any(len(np.unique(labels[part])) < 2 for part in (test, ~test)):
        raise ValueError("one modality is on one side of the split only")
    model = LogisticRegression(C=1.0, max_iter=1_000, class_weight="balanced")
    right = model.fit(rows[~test], labels[~test]).predict(rows[test]) == labels[test]
    return float(np.mean([right[labels[test] == label].mean() for label in (0, 1)]))


def knn_purity(x: np.ndarray, y: np.ndarray, *, k: int = 15, watch: Watch = _UNHEARD) -> float:
    """Return the mean share of the k nearest neighbours (cosine, itself left out) of the own modality.

    In [0, 1], over the rows of both: x (n, d) and y (m, d) unit rows, any float dtype (compared as
    float32), 1 <= k < n + m. Raises ValueError for another k, and CancelledError where the
    watch hears a cancel.
    """
    rows = np.concatenate([x, y]).astype(np.float32)
    if not 1 <= k < len(rows):
        raise ValueError(f"k is {k}; it must be 1 to {len(rows) - 1}")
    labels, same = np.repeat([0, 1], [len(x), len(y)]), 0
    for start in range(0, len(rows), _BLOCK):
        watch.at(start / len(rows))
        block = slice(start, start + _BLOCK)
        scores = rows[block] @ rows.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        nearest = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        same += int((labels[nearest] == labels[block][:, None]).sum())
    return same / (len(rows) * k)


def purity_baseline(n: int, m: int) -> float:
    """Return the purity that n and m rows would have where modality did not matter, in [0, 1]; n + m >= 2."""
    total = n + m
    return (n * (n - 1) + m * (m - 1)) / (total * (total - 1))


def gaps(
    tables: Mapping[Modality, VectorTable],
    pair_of: Mapping[str, Hashable],
    *,
    k: int = 15,
    seed: int = 0,
    sample: int = SAMPLE,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[PairGap]:
    """Return the gap of every two modalities that have rows.

    The tables are (n, d) float32 of any length, all of one d; pair_of maps an item's id to what it belongs
    to. Raises ValueError for a zero row, and CancelledError. A cancel is not heard while
    scikit-learn fits the classifier: on SAMPLE rows of each that takes a second or two, and what it returns
    is dropped.
    """
    some: dict[Modality, VectorTable] = {name: table for name, table in tables.items() if len(table)}
    pairs, watch, found = list(combinations(some, 2)), Watch(on_progress, cancelled), []
    for place, (a, b) in enumerate(pairs):
        part = watch.part(place / len(pairs), (place + 1) / len(pairs))
        found.append(_pair_gap(a, b, some, pair_of, k, seed, sample, part))
    on_progress(1.0)
    return found


def _pair_gap(
    a: Modality,
    b: Modality,
    tables: Mapping[Modality, VectorTable],
    pair_of: Mapping[str, Hashable],
    k: int,
    seed: int,
    sample: int,
    watch: Watch,
) -> PairGap:
    watch.at(0)
    x, y = unit(tables[a].vectors), unit(tables[b].vectors)
    watch.at(0.1)
    left, right = joined(tables[a].ids, tables[b].ids, pair_of)
    enough = min(len(x), len(y)) >= 2
    rows_x, rows_y = _drawn(len(x), sample, seed), _drawn(len(y), sample, seed)
    some_x, some_y = x[rows_x], y[rows_y]
    ids = [*(tables[a].ids[row] for row in rows_x), *(tables[b].ids[row] for row in rows_y)]
    neighbours = min(k, len(ids) - 1)
    return PairGap(
        a=a,
        b=b,
        n_a=len(x),
        n_b=len(y),
        l2m=l2m(x, y),
        l2m_unbiased=max(0.0, l2m_squared_unbiased(x, y)) ** 0.5 if enough else None,
        null=l2m_null(some_x, some_y, seed=seed, watch=watch.part(0.2, 0.6)) if enough else None,
        pairs=len(left),
        rmg=rmg(x[left], y[right]) if len(left) >= 2 else None,
        separability=_separability(some_x, some_y, [pair_of.get(id_, id_) for id_ in ids], seed),
        purity=knn_purity(some_x, some_y, k=neighbours, watch=watch.part(0.8, 1)) if enough else None,
        purity_baseline=purity_baseline(len(some_x), len(some_y)) if enough else None,
        k=neighbours,
        sample_a=len(some_x),
        sample_b=len(some_y),
        seed=seed,
    )


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


def _separability(x: np.ndarray, y: np.ndarray, groups: Sequence[Hashable], seed: int) -> float | None:
    """Return `separability`; None where it has too few rows or groups."""
    try:
        return separability(x, y, groups=groups, seed=seed)
    except ValueError:  # too few rows to hold some out
        return None


def _drawn(count: int, sample: int, seed: int) -> np.ndarray:
    """Return all rows 0 to count - 1, or `sample` of them at random, ascending: (at most sample,) int64."""
    if count <= sample:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, sample, replace=False))


def _check_paired(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape != y.shape:
        raise ValueError(f"pairs need as many rows on both sides, not {x.shape} and {y.shape}")
