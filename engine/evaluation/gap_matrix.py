"""The modality gap of a collection: every measure for every two modalities, with what chance would do.

Only puts together: the measures are in `engine/analysis/`, what compares all rows with all others is over a
sample in `gap_sample.py`, ranks in `gap_retrieval.py`. What needs pairs, or more rows than there are, is
None, and `absent` says why. Distances of centroids and of pairs are over all rows, or MOST_ROWS of them. All
of these sizes are said.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from engine.analysis import gap, gap_chance, row_chance
from engine.blas import one_thread
from engine.errors import GapError
from engine.evaluation.gap_sample import SAMPLE, TEMPERATURE, Asked, Measured, Rows, of_pairs, of_sample
from engine.evaluation.pair_gap import LEAST_PAIRS, PairGap, absent
from engine.progress import Watch
from engine.types import Modality, VectorTable

MOST_ROWS = 10_000  # of a modality that anything is measured on: in float64, and several times over
TOP_DIMS = (1, 3, 10)
_OFF_UNIT = 1e-3  # float16 rows are within it


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
    with one_thread():
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
    units = gap_chance.numbered([*keys_x, *keys_y])
    of_pair = (np.array(rows, np.intp) for rows in (left, right))
    rows = Rows(x, y, keys_x, keys_y, units[: len(x)], units[len(x) :], *of_pair)
    watch.at(0.1)
    sample = rows.sample(asked)
    parts = [of_sample(rows, sample, asked, watch.part(0.1, 0.4))]
    if len(left) >= LEAST_PAIRS:
        parts.append(of_pairs(rows, sample, asked, watch.part(0.4, 0.8)))
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
        **({"of_pairs": None} | {name: value for part in parts for name, value in part.fields.items()}),
        intervals=_intervals(rows, parts, asked, watch.part(0.8, 1)),
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


def _intervals(
    rows: Rows, parts: Sequence[Measured], asked: Asked, watch: Watch
) -> dict[str, gap_chance.Bounds]:
    """Return the intervals of everything that has one, by its name."""
    found = gap_chance.intervals(
        rows.x,
        rows.y,
        np.concatenate([rows.units_x, rows.units_y]),
        (rows.left, rows.right),
        seed=asked.seed,
        watch=watch,
    )
    if not found:
        return {}
    added = {name: values for part in parts for name, values in part.added.items()}
    for name, (low, high) in row_chance.row_intervals(added, seed=asked.seed).items():
        least, most = (-np.inf, 0.0) if name.startswith("uniformity") else (0.0, 1.0)
        found[name] = max(low, least), min(high, most)
    return found | {name: bounds for part in parts for name, bounds in part.intervals.items()}
