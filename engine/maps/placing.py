"""Items that were not fitted, put on a map among their nearest fitted neighbours; what shares a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.analysis.copies import Copies, copies
from engine.errors import ProjectionError
from engine.maps import neighbours
from engine.progress import CancelledError
from engine.types import Projection, VectorTable
from engine.vectors import normalise

_PLACED_BY = 10  # nearest fitted neighbours: their median measured as good as UMAP's own transform
_PLACE_PAIRS = 10_000_000_000  # compared at most while placing: minutes on two cores
_LEAST = 1_000  # fitted items that are asked, however many are to be placed
_BLOCK = 2_000


def place(
    projection: Projection,
    fitted: VectorTable,
    new: VectorTable,
    *,
    added: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Projection:
    """Return a projection with further items, each at the median of its nearest fitted neighbours.

    Neighbours are different vectors; a copy of one that was fitted lies where that does. fitted: the vectors
    that the projection's fitted rows were made of; where comparing all of them would take too long, as many
    as is affordable are drawn. The fitted rows stay where they are, and the new ones are marked as placed,
    and as `added` where they came after the fit. Raises ValueError where ids are there already,
    ProjectionError for a vector that is zero, and CancelledError.
    """
    if set(projection.ids) & set(new.ids):
        raise ValueError("some of these items are on the map already")
    base = {id_: row for row, id_ in enumerate(projection.ids) if not projection.placed[row]}
    anchors = np.array([row for row, id_ in enumerate(fitted.ids) if id_ in base], np.int64)
    if not len(anchors):
        raise ValueError("none of the fitted vectors is on the map")
    on_map = np.array([base[fitted.ids[row]] for row in anchors], np.int64)
    same = copies(fitted.vectors[anchors], new.vectors)
    old, fresh = same.first[same.first < len(anchors)], same.first[same.first >= len(anchors)]
    asked = _affordable(old, len(fresh))
    known, xy = directions(fitted.vectors[anchors[asked]]), projection.places[on_map[asked]]
    found = [projection.places[on_map[old]]]  # of the different vectors, in their order
    for start in range(0, len(fresh), _BLOCK):
        if cancelled():
            raise CancelledError
        on_progress(start / len(fresh))
        rows = directions(new.vectors[fresh[start : start + _BLOCK] - len(anchors)])
        near = neighbours.nearest(rows @ known.T, min(_PLACED_BY, len(known)))
        found.append(np.median(xy[near], axis=1))
    places = np.concatenate(found)[same.of[len(anchors) :]]
    return replace(
        projection,
        ids=(*projection.ids, *new.ids),
        places=np.concatenate([projection.places, places]).astype(np.float32),
        placed=np.concatenate([projection.placed, np.ones(len(new), bool)]),
        added=np.concatenate([projection.added, np.full(len(new), added)]),
        shared=_shared_with(projection.shared, same, on_map),
    )


def _affordable(anchors: np.ndarray, asked: int) -> np.ndarray:
    """Return so many of the anchors (m,) int64, drawn at random, that asking each one is affordable."""
    room = max(_LEAST, _PLACE_PAIRS // max(1, asked))
    if len(anchors) <= room:
        return anchors
    return np.sort(np.random.default_rng(0).choice(anchors, room, replace=False))


def shared(same: Copies) -> np.ndarray:
    """Return for every row (n,) int32 the number of its vector, -1 where no other row has it."""
    return np.where(same.counts[same.of] > 1, same.of, -1).astype(np.int32)


def _shared_with(before: np.ndarray, same: Copies, on_map: np.ndarray) -> np.ndarray:
    """Return what shares a vector, (n + m,) int32, once m rows have come to n of which `before` (n,) says it.

    same: of the anchors, which are rows on_map (a,) int64 of the n, and of the m new rows after them.
    """
    of, at, there = same.of, len(on_map), before[on_map]
    number = np.where(same.counts > 1, before.max(initial=-1) + 1 + np.arange(len(same.first)), -1)
    number[of[:at][there >= 0]] = there[there >= 0]  # also what shares with a placed one keeps its number
    now = before.copy()
    now[on_map] = number[of[:at]]
    return np.concatenate([now, number[of[at:]]]).astype(np.int32)


def directions(vectors: np.ndarray) -> np.ndarray:
    """Return unit rows (n, d) float32 of vectors (n, d), any float dtype.

    Raises ProjectionError for a row that is zero or not finite.
    """
    try:
        return normalise(vectors)
    except ValueError as error:
        raise ProjectionError(f"These vectors cannot be projected: {error}.") from error
