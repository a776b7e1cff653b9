"""What a selection holds: counts, its most and least typical items, and what is near it but not in it.

All from the vectors, never from places on a map. Each modality for itself: across the modality gap a shared
centroid lies in between, where nothing is. Pure; knows no store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.types import MODALITIES, Modality, VectorTable

if TYPE_CHECKING:
    from engine.storage.columns import Columns


@dataclass(frozen=True)
class Part:
    """The selected items of one modality.

    `typical` is nearest to their centroid and `odd` farthest, by cosine (in [-1, 1]); None where all are
    as near, as with a single one. `outside` are the nearest of the same modality that are not selected,
    best first, with their cosine to the centroid.
    """

    modality: Modality
    n: int
    typical: tuple[str, float] | None
    odd: tuple[str, float] | None
    outside: tuple[tuple[str, float], ...]


def counts(columns: Columns, rows: np.ndarray) -> tuple[dict[Modality, int], list[tuple[str, int]]]:
    """Return how many of some rows, (m,) of any int dtype, are of each modality, and have each label.

    Modalities in the order of MODALITIES, labels commonest first.
    """
    found = dict(zip(columns.modality.values, columns.modality.counts(rows).tolist(), strict=True))
    tags: Counter[str] = Counter()
    for labels, count in zip(columns.labels.values, columns.labels.counts(rows).tolist(), strict=True):
        tags.update(dict.fromkeys(labels, count))
    return {one: found[one] for one in MODALITIES if found.get(one)}, sorted(
        ((tag, count) for tag, count in tags.items() if count), key=lambda row: (-row[1], row[0])
    )


def parts(
    table: VectorTable, modality: Mapping[str, Modality], selected: Collection[str], *, k: int = 6
) -> list[Part]:
    """Return what a selection is made of, by modality.

    table: unit rows of all items, (n, d) float32; selected ids that are not in it are left out.
    """
    chosen = set(selected)
    inside = np.fromiter((id_ in chosen for id_ in table.ids), bool, len(table))
    names = np.array([modality.get(id_, "") for id_ in table.ids])
    return [
        _part(table, one, inside & (names == one), ~inside & (names == one), k)
        for one in MODALITIES
        if (inside & (names == one)).any()
    ]


def _part(table: VectorTable, modality: Modality, inside: np.ndarray, outside: np.ndarray, k: int) -> Part:
    """Return one part; inside and outside: (n,) bool."""
    rows = np.flatnonzero(inside)
    centroid = table.vectors[rows].astype(np.float64).mean(0)
    length = np.linalg.norm(centroid)
    direction = (centroid / length if length > 1e-9 else centroid).astype(np.float32)
    cosines = np.clip(table.vectors @ direction, -1.0, 1.0)  # (n,)
    order = rows[np.argsort(-cosines[rows], kind="stable")]
    ends = [(table.ids[row], float(cosines[row])) for row in (order[0], order[-1])]
    apart = len(rows) > 1 and ends[0][1] - ends[1][1] > 1e-6
    others = np.flatnonzero(outside)
    near = others[np.argsort(-cosines[others], kind="stable")[:k]]
    return Part(
        modality,
        len(rows),
        ends[0] if apart else None,
        ends[1] if apart else None,
        tuple((table.ids[row], float(cosines[row])) for row in near),
    )
