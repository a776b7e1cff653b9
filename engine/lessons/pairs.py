"""The pairs of a collection as the lessons take them: two modalities, row with row, at unit length.

Reads and draws a sample; what is computed of it is for one module per lesson.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from engine.errors import GapError
from engine.evaluation.gap_matrix import unit_rows
from engine.maps.gap_input import gap_input
from engine.storage.columns import Columns, read_columns, read_vectors
from engine.storage.data_folder import DataFolder
from engine.types import MODALITIES, PLURAL, Modality, Provenance

LEAST_PAIRS = 4  # two to fit on and two to measure
MOST_PAIRS = 1_000  # a lesson compares all with all


@dataclass(frozen=True)
class Pairs:
    """Pairs of two modalities of a collection: row i of x belongs to row i of y.

    x and y: (n, d) float64 unit rows of the items `ids_x` of modality `a` and `ids_y` of `b`. `there` is how
    many pairs the collection has, of which these n were drawn by `seed`; `model` made the vectors, and
    `notes` say what was done to them.
    """

    collection: str
    model: str
    a: Modality
    b: Modality
    ids_x: tuple[str, ...]
    ids_y: tuple[str, ...]
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    there: int
    seed: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Pairs:
        """Return some pairs, rows (m,) of any int dtype, in their order."""
        ids_x, ids_y = (tuple(ids[row] for row in rows.tolist()) for ids in (self.ids_x, self.ids_y))
        return replace(self, ids_x=ids_x, ids_y=ids_y, x=self.x[rows], y=self.y[rows])

    def halves(self) -> tuple[Pairs, Pairs]:
        """Return the pairs to fit on and those to measure on, drawn by the seed; the first has no more."""
        order = np.random.default_rng(self.seed).permutation(len(self))
        middle = len(self) // 2
        return self.take(np.sort(order[:middle])), self.take(np.sort(order[middle:]))


def read_pairs(
    folder: DataFolder,
    collection: str,
    *,
    a: Modality = "image",
    b: Modality = "text",
    most: int = MOST_PAIRS,
    seed: int = 0,
) -> Pairs:
    """Return the pairs of two modalities of a collection, at most `most`, drawn by the seed.

    Where several items of one modality belong to the same thing, the first by id stands for them. Raises
    GapError for fewer than LEAST_PAIRS pairs and for a vector without a length, and
    CollectionNotFoundError, StoreError, FolderError, ProjectionError for an empty collection.
    """
    columns = read_columns(folder, collection)
    both = pair_ids(columns, a, b)
    if len(both) < LEAST_PAIRS:
        raise GapError(
            f"The collection {collection!r} has {len(both):,} pairs of {PLURAL[a]} and {PLURAL[b]}, and this "
            f"needs {LEAST_PAIRS}. Choose another collection, or add {PLURAL[a]} with their {PLURAL[b]}."
        )
    drawn = draw(both, most, seed)
    rows, notes = unit_vectors(folder, collection, columns, drawn, (a, b))
    info, (ids_x, ids_y) = folder.store.info(collection), tuple(zip(*drawn, strict=True))
    return Pairs(collection, info.made_by.model, a, b, ids_x, ids_y, rows[a], rows[b], len(both), seed, notes)


def pair_ids(columns: Columns, a: Modality, b: Modality) -> list[tuple[str, str]]:
    """Return the items of two modalities that belong together, sorted; of several the first by id."""
    first: dict[Modality, dict[int, str]] = {a: {}, b: {}}
    for id_, kind, pair in zip(columns.ids, columns.modality, columns.pair.tolist(), strict=True):
        if kind in first:
            first[kind].setdefault(pair, id_)
    return sorted((first[a][pair], first[b][pair]) for pair in first[a].keys() & first[b].keys())


def draw(pairs: Sequence[tuple[str, str]], most: int, seed: int) -> list[tuple[str, str]]:
    """Return at most `most` of the pairs, drawn by the seed, in their order."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:most])
    return [pairs[row] for row in rows.tolist()]


def unit_vectors(
    folder: DataFolder,
    collection: str,
    columns: Columns,
    pairs: Sequence[tuple[str, str]],
    kinds: tuple[Modality, Modality],
) -> tuple[dict[Modality, np.ndarray], tuple[str, ...]]:
    """Return the vectors of pairs by modality, (n, d) float64 unit rows, and notes of what was done to them.

    Raises GapError for a vector without a length, StoreError, FolderError.
    """
    sides = dict(zip(kinds, zip(*pairs, strict=True), strict=True))
    wanted = tuple(dict.fromkeys(id_ for ids in sides.values() for id_ in ids))
    tables, _ = gap_input(read_vectors(folder, collection, wanted), columns)
    found = {kind: unit_rows(kind, tables[kind].take(ids)) for kind, ids in sides.items()}
    return {kind: rows for kind, (rows, _) in found.items()}, tuple(
        note for _, note in found.values() if note
    )


def trained_words(made_by: Provenance) -> tuple[str, ...]:
    """Return the note that a model was trained on pairs of this data folder, none for any other model."""
    if not made_by.training:
        return ()
    return (
        f"The model was {made_by.training}. What it was trained on may be among these pairs, and is found "
        f"more easily than anything new.",
    )


def twos(present: Sequence[Modality]) -> list[tuple[Modality, Modality]]:
    """Return every two modalities, pictures before texts as everywhere in the lessons."""
    ordered = sorted(present, key=lambda one: (one == "text", MODALITIES.index(one)))
    return list(combinations(ordered, 2))
