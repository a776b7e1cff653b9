"""Near duplicates: items of one modality whose vectors are almost the same, as groups with one to keep.

Every pair is compared, none is sampled and no index is asked; never two modalities with each other, whose
cosines mean something else. Pure; deletes nothing and knows no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.projection import FitCancelledError
from engine.types import MODALITIES, Item, VectorTable
from engine.vectors import normalise

THRESHOLD = 0.97
_ROUNDING = 1e-6  # a float32 cosine of unit rows is off by less; a copy must reach a threshold of 1
_TILE = 2_048  # rows against as many: 16 MB of cosines
_NORMALISED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Group:
    """Items of one modality that hang together by near duplicates, `keep` first, then as they are worth it.

    `similarity_min` and `similarity_max` are cosines in [-1, 1], over every two of them: the lowest may be
    below the threshold, where a chain of near duplicates joins two that are none.
    """

    ids: tuple[str, ...]
    keep: str
    similarity_min: float
    similarity_max: float


@dataclass(frozen=True)
class Duplicates:
    """The groups of a collection, the largest first; no item is in two. `compared` counts pairs."""

    groups: tuple[Group, ...]
    threshold: float
    compared: int

    @property
    def surplus(self) -> int:
        """Return how many items go if each group keeps one."""
        return sum(len(group.ids) - 1 for group in self.groups)


def find(
    table: VectorTable,
    items: Iterable[Item],
    *,
    threshold: float = THRESHOLD,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Duplicates:
    """Return the groups of items of one modality that are linked by cosines of threshold or more.

    A cosine up to 1e-6 below the threshold counts, as float32 knows no better. Time grows with the square
    of a modality's items; memory is one float32 copy of the vectors and 16 MB tiles. To keep is suggested
    the largest in pixels, then with the longest caption, then the oldest, then by id. Raises ValueError for
    a threshold outside (0, 1], a zero row or an id without item, and projection.FitCancelledError.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
    known = {item.id: item for item in items}
    missing = next((id_ for id_ in table.ids if id_ not in known), None)
    if missing is not None:
        raise ValueError(f"there is no item of the vector {missing}")
    of = np.array([known[id_].modality for id_ in table.ids])
    parts = [np.flatnonzero(of == name) for name in MODALITIES]
    total, done = sum(_tiles(len(rows)) for rows in parts), 0
    groups: list[Group] = []
    for rows in parts:
        unit = _unit(table.vectors[rows])
        linked = _Linked(len(rows))
        for left, right in _every_two(len(rows), cancelled):
            linked.join(*_close(unit, left, right, threshold))
            done += 1
            on_progress(done / total)
        members = [known[table.ids[row]] for row in rows]
        groups += [_group(unit[some], [members[row] for row in some], cancelled) for some in linked.groups()]
    on_progress(1.0)
    groups.sort(key=lambda group: (-len(group.ids), -group.similarity_max, group.keep))
    return Duplicates(tuple(groups), threshold, sum(len(rows) * (len(rows) - 1) // 2 for rows in parts))


class _Linked:
    """Which of n rows hang together so far: no list of pairs is kept, of which there may be n² / 2."""

    def __init__(self, count: int) -> None:
        self._of = np.arange(count)  # the component of every row

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Link left[i] and right[i] (int64 rows) for every i."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        left, right = self._of[left], self._of[right]
        new = left != right
        if new.any():
            size = int(self._of.max()) + 1
            edges = coo_array((np.ones(int(new.sum()), bool), (left[new], right[new])), shape=(size, size))
            self._of = connected_components(edges, directed=False)[1].astype(np.int64)[self._of]

    def groups(self) -> list[np.ndarray]:
        """Return the rows of every component of two or more, ascending."""
        order = np.argsort(self._of, kind="stable")
        ends = np.cumsum(np.bincount(self._of)) if len(order) else np.zeros(1, np.int64)
        return [rows for rows in np.split(order, ends[:-1]) if len(rows) > 1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows (n, d) of unit length, float32, with little memory beside them."""
    found = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _NORMALISED_AT_ONCE):
        part = slice(start, start + _NORMALISED_AT_ONCE)
        found[part] = normalise(vectors[part])
    return found


def _tiles(count: int) -> int:
    """Return how many pairs of slices `_every_two` gives."""
    blocks = -(-count // _TILE)
    return blocks * (blocks + 1) // 2


def _every_two(count: int, cancelled: Callable[[], bool]) -> Iterator[tuple[slice, slice]]:
    """Yield slices whose products cover every two rows, until it is cancelled."""
    for start in range(0, count, _TILE):
        for other in range(start, count, _TILE):
            if cancelled():
                raise FitCancelledError
            yield slice(start, start + _TILE), slice(other, other + _TILE)


def _close(unit: np.ndarray, left: slice, right: slice, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (m,), (m,) of two different ones in a tile whose cosine is threshold or more."""
    above = unit[left] @ unit[right].T >= np.float32(threshold - _ROUNDING)  # (tile, tile)
    if left == right:
        np.fill_diagonal(above, False)
    rows, columns = np.nonzero(above)
    return rows + left.start, columns + right.start


def _group(unit: np.ndarray, members: Sequence[Item], cancelled: Callable[[], bool]) -> Group:
    """Return the group of items with unit rows (g, d), g >= 2."""
    low, high = 1.0, -1.0
    for left, right in _every_two(len(unit), cancelled):
        cosines = unit[left] @ unit[right].T
        low = min(low, float(cosines.min()))
        if left == right:
            np.fill_diagonal(cosines, -1.0)
        high = max(high, float(cosines.max()))
    ids = tuple(item.id for item in sorted(members, key=_worth))
    return Group(ids, ids[0], max(low, -1.0), min(high, 1.0))


def _worth(item: Item) -> tuple[int, int, int, str]:
    """Return what sorts the one to keep first."""
    area = (item.width_px or 0) * (item.height_px or 0)
    return -area, -len(item.caption), item.added_at, item.id
