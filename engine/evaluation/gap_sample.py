"""What compares rows of a sample with all its others: numbers, nulls, and what each row adds to them.

From one matrix of float32 cosines per sample, made once. What is made of means of all rows, and the record
that all this becomes, is `gap_matrix.py`'s.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.analysis import all_pairs, gap, gap_chance, pairwise, row_chance
from engine.analysis.gap_chance import Bounds
from engine.analysis.hubness import Hubness, counts_by_cosine, hubness_of_counts
from engine.analysis.separability import HeldOut, held_out
from engine.evaluation.gap_retrieval import retrieval
from engine.evaluation.pair_gap import OfPairs
from engine.progress import Watch

SAMPLE = 1_500  # rows of a modality that are compared with all others: the time grows with its square
AGREEMENT_SAMPLE = 200  # pairs: their orders of all others take the third power of it
TEMPERATURE, BATCH = 0.01, 50
HUB_K = AGREEMENT_K = 10


@dataclass(frozen=True)
class Asked:
    """How to measure: k of purity, the loss's temperature (more than 0), the seed, rows in a sample."""

    k: int = 15
    seed: int = 0
    sample: int = SAMPLE
    temperature: float = TEMPERATURE

    def drawn(self, count: int) -> np.ndarray:
        """Return all rows 0 to count - 1, or a sample of them by the seed, ascending: (m,) int64."""
        if count <= self.sample:
            return np.arange(count)
        return np.sort(np.random.default_rng(self.seed).choice(count, self.sample, replace=False))


@dataclass(frozen=True)
class Rows:
    """All rows of two modalities (n, d) float64 at unit length, what each belongs to, and which are pairs.

    `units_x` and `units_y` number what rows belong to, (n,) and (m,) int64; row left[i] of x and row right[i]
    of y are a pair, (pairs,) int64 each.
    """

    x: np.ndarray
    y: np.ndarray
    keys_x: list[Hashable]
    keys_y: list[Hashable]
    units_x: np.ndarray
    units_y: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @cached_property
    def paired(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that belong together, row i with row i: (pairs, d) float64 each."""
        every = np.arange(len(self.x))
        if len(self.x) == len(self.y) and all(np.array_equal(one, every) for one in (self.left, self.right)):
            return self.x, self.y
        return self.x[self.left], self.y[self.right]

    def sample(self, asked: Asked) -> Sample:
        """Return a sample of each modality, pairs or not."""
        return Sample.of(self, asked.drawn(len(self.x)), asked.drawn(len(self.y)))

    def sample_of_pairs(self, some: np.ndarray, known: Sample) -> Sample:
        """Return some of the pairs, (n,) int64, as a sample; the one that is known where it is the same."""
        rows_x, rows_y = self.left[some], self.right[some]
        if np.array_equal(rows_x, known.rows_x) and np.array_equal(rows_y, known.rows_y):
            return known
        return Sample.of(self, rows_x, rows_y)


@dataclass(frozen=True)
class Sample:
    """Rows of both modalities by number, (n, d) and (m, d) float64, and the cosines of all, float32."""

    rows_x: np.ndarray
    rows_y: np.ndarray
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    cosines: np.ndarray = field(repr=False)  # (n + m, n + m), those of x first

    @classmethod
    def of(cls, rows: Rows, rows_x: np.ndarray, rows_y: np.ndarray) -> Sample:
        """Take rows_x (n,) and rows_y (m,) int64, and compute their cosines."""
        x, y = rows.x[rows_x], rows.y[rows_y]
        both = np.concatenate([x, y]).astype(np.float32)
        return cls(rows_x, rows_y, x, y, both @ both.T)

    @property
    def within_x(self) -> np.ndarray:
        """Return the cosines (n, n) float32 of the first modality."""
        return self.cosines[: len(self.x), : len(self.x)]

    @property
    def within_y(self) -> np.ndarray:
        """Return the cosines (m, m) float32 of the other modality."""
        return self.cosines[len(self.x) :, len(self.x) :]

    @property
    def across(self) -> np.ndarray:
        """Return the cosines (n, m) float32 of the first modality with the other."""
        return self.cosines[: len(self.x), len(self.x) :]


@dataclass
class Measured:
    """Numbers as fields of the record they go into, what rows add to some, and intervals known already.

    added: by name the rows' numbers (n,) float64 and their units (n,) int64, as `row_chance.row_intervals`
    takes.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    added: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    intervals: dict[str, Bounds] = field(default_factory=dict)

    def mean(self, name: str, added: np.ndarray, units: np.ndarray) -> float:
        """Return the mean of what rows add, less those without a number, and remember it under its name.

        added: (n,) float64, of which one at least is a number; units: (n,) int64.
        """
        self.added[name] = added, units
        return float(added[np.isfinite(added)].mean())


def of_sample(rows: Rows, some: Sample, asked: Asked, watch: Watch) -> Measured:
    """Return what compares rows with all others, pairs or not, as fields of PairGap."""
    found = Measured()
    units_x, units_y = rows.units_x[some.rows_x], rows.units_y[some.rows_y]
    units, count = np.concatenate([units_x, units_y]), len(some.x)
    enough, k = min(count, len(some.y)) >= 2, min(asked.k, len(units) - 1)
    told = _held_out(some, units, asked.seed)
    watch.at(0.4)
    nearest, following = all_pairs.nearest_others(some.cosines, k=k)
    own = all_pairs.purity_rows(nearest, following, np.arange(len(units)) >= count)
    swapped = asked.drawn(len(rows.left))
    found.fields = {
        "null": gap_chance.l2m_null(some.x, some.y, seed=asked.seed, watch=watch.part(0.4, 0.8))
        if enough
        else None,
        "null_swap": gap_chance.l2m_swap_null(*(one[swapped] for one in rows.paired), seed=asked.seed)
        if len(rows.left) >= 2
        else None,
        "separability": told.accuracy if told else None,
        "null_separability": told.null() if told else None,
        "purity": found.mean("purity", own, units) if enough else None,
        "null_purity": row_chance.purity_null(nearest, count, seed=asked.seed) if enough else None,
        "purity_baseline": gap.purity_baseline(count, len(some.y)) if enough else None,
        "pc1_agreement": gap.pc1_agreement(some.x, some.y),
        "hubs_a_to_b": _hubs(some.across),
        "hubs_b_to_a": _hubs(some.across.T),
        "k": k,
        "sample_a": count,
        "sample_b": len(some.y),
    }
    for name, cosines, of in (("a", some.within_x, units_x), ("b", some.within_y, units_y)):
        added = all_pairs.uniformity_rows(cosines) if len(cosines) >= 2 else None
        field_name = f"uniformity_{name}"
        found.fields[field_name] = None if added is None else found.mean(field_name, added, of)
    if told:
        found.intervals["separability"] = told.interval()
    return found


def of_pairs(rows: Rows, known: Sample, asked: Asked, watch: Watch) -> Measured:
    """Return what at least LEAST_PAIRS rows have that belong together, as the field of PairGap."""
    x, y = rows.paired
    drawn = asked.drawn(len(x))
    some = rows.sample_of_pairs(drawn, known)
    few = np.arange(len(drawn))[:: max(1, -(-len(drawn) // AGREEMENT_SAMPLE))]  # spread over all of them
    units, found = rows.units_x[some.rows_x], Measured()
    partners = np.diag(some.across)
    shuffled, rmg_shuffled = row_chance.partner_null(some.x, some.y, some.across, seed=asked.seed)
    watch.at(0.2)
    orders = (one[few] @ one[few].T for one in (some.x, some.y))
    distances, shared = all_pairs.agreement_rows(*orders, k=min(AGREEMENT_K, len(few) - 1))
    ordered = np.isfinite(distances).any()
    losses = pairwise.batch_losses(some.x, some.y, temperature=asked.temperature, batch=BATCH)
    loss_interval = row_chance.batch_interval(losses)
    watch.at(0.4)
    alignment = gap.alignment(x, y)
    found.fields["of_pairs"] = OfPairs(
        l2i=gap.l2i(x, y),
        alignment=alignment,
        cosine_paired=1 - alignment / 2,
        cosine_unpaired=gap.unpaired_cosine(x, y),
        null_partners=shuffled,
        rmg_shuffled=rmg_shuffled,
        uniformity_across=found.mean("uniformity_across", all_pairs.uniformity_rows(some.across), units),
        crowding_a=found.mean("crowding_a", all_pairs.crowding_rows(some.within_x, partners), units),
        crowding_b=found.mean("crowding_b", all_pairs.crowding_rows(some.within_y, partners), units),
        rank_distance=found.mean("rank_distance", distances, units[few]) if ordered else None,
        neighbour_overlap=found.mean("neighbour_overlap", shared, units[few]) if ordered else None,
        agreement_pairs=len(few),
        loss=float(losses.mean()),
        temperature=asked.temperature,
        batch=min(BATCH, len(drawn)),
        sample=len(drawn),
        a_to_b=retrieval(
            rows.x, rows.y, rows.keys_x, rows.keys_y, seed=asked.seed, watch=watch.part(0.4, 0.7)
        ),
        b_to_a=retrieval(rows.y, rows.x, rows.keys_y, rows.keys_x, seed=asked.seed, watch=watch.part(0.7, 1)),
    )
    if loss_interval:
        found.intervals["loss"] = loss_interval
    return found


def _hubs(cosines: np.ndarray) -> Hubness:
    k = min(HUB_K, cosines.shape[1])
    return hubness_of_counts(counts_by_cosine(cosines, k=k), questions=len(cosines), k=k)


def _held_out(some: Sample, units: np.ndarray, seed: int) -> HeldOut | None:
    """Return what the classifier of the modality did; None where it has too few rows or groups."""
    x, y = some.x.astype(np.float32), some.y.astype(np.float32)
    try:
        return held_out(x, y, groups=units.tolist(), seed=seed)
    except ValueError:  # too few rows to hold some out
        return None
