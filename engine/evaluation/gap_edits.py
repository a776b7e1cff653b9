"""An edit of the vectors tried out: the gap of held-out items before and after, fitted on the other items.

The edits are in `engine/analysis/edits.py`; no stored vector is changed. Items that belong together are on
one side of the split, so that nothing is measured on the twin of what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.analysis.edits import LEAST_ROWS, Edit, EditName
from engine.errors import GapError
from engine.evaluation.gap_matrix import drawn_tables, gaps, unit_rows
from engine.evaluation.gap_sample import TEMPERATURE
from engine.evaluation.pair_gap import PairGap
from engine.types import Modality, VectorTable

HELD_OUT = 0.5


@dataclass(frozen=True)
class EditedGap:
    """The gap of held-out items of two modalities before and after an edit fitted on `fitted_a` + `fitted_b`.

    `delta` and `dims` are what the edits "shift" and "drop-dims" were given.
    """

    edit: EditName
    delta: float
    dims: int
    fitted_a: int
    fitted_b: int
    before: PairGap
    after: PairGap


def edited_gaps(
    tables: Mapping[Modality, VectorTable],
    pair_of: Mapping[str, Hashable],
    edit: EditName,
    *,
    delta: float = 0.5,
    dims: int = 3,
    k: int = 15,
    seed: int = 0,
    temperature: float = TEMPERATURE,
) -> list[EditedGap]:
    """Return what an edit does to the gap of every two modalities that have rows, on items held out.

    The tables are (n, d) float32 of any length, all of one d; pair_of maps an item's id to what it belongs
    to. Half of what belongs together is held out, by the seed. Raises GapError for too few items to hold
    some out, for an edit that cannot be fitted or that leaves nothing of a vector, and as `gaps` does.
    """
    there: dict[Modality, VectorTable] = {name: table for name, table in tables.items() if len(table)}
    some = drawn_tables(there, pair_of, seed=seed)
    keys = sorted({pair_of.get(id_, id_) for table in some.values() for id_ in table.ids}, key=str)
    order = np.random.default_rng(seed).permutation(len(keys))
    held = {keys[place] for place in order[: round(len(keys) * HELD_OUT)].tolist()}
    found = []
    for a, b in combinations(some, 2):
        sides = {one: _split(one, some[one], pair_of, held) for one in (a, b)}
        fitted = Edit.fit(edit, *(sides[one].fitted for one in (a, b)), delta=delta, dims=dims)
        edited = fitted.apply(*(sides[one].measured for one in (a, b)))
        both = [
            {a: sides[a].table(left), b: sides[b].table(right)}
            for left, right in ((sides[a].measured, sides[b].measured), edited)
        ]
        [before], [after] = (gaps(part, pair_of, k=k, seed=seed, temperature=temperature) for part in both)
        fitted_a, fitted_b = (len(sides[one].fitted) for one in (a, b))
        found.append(EditedGap(edit, delta, dims, fitted_a, fitted_b, before, after))
    return found


@dataclass(frozen=True)
class _Split:
    """Rows of a modality to fit on (n, d) and to measure (m, d), float64 unit rows, the latter with ids."""

    fitted: np.ndarray
    measured: np.ndarray
    ids: tuple[str, ...]

    def table(self, rows: np.ndarray) -> VectorTable:
        """Return rows (m, d) of any float dtype under the ids of what is measured."""
        return VectorTable(self.ids, rows.astype(np.float32))


def _split(
    modality: Modality, table: VectorTable, pair_of: Mapping[str, Hashable], held: set[Hashable]
) -> _Split:
    rows, _ = unit_rows(modality, table)
    out = np.array([pair_of.get(id_, id_) in held for id_ in table.ids], bool)
    if min(int(out.sum()), int((~out).sum())) < LEAST_ROWS:
        raise GapError(
            f"{len(table)} {modality} items are too few to fit an edit on some and measure it on others: "
            f"each side needs {LEAST_ROWS}. Add items, or measure without an edit."
        )
    ids = tuple(id_ for id_, one in zip(table.ids, out.tolist(), strict=True) if one)
    return _Split(rows[~out], rows[out], ids)
