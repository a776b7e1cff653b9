"""The modality gap of a collection: every measure for every two modalities, with what chance would do.

Only puts together: the measures are in `engine/analysis/`, ranks in `gap_retrieval.py`. What needs pairs, or
more rows than there are, is None, and `absent` says why. Distances of centroids and of pairs are over all
rows, or MOST_ROWS of them; what compares all rows with all others is over a smaller sample, in float32. All
of these sizes are said.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from engine.analysis import gap, gap_chance, pairwise
from engine.analysis.hubness import Hubness, hubness
from engine.errors import GapError
from engine.evaluation.gap_retrieval import retrieval
from engine.evaluation.pair_gap import LEAST_PAIRS, OfPairs, PairGap, absent
from engine.progress import Watch
from engine.types import Modality, VectorTable

MOST_ROWS = 10_000  # of a modality that anything is measured on: in float64, and several times over
SAMPLE = 1_500  # rows of a modality that are compared with all others: the time grows with its square
AGREEMENT_SAMPLE = 200  # pairs: Kendall's tau is computed for each
HUB_K = AGREEMENT_K = 10
TEMPERATURE, BATCH = 0.01, 50
TOP_DIMS = (1, 3, 10)
_OFF_UNIT = 1e-3  # float16 rows are within it


@dataclass(frozen=True)
class Asked:
    """How to measure: k of purity, the loss's temperature (more than 0), the seed, rows in a sample."""

    k: int = 15
    seed: int = 0
    sample: int = SAMPLE
    temperature: float = TEMPERATURE


@dataclass(frozen=True)
class _Rows:
    """All rows of two modalities (n, d) float64 at unit length, what each belongs to, and which are pairs."""

    x: np.ndarray
    y: np.ndarray
    keys_x: list[Hashable]
    keys_y: list[Hashable]
    left: list[int]
    right: list[int]

    @cached_property
    def paired(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that belong together, row i with row i: (pairs, d) float64 each."""
        return self.x[self.left], self.y[self.right]


def gaps(
    tables: Mapping[Modality, VectorTable],
    pair_of: Mapping[str, Hashable],
    *,
    k: int = 15,
    seed: int = 0,
    sample: int = SAMPLE,
    temperature: float = TEMPERATURE,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[PairGap]:
    """Return the gap of every two modalities that have rows.

    The tables are (n, d) float32 of any length, all of one d; pair_of maps an item's id to what it belongs
    to. Raises GapError for a zero row and for a temperature that is not positive, and CancelledError. A
    cancel is not heard while scikit-learn fits the classifier: on SAMPLE rows of each that takes a moment,
    and what it returns is dropped.
    """
    if not temperature > 0 or not np.isfinite(temperature):
        raise GapError(f"The temperature is {temperature}; it must be more than 0, for example 0.01.")
    asked = Asked(k, seed, sample, temperature)
    some: dict[Modality, VectorTable] = {name: table for name, table in tables.items() if len(table)}
    few = drawn_tables(some, pair_of, seed=seed)
    pairs, watch, found = list(combinations(some, 2)), Watch(on_progress, cancelled), []
    for place, (a, b) in enumerate(pairs):
        part = watch.part(place / len(pairs), (place + 1) / len(pairs))
        one = _pair_gap(a, b, few, pair_of, asked, part)
        found.append(replace(one, n_a=len(some[a]), n_b=len(some[b])))
    on_progress(1.0)
    return [replace(one, notes=(*_drawn_notes(one), *one.notes)) for one in found]


def drawn_tables(
    tables: Mapping[Modality, VectorTable], pair_of: Mapping[str, Hashable], *, seed: int
) -> dict[Modality, VectorTable]:
    """Return the tables with at most MOST_ROWS rows each, in their order; what belongs together stays so.

    Everything that items belong to gets a place by the seed, and each table keeps the rows of the first.
    """
    if all(len(table) <= MOST_ROWS for table in tables.values()):
        return dict(tables)
    keys = {name: [pair_of.get(id_, id_) for id_ in table.ids] for name, table in tables.items()}
    every = list(dict.fromkeys(key for some in keys.values() for key in some))
    place = dict(zip(every, np.random.default_rng(seed).permutation(len(every)).tolist(), strict=True))
    found: dict[Modality, VectorTable] = {}
    for name, table in tables.items():
        first = np.argsort([place[key] for key in keys[name]], kind="stable")[:MOST_ROWS]
        rows = np.sort(first)
        found[name] = VectorTable(tuple(table.ids[row] for row in rows.tolist()), table.vectors[rows])
    return found


def _drawn_notes(found: PairGap) -> list[str]:
    sizes = ((found.a, found.rows_a, found.n_a), (found.b, found.rows_b, found.n_b))
    return [
        f"Everything is measured on {rows:,} of {count:,} {name} items, drawn by the seed."
        for name, rows, count in sizes
        if rows < count
    ]


def unit_rows(modality: Modality, table: VectorTable) -> tuple[np.ndarray, str]:
    """Return a table's rows (n, d) float64 at unit length, and a note where they were not, or "".

    Raises GapError that names the items whose vector is zero.
    """
    lengths = np.linalg.norm(table.vectors, axis=1)  # (n,)
    if zero := [id_ for id_, length in zip(table.ids, lengths.tolist(), strict=True) if not length]:
        raise GapError(
            f"{len(zero):,} of {len(table):,} {modality} vectors are zero and have no direction "
            f"({zero[0]} is the first). Delete these items or embed them again."
        )
    off = np.abs(lengths - 1) > _OFF_UNIT
    note = (
        f"{int(off.sum()):,} of {len(table):,} {modality} vectors were not of unit length "
        f"({lengths.min():.3g} to {lengths.max():.3g}) and were normalised."
    )
    return gap.unit(table.vectors), note if off.any() else ""


def _pair_gap(
    a: Modality,
    b: Modality,
    tables: Mapping[Modality, VectorTable],
    pair_of: Mapping[str, Hashable],
    asked: Asked,
    watch: Watch,
) -> PairGap:
    watch.at(0)
    (x, note_a), (y, note_b) = unit_rows(a, tables[a]), unit_rows(b, tables[b])
    keys_x, keys_y = ([pair_of.get(id_, id_) for id_ in tables[one].ids] for one in (a, b))
    left, right = gap.joined(tables[a].ids, tables[b].ids, pair_of)
    rows = _Rows(x, y, keys_x, keys_y, left, right)
    watch.at(0.1)
    found = PairGap(
        a=a,
        b=b,
        n_a=len(x),
        n_b=len(y),
        rows_a=len(x),
        rows_b=len(y),
        l2m=gap.l2m(x, y),
        pairs=len(left),
        rmg=gap.rmg(*rows.paired) if len(left) >= 2 else None,
        seed=asked.seed,
        **_of_spread(x, y),
        **_of_samples(rows, asked, watch.part(0.1, 0.4)),
        of_pairs=_of_pairs(rows, asked, watch.part(0.4, 0.8)) if len(left) >= LEAST_PAIRS else None,
        intervals=gap_chance.intervals(
            x, y, [*keys_x, *keys_y], (left, right), seed=asked.seed, watch=watch.part(0.8, 1)
        ),
        resamples=gap_chance.RESAMPLES,
        permutations=gap_chance.PERMUTATIONS,
        absent={},
        notes=tuple(note for note in (note_a, note_b) if note),
    )
    return replace(found, absent=absent(found))


def _of_spread(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return what means and spreads of all rows say, as fields of PairGap."""
    squared = gap.l2m_squared_unbiased(x, y) if min(len(x), len(y)) >= 2 else None
    return {
        "l2m_unbiased": None if squared is None else max(0.0, squared) ** 0.5,
        "l2m_squared_unbiased": squared,
        "cone_a": gap.cone(x) if len(x) >= 2 else None,
        "cone_b": gap.cone(y) if len(y) >= 2 else None,
        "cosine_across": float(x.mean(0) @ y.mean(0)),
        "top_dims": {str(count): gap.top_dims_share(x, y, k=count) for count in TOP_DIMS},
    }


def _of_samples(rows: _Rows, asked: Asked, watch: Watch) -> dict[str, Any]:
    """Return what compares rows of a sample with all others, pairs or not, as fields of PairGap."""
    rows_x, rows_y = _drawn(len(rows.x), asked), _drawn(len(rows.y), asked)
    groups = [*(rows.keys_x[row] for row in rows_x), *(rows.keys_y[row] for row in rows_y)]
    x, y = rows.x[rows_x], rows.y[rows_y]
    small_x, small_y = x.astype(np.float32), y.astype(np.float32)
    enough, k = min(len(x), len(y)) >= 2, min(asked.k, len(groups) - 1)
    swapped = _drawn(len(rows.left), asked)
    return {
        "null": gap_chance.l2m_null(x, y, seed=asked.seed, watch=watch.part(0, 0.2)) if enough else None,
        "null_swap": gap_chance.l2m_swap_null(*(one[swapped] for one in rows.paired), seed=asked.seed)
        if len(rows.left) >= 2
        else None,
        "separability": _separability(small_x, small_y, groups, asked.seed),
        "purity": gap.knn_purity(small_x, small_y, k=k, watch=watch.part(0.5, 0.8)) if enough else None,
        "purity_baseline": gap.purity_baseline(len(x), len(y)) if enough else None,
        "uniformity_a": gap.uniformity(small_x) if len(x) >= 2 else None,
        "uniformity_b": gap.uniformity(small_y) if len(y) >= 2 else None,
        "pc1_agreement": gap.pc1_agreement(x, y),
        "hubs_a_to_b": _hubs(small_x, small_y),
        "hubs_b_to_a": _hubs(small_y, small_x),
        "k": k,
        "sample_a": len(x),
        "sample_b": len(y),
    }


def _of_pairs(rows: _Rows, asked: Asked, watch: Watch) -> OfPairs:
    """Measure what at least LEAST_PAIRS rows have that belong together."""
    x, y = rows.paired
    some = _drawn(len(x), asked)
    few = some[:: max(1, -(-len(some) // AGREEMENT_SAMPLE))]  # spread over all of them
    some_x, some_y = x[some].astype(np.float32), y[some].astype(np.float32)
    agreement = pairwise.neighbour_agreement(x[few], y[few], k=min(AGREEMENT_K, len(few) - 1))
    watch.at(0.4)
    all_x, all_y, keys_x, keys_y = rows.x, rows.y, rows.keys_x, rows.keys_y
    alignment = gap.alignment(x, y)
    return OfPairs(
        l2i=gap.l2i(x, y),
        alignment=alignment,
        cosine_paired=1 - alignment / 2,
        cosine_unpaired=gap.unpaired_cosine(x, y),
        uniformity_across=gap.cross_uniformity(some_x, some_y),
        crowding_a=pairwise.crowding(some_x, some_y),
        crowding_b=pairwise.crowding(some_y, some_x),
        rank_distance=agreement[0] if agreement else None,
        neighbour_overlap=agreement[1] if agreement else None,
        agreement_pairs=len(few),
        loss=pairwise.contrastive_loss(
            x[some], y[some], temperature=asked.temperature, batch=min(BATCH, len(some))
        ),
        temperature=asked.temperature,
        batch=min(BATCH, len(some)),
        sample=len(some),
        a_to_b=retrieval(all_x, all_y, keys_x, keys_y, seed=asked.seed, watch=watch.part(0.4, 0.7)),
        b_to_a=retrieval(all_y, all_x, keys_y, keys_x, seed=asked.seed, watch=watch.part(0.7, 1)),
    )


def _hubs(questions: np.ndarray, documents: np.ndarray) -> Hubness:
    return hubness(questions, documents, k=min(HUB_K, len(documents)))


def _separability(x: np.ndarray, y: np.ndarray, groups: list[Hashable], seed: int) -> float | None:
    """Return `separability`; None where it has too few rows or groups."""
    try:
        return gap.separability(x, y, groups=groups, seed=seed)
    except ValueError:  # too few rows to hold some out
        return None


def _drawn(count: int, asked: Asked) -> np.ndarray:
    """Return all rows 0 to count - 1, or a sample of them by the seed, ascending: (at most sample,) int64."""
    if count <= asked.sample:
        return np.arange(count)
    return np.sort(np.random.default_rng(asked.seed).choice(count, asked.sample, replace=False))
