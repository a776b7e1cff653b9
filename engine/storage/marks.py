"""The ledger's table of judgements: which item somebody has marked how right for which question.

What a question is filed under, and what a mark means, is for `evaluation/judgements.py` to say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from engine.storage.ledger import Ledger
from engine.types import MODALITIES, Modality

Mark = tuple[str, str, float]  # question, item, relevance
# Whether the collection ?1 holds the item ?3; by modality too, as the key of the items begins with it.
_HELD = (
    "EXISTS (SELECT 1 FROM items WHERE collection = ?1 AND id = ?3 AND modality IN ("
    + ", ".join(f"'{modality}'" for modality in MODALITIES)
    + "))"
)
_PUT = f"INSERT OR REPLACE INTO judgements SELECT ?1, ?2, ?3, ?4 WHERE {_HELD}"
# In these, ?1 is the collection, ?2 the question and ?3 the modalities of its answers, as JSON.
_ANSWERS = "i.collection = ?1 AND i.modality IN (SELECT value FROM json_each(?3))"
_NOT_WRONG = (
    "AND i.id NOT IN (SELECT item FROM judgements WHERE collection = ?1 AND question = ?2 AND relevance = 0)"
)
_RIGHT = f"""SELECT i.id, j.relevance FROM judgements j JOIN items i ON i.id = j.item
WHERE j.collection = ?1 AND j.question = ?2 AND j.relevance > 0 AND {_ANSWERS}"""
_CAPTIONED = f"""SELECT i.id FROM items i WHERE {_ANSWERS} AND json_extract(i.item, '$.pair') IN (
SELECT json_extract(item, '$.pair') FROM items WHERE collection = ?1 AND modality = 'text'
AND question_words(json_extract(item, '$.caption')) = ?2) AND i.modality != 'text' {_NOT_WRONG}"""
_LABELLED = f"""SELECT DISTINCT i.id FROM items i, json_each(i.item, '$.labels') l
WHERE {_ANSWERS} AND l.value = ?2 {_NOT_WRONG}"""


class Marks:
    """The marks of every collection in one ledger; safe from several threads. All raise FolderError."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of(self, collection: str) -> list[Mark]:
        """Return the marks of a collection, by question and item."""
        query = "SELECT question, item, relevance FROM judgements WHERE collection = ? ORDER BY 1, 2"
        return self._ledger.rows(query, (collection,))

    def for_question(self, collection: str, question: str) -> dict[str, float]:
        """Return the relevance of every item marked for a question."""
        query = "SELECT item, relevance FROM judgements WHERE collection = ? AND question = ? ORDER BY 1"
        return dict(self._ledger.rows(query, (collection, question)))

    def relevance(self, collection: str, question: str, item: str) -> float | None:
        """Return the relevance of one item for a question, or None where it is not marked."""
        query = "SELECT relevance FROM judgements WHERE collection = ? AND question = ? AND item = ?"
        return next((grade for (grade,) in self._ledger.rows(query, (collection, question, item))), None)

    def questions(self, collection: str) -> list[str]:
        """Return the questions that have marks."""
        query = "SELECT DISTINCT question FROM judgements WHERE collection = ?"
        return [question for (question,) in self._ledger.rows(query, (collection,))]

    def put(self, collection: str, marks: Iterable[Mark]) -> int:
        """Store marks in place of older ones, all in one step; returns how many.

        Those of items that the collection does not hold are left out.
        """
        with self._ledger.transaction() as db:
            return db.executemany(_PUT, ((collection, *mark) for mark in marks)).rowcount

    def drop(self, collection: str, question: str, item: str) -> None:
        """Take a mark back, if there is one."""
        with self._ledger.transaction() as db:
            db.execute(
                "DELETE FROM judgements WHERE collection = ? AND question = ? AND item = ?",
                (collection, question, item),
            )

    def right(self, collection: str, question: str, modalities: Collection[Modality]) -> dict[str, float]:
        """Return the relevance of the items of some modalities that are marked right for a question."""
        return dict(self._answers(_RIGHT, collection, question, modalities))

    def captioned(self, collection: str, caption: str, modalities: Collection[Modality]) -> list[str]:
        """Return the items whose caption has these words, less those marked wrong for them."""
        return [id_ for (id_,) in self._answers(_CAPTIONED, collection, caption, modalities)]

    def labelled(self, collection: str, label: str, modalities: Collection[Modality]) -> list[str]:
        """Return the items that have a label, less those marked wrong for it."""
        return [id_ for (id_,) in self._answers(_LABELLED, collection, label, modalities)]

    def _answers(
        self, query: str, collection: str, question: str, modalities: Collection[Modality]
    ) -> list[tuple[Any, ...]]:
        return self._ledger.rows(query, (collection, question, json.dumps(sorted(modalities))))
