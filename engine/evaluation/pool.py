"""The documents that the questions of an evaluation are ranked against, and their exact scores.

Of the modality that answers, or of a whole collection in the order of a treatment (`search/balance.py`).
Scores all of them, without the index; who asks what is for `run.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.analysis.crowding import Calibration, centre, standardise
from engine.errors import EvaluationError
from engine.evaluation.questions import Question, QuestionSet
from engine.evaluation.results import Plan
from engine.search.balance import lacks, turns
from engine.storage.calibration import calibration
from engine.storage.data_folder import DataFolder
from engine.text import question_words
from engine.types import MODALITIES, Balance, Item, Modality, VectorTable
from engine.vectors import cosine


class Pool:
    """Documents by modality under one treatment; column i of its scores is of ids[i].

    A treatment but raw and interleaved needs a calibration, of which `lacks` must have found nothing amiss.
    """

    def __init__(
        self,
        tables: Mapping[Modality, VectorTable],
        mode: Balance = "raw",
        *,
        asks: Modality,
        calibration: Calibration | None = None,
    ) -> None:
        self._mode, self._asks, self._calibration = mode, asks, calibration
        self._parts = {one: table.vectors for one, table in tables.items()}
        if mode == "centred" and calibration is not None:
            self._parts = {one: centre(rows, calibration.means[one]) for one, rows in self._parts.items()}
        self.ids = tuple(id_ for table in tables.values() for id_ in table.ids)
        self.row = {id_: row for row, id_ in enumerate(self.ids)}

    def scores(self, asking: np.ndarray, hidden: Sequence[Iterable[int]]) -> np.ndarray:
        """Return the score of every document for every question: (n, m), higher is better, of a float dtype.

        asking: (n, d) float32 unit rows; hidden: for each question the columns that must not answer it, which
        get minus infinity. Scores order one question's documents and mean nothing beside another's.
        """
        known = self._calibration
        if self._mode == "centred" and known is not None:
            asking = centre(asking, known.means[self._asks])
        blocks = {one: cosine(asking, rows) for one, rows in self._parts.items()}  # each (n, m of it)
        if self._mode == "standardised" and known is not None:
            spreads = known.spreads[self._asks]
            blocks = {one: standardise(block, spreads[one]) for one, block in blocks.items()}
        found = np.concatenate(list(blocks.values()), axis=1)
        for row, columns in enumerate(hidden):
            found[row, list(columns)] = -np.inf
        return self._dealt(found) if self._mode == "interleaved" else found

    def _dealt(self, scores: np.ndarray) -> np.ndarray:
        """Return minus the place of every document where modalities are dealt in turn, (n, m) float64."""
        places, start = np.empty(scores.shape), 0
        order = turns(self._asks, self._parts)
        for one, rows in self._parts.items():
            stop = start + len(rows)
            best_first = np.argsort(-scores[:, start:stop], axis=1, kind="stable")
            ranks = np.argsort(best_first, axis=1)
            places[:, start:stop] = -(ranks * len(order) + order.index(one))
            start = stop
        return np.where(np.isfinite(scores), places, -np.inf)


@dataclass(frozen=True)
class Documents:
    """What is ranked, by id, and how it is scored; `said` are the columns of texts by their words."""

    items: Mapping[str, Item]
    pool: Pool
    mixed: bool = False
    said: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def hidden(self, question: Question) -> list[int]:
        """Return the columns that must not answer: what asks, and in a mixed list what says its words."""
        own = {question.exclude}
        if self.mixed and question.item is not None:
            own.add(question.item.id)
        columns = {self.pool.row[id_] for id_ in own if id_ in self.pool.row}
        return sorted(columns.union(self.said.get(question.words, ())))


def documents(plan: Plan, folder: DataFolder, question_set: QuestionSet) -> Documents:
    """Return what a plan's questions are ranked against.

    Raises EvaluationError, with the reason, where its treatment cannot be had.
    """
    answers, asks = question_set.direction.answers, question_set.direction.asks
    if plan.balance is None:
        tables = {answers: _by_id(folder, plan.collection, answers, question_set.documents)}
        return Documents(question_set.documents, Pool(tables, asks=asks))
    items = {
        one: question_set.documents
        if one == answers
        else {item.id: item for item in folder.store.all_items(plan.collection, one)}
        for one in MODALITIES
    }
    tables = {one: _by_id(folder, plan.collection, one, some) for one, some in items.items() if some}
    known = calibration(folder, plan.collection) if len(tables) > 1 else None
    if why := lacks(plan.balance, asks, tuple(tables), known):
        raise EvaluationError(f"This cannot be measured {plan.balance}: {why}. Measure without a balance.")
    pool = Pool(tables, plan.balance, asks=asks, calibration=known)
    said: dict[str, list[int]] = {}
    if asks == "text" != answers:
        for id_ in tables["text"].ids:
            said.setdefault(question_words(items["text"][id_].caption), []).append(pool.row[id_])
    said.pop("", None)  # what was imported without its text says nothing
    every = {id_: item for some in items.values() for id_, item in some.items()}
    return Documents(every, pool, mixed=True, said=said)


def _by_id(folder: DataFolder, collection: str, modality: Modality, items: Mapping[str, Item]) -> VectorTable:
    """Return vectors by id, so that ties at the end of the head fall the same way every time."""
    table = folder.store.vectors(collection, modality)
    return table.take(sorted(id_ for id_ in table.ids if id_ in items))
