"""The pairs of a collection as the lessons take them: two modalities, row with row, at unit length.

Reads and draws a sample; what is computed of it is for one module per lesson.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine.errors import GapError
from engine.evaluation.gap_matrix import unit_rows
from engine.maps.gap_input import gap_input
from engine.storage.columns import read_columns, read_vectors
from engine.storage.data_folder import DataFolder
from engine.types import PLURAL, Modality

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
    columns, info = read_columns(folder, collection), folder.store.info(collection)
    first: dict[Modality, dict[int, int]] = {a: {}, b: {}}
    for row, (kind, pair) in enumerate(zip(columns.modality, columns.pair.tolist(), strict=True)):
        if kind in first:
            first[kind].setdefault(pair, row)
    both = sorted(first[a].keys() & first[b].keys(), key=lambda pair: columns.ids[first[a][pair]])
    if len(both) < LEAST_PAIRS:
        raise GapError(
            f"The collection {collection!r} has {len(both):,} pairs of {PLURAL[a]} and {PLURAL[b]}, and this "
            f"needs {LEAST_PAIRS}. Choose another collection, or add {PLURAL[a]} with their {PLURAL[b]}."
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(len(both))[:most])
    ids_x, ids_y = (tuple(columns.ids[first[kind][both[row]]] for row in drawn.tolist()) for kind in (a, b))
    tables, _ = gap_input(read_vectors(folder, collection, (*ids_x, *ids_y)), columns)
    (x, note_x), (y, note_y) = (
        unit_rows(kind, tables[kind].take(ids)) for kind, ids in ((a, ids_x), (b, ids_y))
    )
    trained = info.made_by.training and (
        f"The model was {info.made_by.training}. What it was trained on may be among these pairs, and is "
        f"found more easily than anything new."
    )
    notes = tuple(note for note in (note_x, note_y, trained) if note)
    return Pairs(collection, info.made_by.model, a, b, ids_x, ids_y, x, y, len(both), seed, notes)
