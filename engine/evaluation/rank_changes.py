"""What a reranker changed for one question: moves, agreement, and whether the right answers rose.

Pure: takes ranked hits and right answers; asks no model. Ranks are places in a list, and count from 1;
a reranker's score and a cosine stay apart, for they share no scale.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.evaluation.metrics import NDCG_K, ndcg_at, ranks_by_order
from engine.types import Hit, Item, Reranked

Reading = Literal["whole", "caption", "failed", "below"]


@dataclass(frozen=True)
class Move:
    """One hit before and after; `moved` is positive for one that rose.

    `read` tells how the reranker saw it: as it is, by its caption, not at all ("failed"), or not asked
    for ("below"). `reason` says why it failed.
    """

    item: Item
    before: int
    after: int
    score: float
    rerank_score: float | None
    read: Reading
    reason: str = ""

    @property
    def moved(self) -> int:
        """Return how many places it rose (positive) or fell."""
        return self.before - self.after


@dataclass(frozen=True)
class Comparison:
    """One reranked list against the retrieved one.

    `moves` are in the order after reranking. `tau` is Kendall's tau-b between the retrieval order and
    the reranker's scores over the scored hits, in [-1, 1]; None below two of them or where all scores
    are the same.
    """

    reranked: Reranked
    moves: tuple[Move, ...]
    tau: float | None

    @property
    def same_order_share(self) -> float | None:
        """Return the share of pairs of scored hits that stand in the same order as before: (tau + 1) / 2.

        Exact where no two scores are the same.
        """
        return None if self.tau is None else (self.tau + 1) / 2

    @property
    def head(self) -> tuple[Move, ...]:
        """Return the hits that went to the reranker, also those it failed on, in the order after it."""
        return tuple(one for one in self.moves if one.read != "below")

    def new_in_first(self, places: int) -> int:
        """Return how many of the first so many places hold a hit that was further down before."""
        return sum(one.before > places for one in self.moves[:places])

    def drawn(self, most: int, always: Collection[str] = ()) -> list[Move]:
        """Return the hits that a drawing of `most` lines shows, in the order after.

        They are those with the best rank before or after, and whatever `always` names by id.
        """
        by_rank = sorted(self.moves, key=lambda one: (min(one.before, one.after), one.after))
        shown = {one.item.id for one in by_rank[:most]} | set(always)
        return [one for one in self.moves if one.item.id in shown]

    def climbers(self, most: int) -> list[Move]:
        """Return those that rose the most, at most so many."""
        return sorted((one for one in self.moves if one.moved > 0), key=lambda one: -one.moved)[:most]

    def fallers(self, most: int) -> list[Move]:
        """Return those that fell the most, at most so many."""
        return sorted((one for one in self.moves if one.moved < 0), key=lambda one: one.moved)[:most]


@dataclass(frozen=True)
class Worth:
    """Whether one question's right answers rose; a rank is None for one that is not in the list.

    `first_before` and `first_after` are ranks of the first right answer; nDCG@10 is over `right` answers
    in all, `found` of which were retrieved (no reranker can find the others).
    """

    right: int
    found: int
    first_before: int | None
    first_after: int | None
    ndcg_before: float
    ndcg_after: float

    @property
    def verdict(self) -> Literal["win", "tie", "loss"]:
        """Return what nDCG@10 says, or where that stays, what the rank of the first right answer says."""
        for change in (self.ndcg_after - self.ndcg_before, _rose(self.first_before, self.first_after)):
            if abs(change) > 1e-12:
                return "win" if change > 0 else "loss"
        return "tie"


def compare(before: Sequence[Hit], reranked: Reranked) -> Comparison:
    """Compare a reranked list with the retrieved one it was made of.

    Raises ValueError where the two do not hold the same items.
    """
    place = {hit.item.id: rank for rank, hit in enumerate(before, start=1)}
    if sorted(place) != sorted(hit.item.id for hit in reranked.hits):
        raise ValueError("the two lists do not hold the same items")
    moves = tuple(_move(hit, place[hit.item.id], reranked) for hit in reranked.hits)
    return Comparison(reranked, moves, _tau(moves))


def agreement(one: Reranked, other: Reranked) -> float | None:
    """Return Kendall's tau-b between two rerankers' scores over the hits that both scored, in [-1, 1].

    None below two such hits, or where either gives all of them the same score.
    """
    first, second = (
        {hit.item.id: hit.rerank_score for hit in row.hits[: row.scored]} for row in (one, other)
    )
    both = [id_ for id_ in first if id_ in second]
    return kendall([first[id_] or 0.0 for id_ in both], [second[id_] or 0.0 for id_ in both])


def kendall(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of n paired numbers, in [-1, 1]; None where it has no value."""
    from scipy.stats import kendalltau

    if len(x) < 2:
        return None
    tau = kendalltau(x, y).statistic
    return None if math.isnan(tau) else float(tau)


def worth(gains: Mapping[str, float], before: Sequence[Hit], after: Sequence[Hit]) -> Worth:
    """Return whether it was worth it; gains maps the id of every right answer to its grade, 1 or more."""
    ranks = [ranks_by_order([hit.item.id for hit in hits], gains) for hits in (before, after)]
    grades = np.array(list(gains.values()), np.float64)
    first_before, first_after = (_first(row) for row in ranks)
    ndcg_before, ndcg_after = (ndcg_at(row, NDCG_K, grades) for row in ranks)
    found = int(np.isfinite(ranks[0]).sum())
    return Worth(len(gains), found, first_before, first_after, ndcg_before, ndcg_after)


def _move(hit: Hit, before: int, reranked: Reranked) -> Move:
    id_ = hit.item.id
    read: Reading = "below"
    if hit.rerank_score is not None:
        read = "caption" if id_ in reranked.by_caption else "whole"
    elif id_ in reranked.failed:
        read = "failed"
    reason = reranked.failed.get(id_, "")
    return Move(hit.item, before, hit.rank, hit.score, hit.rerank_score, read, reason)


def _tau(moves: Sequence[Move]) -> float | None:
    scored = [(one.before, one.rerank_score) for one in moves if one.rerank_score is not None]
    return kendall([-before for before, _ in scored], [score for _, score in scored])


def _first(ranks: np.ndarray) -> int | None:
    """Return the best of ranks (r,) float64; None where all are infinity."""
    found = ranks[np.isfinite(ranks)]
    return int(found.min()) if len(found) else None


def _rose(before: int | None, after: int | None) -> float:
    return (before or 0) - (after or 0) if before and after else 0.0
