"""What chance does to the gap: nulls by permutation, and intervals by resampling what belongs together.

Pure; the distances themselves are in `gap.py`. A p is (1 + #≥) / (B + 1) and never 0 (Phipson and Smyth
2010). The percentile bootstrap (Efron and Tibshirani 1993) draws whole units: a pair, or all captions of
one picture, stays together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.analysis.gap import check_paired, l2m, squared_distances
from engine.progress import Watch

PERMUTATIONS, RESAMPLES = 200, 500
MOST_UNITS = 2_000  # more are summed into as many at random: what their mean varies by stays the same
FEWEST_UNITS = 5
_DRAWS = 50  # at once: 200 permutations of a million rows would be 1.6 GB
_UNHEARD = Watch()

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Null:
    """The same distance under permutation: its mean, 99 % point, and p = (1 + #≥) / (B + 1)."""

    mean: float
    high: float
    p: float


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
    both, chance = np.concatenate([x, y]), np.random.default_rng(seed)
    total, found = both.sum(0), np.zeros(0)
    for start in range(0, permutations, _DRAWS):
        watch.at(start / permutations)
        drawn = np.zeros((min(_DRAWS, permutations - start), len(both)))
        for one in drawn:
            one[chance.permutation(len(both))[: len(x)]] = 1
        part = drawn @ both
        found = np.append(found, np.linalg.norm(part / len(x) - (total - part) / len(y), axis=1))
    return null_of(found, l2m(x, y))


def l2m_swap_null(
    x: np.ndarray,
    y: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    watch: Watch = _UNHEARD,
) -> Null:
    """Return the distribution of L2M where each pair swaps its modalities or not; p is in (0, 1].

    x, y: (n, d) float64 unit rows, row i with row i, n >= 1. Raises ValueError for two shapes, and
    CancelledError where the watch hears a cancel.
    """
    check_paired(x, y)
    apart, chance, found = x - y, np.random.default_rng(seed), np.zeros(0)
    for start in range(0, permutations, _DRAWS):
        watch.at(start / permutations)
        signs = chance.choice([-1.0, 1.0], (min(_DRAWS, permutations - start), len(x)))
        found = np.append(found, np.linalg.norm(signs @ apart / len(x), axis=1))
    return null_of(found, l2m(x, y))


def null_of(found: np.ndarray, observed: float) -> Null:
    """Return what was found under permutation, (b,) float64, beside what was observed."""
    # What only rounding parts is as large: labels of rows that are all the same prove nothing.
    as_large = int((found >= observed - 1e-12).sum())
    return Null(float(found.mean()), float(np.quantile(found, 0.99)), (1 + as_large) / (len(found) + 1))


def intervals(
    x: np.ndarray,
    y: np.ndarray,
    units: Sequence[int] | np.ndarray,
    paired: tuple[Sequence[int] | np.ndarray, Sequence[int] | np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    watch: Watch = _UNHEARD,
) -> dict[str, Bounds]:
    """Return the 95 % percentile intervals of what is made of sums, by its name.

    l2m, its unbiased forms, cone_a, cone_b, cosine_across and cosine_unpaired over all rows; with pairs rmg,
    l2i, alignment and cosine_paired too. x (n, d), y (m, d): float64 unit rows; units: the number from 0 of
    what each row of x, then of y, belongs to, which is drawn as a whole; paired: the rows of x and of y that
    belong together. Empty below FEWEST_UNITS units of either. Rows of one unit are not compared with each
    other inside a modality. Raises CancelledError where the watch hears a cancel.
    """
    named = np.asarray(units, np.int64)
    chance = np.random.default_rng(seed)
    count = int(named.max(initial=-1)) + 1
    if min(len(set(named[: len(x)].tolist())), len(set(named[len(x) :].tolist()))) < FEWEST_UNITS:
        return {}
    if count > MOST_UNITS:
        named, count = (chance.permutation(count) % MOST_UNITS)[named], MOST_UNITS
    of_x, of_y = named[: len(x)], named[len(x) :]
    left, right = (np.asarray(rows, np.intp) for rows in paired)
    sums = _Sums(_summed(x, of_x, count), _summed(y, of_y, count))
    pairs, whole = None, len(left) == len(x) == len(y)
    if len(left) >= FEWEST_UNITS:
        pairs = _Pairs.of(x[left], y[right], of_x[left], count, (sums.a, sums.b) if whole else None)
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, resamples, _DRAWS):
        watch.at(start / resamples)
        size = min(_DRAWS, resamples - start)
        drawn = draw_units(chance, size, count)
        measured, totals = sums.measured(drawn)
        if pairs:
            measured |= pairs.measured(drawn, totals if whole else None)
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return {name: ends(np.concatenate(values)) for name, values in found.items()}


def ends(values: np.ndarray) -> Bounds:
    """Return between what 95 % of values (b,) of a float dtype are, less those that are not finite."""
    low, high = np.quantile(values[np.isfinite(values)], [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class _Units:
    """Rows summed by unit: sums (units, d) float32, and how many rows each has, counts (units,) float32."""

    sums: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class _Sums:
    """All rows of both modalities by unit, and what is measured of a draw of units."""

    a: _Units
    b: _Units

    def measured(self, drawn: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return l2m, its unbiased forms, cones and mean cosines of each of drawn (b, units) float32: (b,).

        With them the sums of the rows of both modalities, (b, d) each.
        """
        total_a, total_b = drawn @ self.a.sums, drawn @ self.b.sums
        count_a, count_b = drawn @ self.a.counts, drawn @ self.b.counts
        own, rows = (self.a.sums * self.b.sums).sum(1), self.a.counts * self.b.counts  # within units
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw without one modality: NaN, left out
            apart = total_a / count_a[:, None] - total_b / count_b[:, None]
            unpaired, others = (
                (total_a * total_b).sum(1) - drawn**2 @ own,
                count_a * count_b - drawn**2 @ rows,
            )
            # Of a unit that is drawn twice, no row is compared with its own partner's copy.
            across = (unpaired + drawn @ own) / (others + drawn @ rows)
            cones = [
                _cones(drawn, one, total, count)
                for one, total, count in ((self.a, total_a, count_a), (self.b, total_b, count_b))
            ]
            squared = cones[0] + cones[1] - 2 * across
            found = {
                "l2m": np.linalg.norm(apart, axis=1),
                "l2m_squared_unbiased": squared,
                "l2m_unbiased": np.sqrt(np.maximum(squared, 0)),
                "cone_a": cones[0],
                "cone_b": cones[1],
                "cosine_across": across,
                "cosine_unpaired": unpaired / others,
            }
        return found, (total_a, total_b)


@dataclass(frozen=True)
class _Pairs:
    """The rows that belong together, by unit, with the sums of their distances, (units,) float32."""

    a: _Units
    b: _Units
    distances: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        named: np.ndarray,
        count: int,
        summed: tuple[_Units, _Units] | None,
    ) -> _Pairs:
        """Sum pairs x, y (n, d) float64 of the units named (n,) int64; take sums that are known."""
        squares = squared_distances(x, y)
        by_unit = [
            np.bincount(named, values, count).astype(np.float32) for values in (np.sqrt(squares), squares)
        ]
        units = summed or (_summed(x, named, count), _summed(y, named, count))
        return cls(*units, *by_unit)

    def measured(
        self, drawn: np.ndarray, summed: tuple[np.ndarray, np.ndarray] | None
    ) -> dict[str, np.ndarray]:
        """Return rmg, l2i, alignment and the paired cosine of each of drawn (b, units) float32: (b,).

        summed: the sums (b, d) of both modalities, where these are those of all rows.
        """
        count, totals = drawn @ self.a.counts, summed or (drawn @ self.a.sums, drawn @ self.b.sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = drawn @ self.squares / count
            cones = [
                _cones(drawn, one, total, count) for one, total in zip((self.a, self.b), totals, strict=True)
            ]
            within = np.maximum((1 - sum(cones) / 2) / 2, 0)
            return {
                "rmg": np.where(squares > 0, squares / 4 / (squares / 4 + within), 0),  # as `gap.rmg`
                "l2i": drawn @ self.distances / count,
                "alignment": squares,
                "cosine_paired": 1 - squares / 2,
            }


def _cones(drawn: np.ndarray, units: _Units, total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the mean cosine between rows of different units, for each draw: (b,)."""
    own = drawn**2 @ (units.sums**2).sum(1)
    others = count**2 - drawn**2 @ units.counts**2
    return np.asarray(((total**2).sum(1) - own) / others)


def draw_units(chance: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Return how often each of `count` units is in each of `size` draws of as many: (size, count) float32."""
    places = chance.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
    return np.bincount(places.ravel(), minlength=size * count).reshape(size, count).astype(np.float32)


def _summed(rows: np.ndarray, named: np.ndarray, count: int) -> _Units:
    counts = np.bincount(named, minlength=count).astype(np.float32)
    sums = np.zeros((count, rows.shape[1]), np.float32)
    order = np.argsort(named, kind="stable")
    there, starts = np.unique(named[order], return_index=True)
    sums[there] = np.add.reduceat(rows.astype(np.float32)[order], starts, axis=0)
    return _Units(sums, counts)


def numbered(units: Sequence[Hashable]) -> np.ndarray:
    """Return a number from 0 for each unit, the same for the same: (n,) int64."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(one, len(known)) for one in units], np.int64)
