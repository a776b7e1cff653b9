"""What chance does to measures of all rows with all others: intervals by drawing units, nulls by permutation.

Pure. The rows' numbers are those of `all_pairs.py`; measures that are made of sums alone are in
`gap_chance.py`. An interval draws whole units, as there: what a row is compared with stays as it is, as with
questions and the documents they are asked of, and where a row is also among what others are compared with,
its number says what it adds there. That is the bootstrap of a U-statistic's first-order projection (Hoeffding
1948; Efron and Tibshirani 1993): where nothing but chance sets rows apart its intervals are too narrow, and
the nulls are what to read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.analysis.gap import cone
from engine.analysis.gap_chance import (
    FEWEST_UNITS,
    PERMUTATIONS,
    RESAMPLES,
    Bounds,
    Null,
    draw_units,
    ends,
    null_of,
)

_AT_ONCE = 50  # permutations: 200 of 3,000 rows with 15 neighbours each are 9 million labels


def row_intervals(
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Bounds]:
    """Return the 95 % percentile intervals of means of rows' numbers, by their names.

    rows: for each name what every row adds, (n,) float64 with NaN for one that has none, and the number of
    its unit from 0, (n,) int64; a unit has the same number everywhere. A name with rows of fewer than
    FEWEST_UNITS units has no interval.
    """
    known = {name: np.isfinite(values) for name, (values, _) in rows.items()}
    some = {
        name: (values[known[name]], units[known[name]])
        for name, (values, units) in rows.items()
        if len(np.unique(units[known[name]])) >= FEWEST_UNITS
    }
    if not some:
        return {}
    count = 1 + max(int(units.max()) for _, units in some.values())
    sums = np.stack([np.bincount(units, values, count) for values, units in some.values()], axis=1)
    counts = np.stack([np.bincount(units, minlength=count) for _, units in some.values()], axis=1)
    there = np.flatnonzero(counts.any(axis=1))  # units that no row here is of are not drawn
    drawn = draw_units(np.random.default_rng(seed), resamples, len(there))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any row of one: NaN, left out
        means = (drawn @ sums[there]) / (drawn @ counts[there])  # (resamples, names)
    return {name: ends(means[:, place]) for place, name in enumerate(some)}


def batch_interval(values: np.ndarray) -> Bounds | None:
    """Return the 95 % interval of the mean of batches that share no row, by Student's t.

    values: (n,) float64. Few batches have too few draws for a bootstrap. None below FEWEST_UNITS of them.
    """
    from scipy.special import stdtrit

    if len(values) < FEWEST_UNITS:
        return None
    half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def purity_null(nearest: np.ndarray, count: int, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Null:
    """Return the purity where modality labels are shuffled and neighbours stay; p is in (0, 1].

    nearest: (n, k) int64, the neighbours of each of n rows, of which the first `count` are of one modality.
    """
    labels, chance = np.arange(len(nearest)) >= count, np.random.default_rng(seed)
    found = np.zeros(0)
    for start in range(0, permutations, _AT_ONCE):
        size = min(_AT_ONCE, permutations - start)
        drawn = chance.permuted(np.tile(labels, (size, 1)), axis=1)  # (size, n)
        same = drawn[:, nearest] == drawn[:, :, None]  # (size, n, k)
        found = np.append(found, same.mean((1, 2)))
    return null_of(found, float((labels[nearest] == labels[:, None]).mean()))


def partner_null(
    x: np.ndarray,
    y: np.ndarray,
    cosines: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[Null, float]:
    """Return the mean cosine of pairs where partners are shuffled, with p in (0, 1], and the mean RMG there.

    The RMG falls where that cosine rises, so that its p is the same. x, y: (n, d) float64 unit rows, row i
    with row i, n >= 2, of which `cosines` (n, n) are those of x with y, of any float dtype.
    """
    chance, every = np.random.default_rng(seed), np.arange(len(cosines))
    drawn = np.stack([chance.permutation(len(cosines)) for _ in range(permutations)])
    means = cosines[every, drawn].mean(1, dtype=np.float64)
    across = (1 - means) / 2
    total = across + max(0.0, (1 - (cone(x) + cone(y)) / 2) / 2)
    rmg = np.where(total > 1e-15, across / np.maximum(total, 1e-15), 0.0)  # as `gap.rmg`
    return null_of(means, float(np.diag(cosines).mean(dtype=np.float64))), float(rmg.mean())
