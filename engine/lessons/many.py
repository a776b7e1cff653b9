"""Lesson 10: every pair of modalities of a collection, and gap against retrieval over a whole data folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.analysis.gap import l2m, rmg
from engine.errors import GapscopeError
from engine.evaluation.gap_matrix import gaps
from engine.evaluation.gap_retrieval import best_ranks
from engine.evaluation.pair_gap import PairGap
from engine.lessons.pairs import Pairs, read_pairs, twos
from engine.maps.gap_input import gap_input
from engine.progress import Watch
from engine.storage.columns import read_columns, read_vectors
from engine.storage.data_folder import DataFolder
from engine.text import csv_cell
from engine.types import MODALITIES, PLURAL, Modality

PERMUTATIONS = 2_000
LEAST_DOTS = 5  # with four, one order in twelve is as extreme as the most extreme there is
_MATRIX_SAMPLE = 500  # rows that are compared with all others in the matrix


@dataclass(frozen=True)
class Dot:
    """Gap and retrieval of two modalities of a collection, over n pairs of the `there` it has.

    l2m in [0, 2], rmg in [0, 1]; r1: the mean of R@1 of both ways among n, in [0, 1].
    """

    collection: str
    model: str
    a: Modality
    b: Modality
    n: int
    there: int
    l2m: float
    rmg: float
    r1: float


@dataclass(frozen=True)
class Dots:
    """The dots of a data folder, all at the same n, drawn by the seed; `left_out` says what has none, why."""

    dots: tuple[Dot, ...]
    n: int
    seed: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Trend:
    """Spearman's rho of gap and R@1 in [-1, 1], and p of as strong a one where the two are shuffled."""

    rho: float
    p: float


def matrix(folder: DataFolder, collection: str, watch: Watch) -> list[PairGap]:
    """Return the gap of every two modalities of a collection.

    Raises GapError for a vector without a length, ProjectionError for an empty collection,
    CollectionNotFoundError, StoreError, FolderError, CancelledError.
    """
    columns = read_columns(folder, collection)
    tables, pair_of = gap_input(read_vectors(folder, collection, columns.ids), columns)
    return gaps(tables, pair_of, sample=_MATRIX_SAMPLE, on_progress=watch.at, cancelled=watch.cancelled)


def modalities_of(rows: Sequence[PairGap]) -> list[Modality]:
    """Return the modalities that these gaps are between, in the order they come."""
    return list(dict.fromkeys(kind for one in rows for kind in (one.a, one.b)))


def gap_grid(rows: Sequence[PairGap], measure: str) -> np.ndarray:
    """Return "L2M" or "RMG" of every two modalities: (m, m) float32, symmetric, NaN where there is none."""
    return _grid(rows, lambda one: (one.l2m, one.l2m) if measure == "L2M" else (one.rmg, one.rmg))


def first_grid(rows: Sequence[PairGap]) -> np.ndarray:
    """Return R@1 where a row's modality asks for a column's: (m, m) float32, NaN where there are no pairs."""

    def firsts(one: PairGap) -> tuple[float | None, float | None]:
        ways = (one.of_pairs.a_to_b, one.of_pairs.b_to_a) if one.of_pairs else (None, None)
        there, back = (way.hits["1"].mean if way else None for way in ways)
        return there, back

    return _grid(rows, firsts)


def _grid(
    rows: Sequence[PairGap], both: Callable[[PairGap], tuple[float | None, float | None]]
) -> np.ndarray:
    """Return what `both` tells of two modalities, there and back, as (m, m) float32."""
    place = {kind: at for at, kind in enumerate(modalities_of(rows))}
    values = np.full((len(place), len(place)), np.nan, np.float32)
    for one in rows:
        a, b = place[one.a], place[one.b]
        values[a, b], values[b, a] = (np.nan if number is None else number for number in both(one))
    return values


def dots(folder: DataFolder, *, least: int, watch: Watch, seed: int = 0) -> Dots:
    """Return a dot for every two modalities of every collection that have at least `least` pairs.

    All are measured on as many pairs as the smallest of them has. Raises StoreError, CancelledError.
    """
    found: list[Pairs] = []
    left_out: list[str] = []
    infos = folder.store.collections()
    for place, info in enumerate(infos):
        watch.at(place / len(infos))
        present = [one for one in MODALITIES if info.counts.get(one)]
        if len(present) < 2:
            only = PLURAL[present[0]] if present else "nothing"
            left_out.append(f"{info.name}: holds {only} only.")
        for a, b in twos(present):
            try:
                pairs = read_pairs(folder, info.name, a=a, b=b, seed=seed)
            except GapscopeError as error:
                left_out.append(f"{info.name}, {PLURAL[a]} and {PLURAL[b]}: {error}")
                continue
            if len(pairs) < least:
                left_out.append(
                    f"{info.name}, {PLURAL[a]} and {PLURAL[b]}: {len(pairs):,} pairs, and {least:,} are "
                    f"asked for."
                )
                continue
            found.append(pairs)
    n = min((len(one) for one in found), default=0)
    return Dots(tuple(dot(one, n) for one in found), n, seed, tuple(left_out))


def dot(pairs: Pairs, n: int) -> Dot:
    """Measure two modalities on n of their pairs, drawn by the seed; 2 <= n <= the number of pairs."""
    some = pairs.take(np.sort(np.random.default_rng(pairs.seed).permutation(len(pairs))[:n]))
    keys = range(n)
    both = ((some.x, some.y), (some.y, some.x))
    r1 = np.mean([(best_ranks(one, other, keys, keys) <= 1).mean() for one, other in both])
    return Dot(
        collection=pairs.collection,
        model=pairs.model,
        a=pairs.a,
        b=pairs.b,
        n=n,
        there=pairs.there,
        l2m=l2m(some.x, some.y),
        rmg=rmg(some.x, some.y),
        r1=float(r1),
    )


def trend(gap: np.ndarray, r1: np.ndarray, *, seed: int = 0) -> Trend | None:
    """Return whether a larger gap goes with better or worse retrieval; None where there is no telling.

    gap, r1: (n,) of any float dtype, row i of one dot. There is none below LEAST_DOTS, or where either is
    the same for all. The dots of one data folder are not independent, so that p is at best a lower bound.
    """
    if len(gap) < LEAST_DOTS or gap.min() == gap.max() or r1.min() == r1.max():
        return None
    from scipy.stats import rankdata

    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (gap, r1))
    length = float(np.sqrt((x @ x) * (y @ y)))
    rho = float(x @ y) / length
    chance = np.random.default_rng(seed)
    shuffled = np.array([x @ chance.permutation(y) for _ in range(PERMUTATIONS)]) / length
    as_strong = int((np.abs(shuffled) >= abs(rho) - 1e-12).sum())
    return Trend(rho, (1 + as_strong) / (1 + PERMUTATIONS))


def to_csv(found: Dots) -> str:
    """Return the dots as CSV, a line each under their names; a cell that would be a formula gets a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("collection", "model", "a", "b", "n", "pairs", "l2m", "rmg", "r1", "seed"))
    for one in found.dots:
        names = [csv_cell(name) for name in (one.collection, one.model)]
        numbers = [f"{value:.6f}" for value in (one.l2m, one.rmg, one.r1)]
        writer.writerow((*names, one.a, one.b, one.n, one.there, *numbers, found.seed))
    return out.getvalue()
