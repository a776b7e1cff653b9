"""Lesson 1: two pictures and their captions, every one against every other, and each caption's rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, get_args

import numpy as np

from engine.errors import GapError
from engine.evaluation.metrics import ranks_by_score
from engine.lessons.pairs import Pairs, read_pairs
from engine.storage.columns import read_items
from engine.storage.data_folder import DataFolder

Nearest = Literal["own", "other picture", "other caption"]
_KINDS: tuple[Nearest, ...] = get_args(Nearest)
# Two samples of different things; by Pocket either caption finds its own picture first among all 195, and yet
# the two pictures are nearer to each other than to their captions.
PREFERRED = ("rocket-on-launch-pad", "statue-above-the-bay")


@dataclass(frozen=True)
class NamedPairs:
    """Pairs with what people call them: names and captions by row; no two names are the same.

    `nearer` is `nearer_than_own` of the pairs.
    """

    pairs: Pairs
    names: tuple[str, ...]
    captions: tuple[str, ...]
    nearer: float

    def preset(self) -> tuple[int, int]:
        """Return the rows of the two pairs to begin with: PREFERRED where both are here, else by the seed."""
        stems = [PurePath(name).stem for name in self.names]
        if set(PREFERRED) <= set(stems):
            return stems.index(PREFERRED[0]), stems.index(PREFERRED[1])
        first, second = np.random.default_rng(self.pairs.seed).permutation(len(self.pairs))[:2].tolist()
        return first, second


@dataclass(frozen=True)
class FourThings:
    """A picture, its caption, another picture, its caption, in this order.

    cosines: (4, 4) float64 in [-1, 1]. `nearest` is what lies nearest to the first picture, and `rank` is
    that of its caption among the `among` captions, from 1, ties at mid-rank; `mixed_rank` is that among the
    `mixed_among` captions and other pictures in one list.
    """

    cosines: np.ndarray = field(repr=False)
    nearest: Nearest
    rank: float
    among: int
    mixed_rank: float
    mixed_among: int


def named_pairs(folder: DataFolder, collection: str) -> NamedPairs:
    """Return the pairs of pictures and texts of a collection with their names. Raises as `read_pairs`."""
    pairs = read_pairs(folder, collection)
    kind_of = {**dict.fromkeys(pairs.ids_x, pairs.a), **dict.fromkeys(pairs.ids_y, pairs.b)}
    items = {one.id: one for one in read_items(folder, collection, kind_of, [*pairs.ids_x, *pairs.ids_y])}
    names = [items[id_].name if id_ in items else id_ for id_ in pairs.ids_x]
    told = (items.get(id_) for id_ in pairs.ids_y)
    captions = tuple((one.caption or one.name) if one else "" for one in told)
    return NamedPairs(pairs, _told_apart(names, pairs.ids_x), captions, nearer_than_own(pairs))


def four_things(pairs: Pairs, first: int, second: int) -> FourThings:
    """Return how near the pictures and captions of two rows are. Raises GapError where both rows are one."""
    if first == second:
        raise GapError(
            "The two pictures are the same one, and there is nothing to compare. Choose another second one."
        )
    rows = np.stack([pairs.x[first], pairs.y[first], pairs.x[second], pairs.y[second]])
    cosines = np.clip(rows @ rows.T, -1, 1)
    captions, pictures = pairs.y @ pairs.x[first], np.delete(pairs.x @ pairs.x[first], first)
    mixed = np.concatenate([captions, pictures])
    return FourThings(
        cosines=cosines,
        nearest=_KINDS[int(np.argmax(cosines[0, 1:]))],
        rank=_rank(captions, first),
        among=len(captions),
        mixed_rank=_rank(mixed, first),
        mixed_among=len(mixed),
    )


def nearer_than_own(pairs: Pairs) -> float:
    """Return over all pairs how often another picture is nearer to a picture than its caption, in [0, 1]."""
    others = pairs.x @ pairs.x.T
    np.fill_diagonal(others, -np.inf)
    nearer = others > (pairs.x * pairs.y).sum(axis=1, keepdims=True)
    return float(nearer.sum() / (len(pairs) * (len(pairs) - 1)))


def _rank(scores: np.ndarray, row: int) -> float:
    # Rounded, as equal vectors differ by the noise of a product.
    return float(ranks_by_score(np.round(scores, 6), [row])[0])


def _told_apart(names: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """Return names of which no two are the same: those that occur twice carry their id."""
    count = Counter(names)
    return tuple(f"{name} ({id_})" if count[name] > 1 else name for name, id_ in zip(names, ids, strict=True))
