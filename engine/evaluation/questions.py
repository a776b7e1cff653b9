"""What an evaluation asks: questions with their right answers, from caption pairs, labels or judgements."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from engine.errors import EvaluationError
from engine.evaluation.judgements import Judgements, asked_with, qid_of
from engine.storage.chroma import Store
from engine.storage.ledger import Ledger
from engine.storage.marks import Marks
from engine.text import question_words
from engine.types import MODALITIES, Item, Modality

Truth = Literal["pairs", "labels", "judgements"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)


@dataclass(frozen=True)
class Direction:
    """Who asks and who answers: "text-image" are words that ask for pictures."""

    asks: Modality
    answers: Modality

    def __str__(self) -> str:
        return f"{self.asks}-{self.answers}"

    @classmethod
    def of(cls, text: str) -> Direction:
        """Return the direction that `str` wrote. Raises EvaluationError with what is allowed."""
        asks, _, answers = text.partition("-")
        if asks not in MODALITIES or answers not in MODALITIES:
            raise EvaluationError(
                f"A direction is two of {', '.join(MODALITIES)} with a hyphen, as text-image; not {text!r}."
            )
        return cls(asks, answers)


# What each truth can be asked in; the first that has questions is the default.
DIRECTIONS: dict[Truth, tuple[Direction, ...]] = {
    "pairs": (Direction("text", "image"), Direction("image", "text")),
    "labels": (Direction("text", "image"), Direction("text", "text"), Direction("image", "image")),
    "judgements": tuple(
        Direction(asks, answers) for asks in ("text", "image") for answers in ("image", "text")
    ),
}


@dataclass(frozen=True)
class Question:
    """One question: `words`, or the kept `picture` (SHA-256) it asks with; `item`, where a stored one asks.

    `key` is what it is filed under (`judgements.question_key`) and `shown` what a person reads; `gains`
    maps the id of every right answer to its grade; `exclude` is the item that must not answer itself.
    """

    key: str
    shown: str
    modality: Modality
    gains: Mapping[str, float] = field(repr=False)
    words: str = ""
    item: Item | None = None
    picture: str = ""
    exclude: str | None = None

    @property
    def qid(self) -> str:
        """Return the question's id in TREC's files."""
        return qid_of(self.key)


@dataclass(frozen=True)
class QuestionSet:
    """Questions of one truth and direction against documents of one modality; `total` before sampling."""

    truth: Truth
    direction: Direction
    questions: tuple[Question, ...]
    documents: Mapping[str, Item] = field(repr=False)
    total: int

    def sample(self, limit: int | None, seed: int) -> QuestionSet:
        """Return a random part of the questions, the same for the same seed, in their order."""
        if limit is None or limit >= len(self.questions):
            return self
        kept = sorted(random.Random(seed).sample(range(len(self.questions)), limit))
        return replace(self, questions=tuple(self.questions[place] for place in kept))


def find_questions(
    store: Store, ledger: Ledger, collection: str, truth: Truth | None, direction: Direction | None
) -> QuestionSet:
    """Return the questions of a truth and a direction; where these are None, of the first that has any.

    Raises CollectionNotFoundError, or EvaluationError where there is nothing to ask.
    """
    items, imported = _items(store, collection), store.made_by(collection).imported
    unaskable = False
    for one in (truth,) if truth else TRUTHS:
        for way in (direction,) if direction else DIRECTIONS[one]:
            found = tuple(_questions(one, way, items, ledger, collection))
            questions = _askable(found, imported)
            if questions:
                return QuestionSet(one, way, questions, items[way.answers], len(questions))
            unaskable = unaskable or bool(found)
    raise _only_words(collection, imported) if unaskable else _nothing(collection, truth, direction)


def _askable(questions: Iterable[Question], imported: str) -> tuple[Question, ...]:
    """Return the questions there is a vector for: of an imported collection only those that items ask."""
    return tuple(question for question in questions if question.item or not imported)


@dataclass(frozen=True)
class Known:
    """The right answers to one question: the grade of each by id, and where that is known from."""

    truth: Truth
    gains: Mapping[str, float] = field(repr=False)


def known_answers(
    ledger: Ledger, collection: str, question: str, modalities: Collection[Modality]
) -> Known | None:
    """Return what is right for one question among items of some modalities, or None.

    question: from `judgements.question_key`. People's own marks come first, then the captions that are
    the question word for word, then the label that is; what is marked wrong is not right for its
    caption or label either. Raises FolderError.
    """
    marks = Marks(ledger)
    if gains := marks.right(collection, question, modalities):
        return Known("judgements", gains)
    if ids := marks.captioned(collection, question, modalities):
        return Known("pairs", dict.fromkeys(ids, 1))
    if ids := marks.labelled(collection, question, modalities):
        return Known("labels", dict.fromkeys(ids, 1))
    return None


def survey(store: Store, ledger: Ledger, collection: str) -> dict[tuple[Truth, Direction], int]:
    """Return how many questions there are of every truth and direction that has any."""
    items, imported = _items(store, collection), store.made_by(collection).imported
    counts = {
        (truth, way): len(_askable(_questions(truth, way, items, ledger, collection), imported))
        for truth in TRUTHS
        for way in DIRECTIONS[truth]
    }
    return {key: count for key, count in counts.items() if count}


def _items(store: Store, collection: str) -> dict[Modality, dict[str, Item]]:
    """Return the items of a collection by modality and id. Raises CollectionNotFoundError."""
    store.info(collection)
    return {
        modality: {item.id: item for item in store.all_items(collection, modality)} for modality in MODALITIES
    }


def _questions(
    truth: Truth,
    way: Direction,
    items: Mapping[Modality, Mapping[str, Item]],
    ledger: Ledger,
    collection: str,
) -> Iterator[Question]:
    if way not in DIRECTIONS[truth]:
        return
    asking, answers = items[way.asks].values(), items[way.answers]
    if truth == "pairs":
        yield from _pairs(asking, answers.values())
    elif truth == "labels":
        yield from _labels(way, asking, answers.values())
    else:
        yield from _judged(way, items, Judgements(ledger), collection)


def _pairs(asking: Iterable[Item], answers: Iterable[Item]) -> Iterator[Question]:
    """Ask with every item for what it is paired with: a caption for its picture, or the other way.

    Captions of the same words are one question: whatever any of them belongs to is right.
    """
    right = _grouped((answer.pair, answer.id) for answer in answers)
    asked: dict[str, Question] = {}
    for item in asking:
        if gains := right.get(item.pair):
            question = _by_item(item, gains)
            known = asked.get(question.key)
            asked[question.key] = replace(known, gains={**known.gains, **gains}) if known else question
    yield from asked.values()


def _labels(way: Direction, asking: Iterable[Item], answers: Iterable[Item]) -> Iterator[Question]:
    """Ask with every label in words, or with every picture for the others that share a label with it."""
    right = _grouped((label, answer.id) for answer in answers for label in answer.labels)
    if way.asks == "text":
        for label in sorted(right):
            yield Question(label, label, "text", right[label], words=label)
        return
    for item in asking:
        gains = {id_: 1 for label in item.labels for id_ in right[label] if id_ != item.id}
        if gains:
            yield replace(_by_item(item, gains), exclude=item.id)


def _judged(
    way: Direction, items: Mapping[Modality, Mapping[str, Item]], judgements: Judgements, collection: str
) -> Iterator[Question]:
    """Ask what people have marked answers of; a question with nothing marked right asks for nothing."""
    marks: dict[str, dict[str, float]] = {}
    for mark in judgements.of(collection):
        if mark.relevance > 0 and mark.item in items[way.answers]:
            marks.setdefault(mark.question, {})[mark.item] = mark.relevance
    for key, gains in marks.items():
        kind, value = asked_with(key)
        if kind == "like":
            item = items[way.asks].get(value)
            others = {id_: gain for id_, gain in gains.items() if id_ != value}
            if item and others:
                yield replace(_by_item(item, others), key=key, exclude=item.id)
        elif kind == "image" and way.asks == "image":
            yield Question(key, "an uploaded picture", "image", gains, picture=value)
        elif kind == "text" and way.asks == "text":
            yield Question(key, value, "text", gains, words=value)


def _by_item(item: Item, gains: Mapping[str, float]) -> Question:
    """Return the question that a stored item asks: its words, or itself."""
    words = question_words(item.caption) if item.modality == "text" else ""
    if words:
        return Question(words, words, "text", gains, words=words, item=item)
    return Question(f"item:{item.id}", item.caption or item.name, item.modality, gains, item=item)


def _grouped(rows: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key, id_ in rows:
        found.setdefault(key, {})[id_] = 1
    return found


def _only_words(collection: str, label: str) -> EvaluationError:
    return EvaluationError(
        f"The collection {collection!r} is made of imported vectors ({label}): no model here can embed a "
        f"label or a question in words for it. Measure by pairs, or by labels as image-image."
    )


def _nothing(collection: str, truth: Truth | None, direction: Direction | None) -> EvaluationError:
    if truth and direction and direction not in DIRECTIONS[truth]:
        allowed: Sequence[Direction] = DIRECTIONS[truth]
        return EvaluationError(
            f"{truth} cannot be asked as {direction}: choose one of {', '.join(map(str, allowed))}."
        )
    what = truth or "pairs, labels or judgements"
    way = f" as {direction}" if direction else ""
    return EvaluationError(
        f"The collection {collection!r} has no {what} to measure against{way}. Ingest pictures with "
        f"captions or labels (a metadata.jsonl beside them), or mark hits as right on the Search page."
    )
