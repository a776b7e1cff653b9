"""Retrieval measured over all questions of a collection, with and without a reranker.

Ranks of the first stage come from the exact similarity matrix, not from the index, ties at mid-rank;
a reranker reorders the first `top` of each question, and nothing below them moves. The numbers are in
`metrics.py`, the questions in `questions.py`, what comes out in `results.py`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from engine.errors import EvaluationError, MediaError, ModelError
from engine.evaluation.metrics import measures, ranks_by_score
from engine.evaluation.pool import documents
from engine.evaluation.questions import Question, QuestionSet, find_questions
from engine.evaluation.results import Answer, Evaluation, Plan, summarise
from engine.models.base import Embedder, ModelChoice, Reranker
from engine.models.lender import Models
from engine.progress import Progress
from engine.search.rerank import Opened, RerankInput, opener, rerank
from engine.storage.data_folder import DataFolder
from engine.types import Failure, Hit, Item, Provenance, Reranked

KEPT_DEPTH = 100  # of each question's list, for the exported runs
_BLOCK = 64  # questions embedded at once; pictures of that many are in memory
_REFUSED_AT_FIRST = 2  # questions that a reranker may refuse before it has answered any
_KEPT_DOCUMENTS = 2_000  # prepared documents in memory, about 70 KB each for Pocket's reranker


def evaluate(
    plan: Plan,
    folder: DataFolder,
    models: Models,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Measure a collection; None where it was cancelled.

    Raises CollectionNotFoundError, CollectionModelError, ModelError, and EvaluationError where there is
    nothing to ask or the reranker cannot read what is asked.
    """
    started = time.time()
    question_set = find_questions(folder.store, folder.ledger, plan.collection, plan.truth, plan.direction)
    made_by = folder.store.info(plan.collection).made_by
    lent = models.reranker(plan.reranker) if plan.reranker else nullcontext(None)
    with _embedder(plan.collection, made_by, folder, models) as embedder, lent as reranker:
        run = Run(plan, question_set, folder, embedder, reranker)
        answers: list[Answer] = []
        report = partial(_report, on_progress, time.monotonic(), len(run.questions))
        report(0)
        for answer in run.answers():
            if cancelled():
                return None
            answers.append(answer)
            report(len(answers) + len(run.unasked))
    if not answers:
        reason = run.unasked[0].reason if run.unasked else "the right answers are no longer there."
        raise EvaluationError(f"None of the questions could be asked: {reason}")
    return Evaluation(
        plan=plan,
        truth=question_set.truth,
        direction=question_set.direction,
        made_by=made_by,
        reranked_by=reranker.provenance if reranker else None,
        total=question_set.total,
        documents=len(run.ids),
        documents_digest=_digest(run.ids),
        questions_digest=_digest(f"{one.qid} {sorted(one.gains.items())}" for one in answers),
        seconds=time.time() - started,
        finished_at=int(time.time()),
        answers=tuple(answers),
        summary=summarise(answers, fresh=run.fresh),
        unasked=tuple(run.unasked),
    )


def _report(on_progress: Callable[[Progress], None], started: float, total: int, done: int) -> None:
    elapsed = time.monotonic() - started
    on_progress(Progress("Asking", done, total, elapsed_seconds=elapsed, unit="questions"))


@contextmanager
def _embedder(
    collection: str, made_by: Provenance, folder: DataFolder, models: Models
) -> Iterator[Embedder | None]:
    """Lend the model that made a collection; None where no model here did, and stored vectors must ask."""
    if made_by.imported:
        yield None
        return
    with models.embedder(ModelChoice.of(made_by)) as embedder:
        folder.store.check_model(collection, embedder.provenance)
        yield embedder


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


class Run:
    """The parts of one evaluation that every question shares; `answers` does the work."""

    def __init__(
        self,
        plan: Plan,
        question_set: QuestionSet,
        folder: DataFolder,
        embedder: Embedder | None,
        reranker: Reranker | None,
    ) -> None:
        self.plan, self.folder, self.embedder, self.reranker = plan, folder, embedder, reranker
        self.direction = question_set.direction
        self._documents = documents(plan, folder, question_set)
        self._pool = self._documents.pool
        self.ids, self._row = self._pool.ids, self._pool.row
        self.fresh, self.unasked = 0, list[Failure]()
        self._worked, self._refused = False, 0
        if embedder is None:
            table = folder.store.vectors(plan.collection, question_set.direction.asks)
            self._asking, self._asking_row = table.vectors, {id_: row for row, id_ in enumerate(table.ids)}
        known = replace(question_set, questions=tuple(filter(self._can_be_answered, question_set.questions)))
        self.questions = known.sample(plan.limit, plan.seed).questions
        if reranker:
            _check_reads(reranker, question_set)
        self._kept = lru_cache(_KEPT_DOCUMENTS)(self._open)

    def answers(self) -> Iterator[Answer]:
        """Yield the answer to every question that can be asked, a block embedded at a time."""
        for start in range(0, len(self.questions), _BLOCK):
            block = self.questions[start : start + _BLOCK]
            asked = [(one, content) for one in block if (content := self._content(one)) is not None]
            if not asked:
                continue
            hidden = [self._documents.hidden(question) for question, _ in asked]
            scores = self._pool.scores(self._encoded(asked), hidden)  # (questions, documents)
            for (question, content), row in zip(asked, scores, strict=True):
                yield self._answer(question, content, row)

    def _encoded(self, asked: Sequence[tuple[Question, Any]]) -> np.ndarray:
        """Return the unit vectors (n, d) float32 of n questions: embedded, or those of their items."""
        if self.embedder:
            return self.embedder.encode_query(self.direction.asks, [content for _, content in asked])
        return self._asking[[self._asking_row[one.item.id] for one, _ in asked if one.item]]

    def _can_be_answered(self, question: Question) -> bool:
        if self.embedder is None and (question.item is None or question.item.id not in self._asking_row):
            return False  # it was deleted meanwhile
        return any(id_ in self._row for id_ in question.gains)  # an ingest may be adding more

    def _content(self, question: Question) -> Any:
        """Return what a question asks with, as models read it; None, and noted, where its file is gone."""
        if self.embedder is None and self.reranker is None:
            return question.item  # its vector asks, and nobody reads it
        try:
            if question.words:
                return question.words
            if question.item is not None:
                return self.folder.open_item(question.item)
            return self.folder.open_question(question.picture)
        except MediaError as error:
            self.unasked.append(Failure(question.shown, str(error)))
            return None

    def _answer(self, question: Question, content: Any, scores: np.ndarray) -> Answer:
        """Return one question's answer; scores: (documents,) of a float dtype, higher is better."""
        gains = {id_: gain for id_, gain in question.gains.items() if id_ in self._row}
        order = np.argsort(-scores, kind="stable")[: max(self.plan.top, KEPT_DEPTH)]
        order = order[np.isfinite(scores[order])]
        ranks = ranks_by_score(scores, [self._row[id_] for id_ in gains])
        answer = Answer(
            key=question.key,
            qid=question.qid,
            shown=question.shown,
            gains=gains,
            before=measures(ranks, self.plan.ks, np.array(list(gains.values()))),
            rank_before=float(ranks.min()),
            retrieved=tuple((self.ids[row], float(scores[row])) for row in order[:KEPT_DEPTH]),
        )
        if self.reranker is None:
            return answer
        return self._reranked(answer, content, scores, order[: self.plan.top])

    def _reranked(self, answer: Answer, content: Any, scores: np.ndarray, head: np.ndarray) -> Answer:
        """Add to an answer how it fared after the head was reranked.

        scores: (documents,) float32 of the first stage; head: (at most plan.top,) int64 rows, best first.
        """
        assert self.reranker is not None
        items = [self._documents.items[self.ids[row]] for row in head]
        hits = [Hit(rank, item, 0.0, rank) for rank, item in enumerate(items, start=1)]
        asked = (self.direction.asks, content)
        done = self._rerank(asked, hits)
        order = [self._row[hit.item.id] for hit in done.hits]
        own = [float(hit.rerank_score or 0.0) for hit in done.hits[: done.scored]]
        right = [self._row[id_] for id_ in answer.gains]
        ranks = ranks_after(scores, order, own, right)
        return replace(
            answer,
            after=measures(ranks, self.plan.ks, np.array(list(answer.gains.values()))),
            rank_after=float(ranks.min()),
            reranked=_listed([hit.item.id for hit in done.hits], own, answer.retrieved),
            ceiling=float(not set(right).isdisjoint(order)),
            scored=done.scored,
            unscored=len(hits) - done.scored,
            by_caption=len(done.by_caption),
            open_ms=done.timings_ms["open"],
            score_ms=done.timings_ms["score"],
        )

    def _rerank(self, asked: RerankInput, hits: Sequence[Hit]) -> Reranked:
        """Rerank one question; one that the reranker refuses keeps its order, and counts as unscored.

        Raises ModelError where it refuses the first few: then it is the reranker.
        """
        assert self.reranker is not None
        try:
            done = rerank(asked, hits, self.reranker, top=len(hits), open_item=self._document)
        except ModelError as error:
            if not self._worked and self._refused >= _REFUSED_AT_FIRST:
                raise
            self._refused += 1
            failed = {hit.item.id: str(error) for hit in hits}
            return Reranked(
                self.reranker.spec.id,
                tuple(hits),
                0,
                failed=failed,
                timings_ms={"open": 0.0, "score": 0.0},
            )
        self._worked = True
        return done

    def _document(self, item: Item) -> Opened:
        if self.reranker is None or self.reranker.codec is None:
            return self._open(item)  # a decoded picture is too large to be kept
        return Opened(self._kept(item).content)

    def _open(self, item: Item) -> Opened:
        assert self.reranker is not None
        opened = opener(self.folder, self.reranker)(item)
        self.fresh += opened.fresh
        return opened


def ranks_after(
    scores: np.ndarray, head: Sequence[int], own: Sequence[float], relevant: Sequence[int]
) -> np.ndarray:
    """Return the ranks of the relevant rows after the head was reranked, ties at mid-rank.

    scores: (n,) of the first stage, any float dtype; head: rows in the reranked order; own: the reranker's
    scores of the first len(own) of them; the others got none and stand by `scores` below those, and the
    rest by `scores` below the head. Returns (len(relevant),) float64 from 1 to n.
    """
    known = np.array(own, np.float64)
    unscored = np.asarray(scores, np.float64)[list(head)[len(known) :]]
    place = {row: index for index, row in enumerate(head)}
    below = scores.astype(np.float64)
    below[list(head)] = -np.inf
    found = []
    for row in relevant:
        index = place.get(row)
        if index is None:
            found.append(len(head) + ranks_by_score(below, [row])[0])
        elif index < len(known):
            found.append(ranks_by_score(known, [index])[0])
        else:
            found.append(len(known) + ranks_by_score(unscored, [index - len(known)])[0])
    return np.array(found, np.float64)


def _listed(
    head: Sequence[str], own: Sequence[float], retrieved: Sequence[tuple[str, float]]
) -> tuple[tuple[str, float], ...]:
    """Return ids with scores that fall all the way: the reranker's own, then one less for every place."""
    ids = [*head, *(id_ for id_, _ in retrieved[len(head) :])]
    low = own[-1] if own else 0.0
    scores = [*own, *(low - place for place in range(1, len(ids) - len(own) + 1))]
    return tuple(zip(ids, scores, strict=True))[:KEPT_DEPTH]


def _check_reads(reranker: Reranker, question_set: QuestionSet) -> None:
    """Raise EvaluationError where a reranker reads neither the answers nor any captions of theirs."""
    asks, answers = question_set.direction.asks, question_set.direction.answers
    captioned = any(item.caption for item in question_set.documents.values())
    if not (reranker.can_read(asks, answers) or (captioned and reranker.can_read(asks, "text"))):
        raise EvaluationError(
            f"{reranker.spec.id} cannot rerank items of kind {answers} for questions of kind {asks}. Choose "
            f"another reranker or another direction."
        )
