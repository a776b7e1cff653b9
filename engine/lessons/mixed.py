"""Lesson 9: a caption asks pictures and other captions at once, raw and under three treatments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.analysis.crowding import MIN_ROWS, Calibration, calibrate, can_standardise
from engine.evaluation.metrics import ndcg_at, ranks_by_score
from engine.evaluation.pool import Pool
from engine.lessons.pairs import Pairs
from engine.storage.columns import read_items
from engine.storage.data_folder import DataFolder
from engine.types import BALANCES, Balance, Modality, VectorTable

FIRST = 10


@dataclass(frozen=True)
class Order:
    """What questions of b find among all of a and all other items of b, in one order.

    share: of the first k that are of a; recall: of the questions whose own item of a is among them; ndcg:
    nDCG@k of that item. All means over questions, in [0, 1]. ranks: (n,) float64 from 1, of each question's
    own item of a, ties at mid-rank. first: (n, k) int64, columns, of which 0 to n - 1 are items of b and n to
    2n - 1 of a; without: the same, at most k of them, where the question's own item of a is taken away.
    """

    mode: Balance
    share: float
    recall: float
    ndcg: float
    ranks: np.ndarray = field(repr=False)
    first: np.ndarray = field(repr=False)
    without: np.ndarray = field(repr=False)

    @property
    def unasked(self) -> float:
        """Return the share of a in the first k where nothing of a belongs to the question, in [0, 1]."""
        return float((self.without >= len(self.ranks)).mean())

    @property
    def worst(self) -> int:
        """Return the question whose own item of a stands lowest."""
        return int(np.argmax(self.ranks))

    def costs_most(self, other: Order) -> int | None:
        """Return the question whose own item of a falls most against another order; None where none falls."""
        row = int(np.argmax(self.ranks - other.ranks))
        return row if self.ranks[row] > other.ranks[row] else None


@dataclass(frozen=True)
class Mixed:
    """Every order that could be had of the `held` pairs, raw first, calibrated on `fitted` other ones.

    `notes` say what could not be had, or hangs on few rows.
    """

    held: Pairs
    fitted: int
    k: int
    orders: tuple[Order, ...]
    notes: tuple[str, ...]


def mixed(pairs: Pairs) -> Mixed:
    """Ask with every item of b of the half that is held out; means and spreads are of the other half."""
    fit, held = pairs.halves()
    known, k = calibrate(_tables(fit), _pair_of(fit)), min(FIRST, len(held))
    notes: list[str] = []
    if len(fit) < MIN_ROWS:
        notes.append(
            f"Calibrated on {len(fit)} of each kind: below {MIN_ROWS} a search stays raw, as the outcome "
            f"hangs on which rows they are."
        )
    modes = [mode for mode in BALANCES if mode != "standardised" or _spread(known, pairs)]
    if len(modes) < len(BALANCES):
        notes.append("Unrelated items are all equally near, so that there is no spread to standardise by.")
    orders = tuple(order(held, mode, k=k, known=known) for mode in modes)
    return Mixed(held, len(fit), k, orders, tuple(notes))


def order(held: Pairs, mode: Balance, *, k: int, known: Calibration | None = None) -> Order:
    """Return what questions find in the order of one treatment; only raw and interleaved need no `known`.

    1 <= k <= the number of pairs; a question never finds itself.
    """
    n = len(held)
    pool = Pool(_tables(held), mode, asks=held.b, calibration=known)
    asking = held.y.astype(np.float32)
    scores = np.round(pool.scores(asking, [[row] for row in range(n)]), 6)
    ranks = np.array([ranks_by_score(row, [n + own])[0] for own, row in enumerate(scores)])
    first = _first(scores, k)
    alone = pool.scores(asking, [[row, n + row] for row in range(n)])
    return Order(
        mode=mode,
        share=float((first >= n).mean()),
        recall=float((ranks <= k).mean()),
        ndcg=float(np.mean([ndcg_at(ranks[row : row + 1], k) for row in range(n)])),
        ranks=ranks,
        first=first,
        without=_first(alone, min(k, n - 1)),
    )


def words_of(folder: DataFolder, pairs: Pairs) -> dict[str, str]:
    """Return what people know every item of some pairs by: its caption, or else its name.

    Raises FolderError.
    """
    kinds = {**dict.fromkeys(pairs.ids_x, pairs.a), **dict.fromkeys(pairs.ids_y, pairs.b)}
    items = read_items(folder, pairs.collection, kinds, kinds)
    known = {item.id: item.caption or item.name for item in items}
    return {id_: known.get(id_, id_) for id_ in kinds}


def _first(scores: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _spread(known: Calibration, pairs: Pairs) -> bool:
    return all(can_standardise(known.spreads[pairs.b].get(one)) for one in (pairs.a, pairs.b))


def _tables(pairs: Pairs) -> dict[Modality, VectorTable]:
    rows = ((pairs.b, pairs.ids_y, pairs.y), (pairs.a, pairs.ids_x, pairs.x))
    return {one: VectorTable(ids, vectors.astype(np.float32)) for one, ids, vectors in rows}


def _pair_of(pairs: Pairs) -> dict[str, int]:
    return {id_: row for ids in (pairs.ids_x, pairs.ids_y) for row, id_ in enumerate(ids)}
