"""Near duplicates: items of one modality whose vectors are almost the same, as groups with one to keep.

Every pair is compared, none is sampled and no index is asked; never two modalities with each other, whose
cosines mean something else. Most pairs are ruled out by their first principal components, from which a cosine
can only be so far: 100,000 x 384 of one modality in 20 groups took 28 s at a threshold of 0.97, and 200 s at
0.80, where full products were needed (measured on two cores with other work). Pure; deletes nothing and
knows no store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.progress import Watch
from engine.types import MODALITIES, Item, Modality, VectorTable
from engine.vectors import normalise

THRESHOLD = 0.97
_ROUNDING = 1e-6  # a float32 cosine of unit rows is off by less; a copy must reach a threshold of 1
_TILE = 2_048  # rows against as many: 16 MB of cosines
_NORMALISED_AT_ONCE = 10_000
_HEAD = 64  # principal components that rule out most pairs
_SURVEYED = 5_000  # rows that show where these lie
_SLACK = 1e-5  # on what rules pairs out: turning float32 rows costs less than this
_CROWDED = 0.01  # from this share of a tile's pairs on, a full product is cheaper than single pairs


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

    def is_chain(self, group: Group) -> bool:
        """Tell whether some two of a group are less alike than the threshold."""
        return group.similarity_min < self.threshold - _ROUNDING

    def without(self, ids: Collection[str]) -> Duplicates | None:
        """Return what `find` would without these items; None where a group would have to be searched again.

        That is so where some of a group go and two or more stay: they need not hang together any more.
        `compared` stays what was compared.
        """
        gone = set(ids)
        stay = [sum(id_ not in gone for id_ in group.ids) for group in self.groups]
        if any(1 < left < len(group.ids) for left, group in zip(stay, self.groups, strict=True)):
            return None
        return replace(
            self, groups=tuple(group for left, group in zip(stay, self.groups, strict=True) if left > 1)
        )


def find(
    table: VectorTable,
    modalities: Mapping[str, Modality],
    items_of: Callable[[list[str]], Iterable[Item]],
    *,
    threshold: float = THRESHOLD,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Duplicates:
    """Return the groups of items of one modality that are linked by cosines of threshold or more.

    items_of returns the items of groups; one that it does not return is gone, and left out. A cosine up to
    1e-6 below the threshold counts, as float32 knows no better. Time grows with the square of a modality's
    items; memory is two float32 copies of its vectors and 16 MB tiles. To keep is suggested the largest in
    pixels, then with the longest caption, then the oldest, then by id. Raises ValueError for a threshold
    outside (0, 1], a zero row or an id without modality, and CancelledError.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must be above 0 and at most 1, not {threshold}")
    missing = next((id_ for id_ in table.ids if modalities.get(id_) not in MODALITIES), None)
    if missing is not None:
        raise ValueError(f"the modality of {missing} is {modalities.get(missing)!r}")
    of = np.array([modalities[id_] for id_ in table.ids])
    parts = [rows for rows in (np.flatnonzero(of == name) for name in MODALITIES) if len(rows)]
    groups, watch, total, done = [], Watch(on_progress, cancelled), sum(_pairs(rows) for rows in parts), 0
    for rows in parts:
        part = watch.part(done / max(1, total), (done + _pairs(rows)) / max(1, total))
        groups += _groups(table, rows, items_of, threshold, part)
        done += _pairs(rows)
    groups.sort(key=lambda group: (-len(group.ids), -group.similarity_max, group.keep))
    on_progress(1.0)
    return Duplicates(tuple(groups), threshold, total)


def _pairs(rows: np.ndarray) -> int:
    """Return how many pairs there are of rows (n,)."""
    return len(rows) * (len(rows) - 1) // 2


def _groups(
    table: VectorTable,
    rows: np.ndarray,
    items_of: Callable[[list[str]], Iterable[Item]],
    threshold: float,
    watch: Watch,
) -> list[Group]:
    """Return the groups among rows (n,) int64 of the table, which are of one modality."""
    unit = _unit(table.vectors[rows])
    sieve, linked = _sieve(unit), _Linked(len(rows))
    for left, right in _every_two(len(rows), watch.part(0, 0.9)):
        linked.join(*_close(unit, sieve, left, right, threshold))
    found, ids, groups = linked.groups(), [table.ids[row] for row in rows], []
    items = {item.id: item for item in items_of([ids[row] for some in found for row in some])}
    for place, some in enumerate(found):
        there = [row for row in some if ids[row] in items]
        if len(there) > 1:
            part = watch.part(0.9 + 0.1 * place / len(found), 0.9 + 0.1 * (place + 1) / len(found))
            groups.append(_group(unit[there], [items[ids[row]] for row in there], part))
    return groups


class _Linked:
    """Which of n rows hang together so far: no list of pairs is kept, of which there may be n² / 2."""

    def __init__(self, count: int) -> None:
        self._of = np.arange(count)  # the component of every row

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Link row left[i] with row right[i] for every i: (m,), (m,) int64."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        left, right = self._of[left], self._of[right]
        new = left != right
        if new.any():
            size = int(self._of.max()) + 1
            edges = coo_array((np.ones(int(new.sum()), bool), (left[new], right[new])), shape=(size, size))
            self._of = connected_components(edges, directed=False)[1].astype(np.int64)[self._of]

    def groups(self) -> list[np.ndarray]:
        """Return the rows of every component of two or more, ascending: (size,) int64 each."""
        order = np.argsort(self._of, kind="stable")
        ends = np.cumsum(np.bincount(self._of)) if len(order) else np.zeros(1, np.int64)
        return [rows for rows in np.split(order, ends[:-1]) if len(rows) > 1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) as unit rows (n, d) float32, with little memory beside them."""
    found = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _NORMALISED_AT_ONCE):
        part = slice(start, start + _NORMALISED_AT_ONCE)
        found[part] = normalise(vectors[part])
    return found


def _sieve(unit: np.ndarray) -> np.ndarray:
    """Return rows (n, _HEAD + 1) whose products are no less than the cosines of the unit rows (n, d).

    Turned to their principal axes, rows are a head and a tail. The heads' product is exact, and that of the
    tails at most the product of their lengths (Cauchy and Schwarz), which is the last column. Rows of at
    most 2 _HEAD numbers come back as they are. All float32.
    """
    if unit.shape[1] <= 2 * _HEAD:
        return unit
    some = unit[:: max(1, len(unit) // _SURVEYED)].astype(np.float64)
    axes = np.linalg.eigh(some.T @ some)[1][:, : -_HEAD - 1 : -1].astype(np.float32)  # (d, _HEAD)
    found = np.empty((len(unit), _HEAD + 1), np.float32)
    np.matmul(unit, axes, out=found[:, :-1])
    found[:, -1] = np.sqrt(np.maximum(0, 1 - (found[:, :-1] ** 2).sum(1)) + _ROUNDING)
    return found


def _every_two(count: int, watch: Watch) -> Iterator[tuple[slice, slice]]:
    """Yield slices whose products cover every two rows, until it is cancelled."""
    blocks = -(-count // _TILE)
    done, total = 0, blocks * (blocks + 1) // 2
    for start in range(0, count, _TILE):
        for other in range(start, count, _TILE):
            watch.at(done / total)
            yield slice(start, start + _TILE), slice(other, other + _TILE)
            done += 1


def _close(
    unit: np.ndarray, sieve: np.ndarray, left: slice, right: slice, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (m,), (m,) int64 of two different ones in a tile with a cosine of threshold or more."""
    least = np.float32(threshold - _ROUNDING)
    rows, columns = _above(sieve, left, right, least - np.float32(_SLACK))
    if len(rows) > _CROWDED * _TILE**2:
        return _above(unit, left, right, least)
    near = np.einsum("md,md->m", unit[rows], unit[columns]) >= least
    return rows[near], columns[near]


def _above(of: np.ndarray, left: slice, right: slice, least: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (m,), (m,) int64 of two different ones in a tile whose product is `least` or more.

    of: (n, d) float32.
    """
    above = of[left] @ of[right].T >= least  # (tile, tile)
    if left == right:
        np.fill_diagonal(above, False)
    rows, columns = np.divmod(np.flatnonzero(above), above.shape[1])
    return rows + left.start, columns + right.start


def _group(unit: np.ndarray, members: Sequence[Item], watch: Watch) -> Group:
    """Return the group of g items with unit rows (g, d) float32, g >= 2."""
    low, high = 1.0, -1.0
    for left, right in _every_two(len(unit), watch):
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
