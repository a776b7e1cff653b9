"""People's own judgements: which item is right for which question, kept in the ledger with the collection.

Exports them as TREC qrels and topics, and imports such files (`trec.py` reads and writes their lines).
Measures nothing (`metrics.py` does), and asks no model.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from engine.errors import JudgementError, QueryError, TrecError
from engine.evaluation.judgement_files import QRELS_FILE, TOPICS_FILE, Lines, unpacked
from engine.evaluation.trec import (
    MAX_GRADE,
    Fault,
    Faults,
    Qrel,
    RunRow,
    parse_qrels,
    parse_topics,
    ranked_by,
    refuse,
    shown,
    write_qrels,
    write_topics,
)
from engine.search.search import Query
from engine.storage.ledger import Ledger
from engine.storage.marks import Marks
from engine.text import question_words

Asked = Literal["text", "image", "like"]
_KEY = re.compile(r"(image|item):([0-9a-f]{64})")
_BEFORE_1980 = (1980, 1, 1, 0, 0, 0)  # the same marks make the same bytes, whenever they are exported


@dataclass(frozen=True)
class Judgement:
    """What somebody says of one item for one question.

    `question` is the words, "image:<sha256>" for a picture kept in the data folder's `questions`, or
    "item:<id>" for "more like this"; `relevance` is 0 (wrong), 1 (right), or a grade up to 10, decimals too.
    """

    question: str
    item: str
    relevance: float


@dataclass(frozen=True)
class Imported:
    """What an import did: marks stored, questions they are of, and the lines that were left out."""

    stored: int
    questions: int
    left_out: int
    faults: tuple[Fault, ...]  # the first few of those left out
    file: str = ""  # which one of a zip was read


@dataclass(frozen=True)
class _Names:
    """What a file may call the questions and the items of one collection."""

    questions: dict[str, str]
    items: frozenset[str]
    files: dict[str, str | None]  # None: several items have that name

    def question(self, qid: str) -> str:
        """Return the question of an id. Raises KeyError with the reason in words."""
        if qid not in self.questions:
            raise KeyError(f"there is no question {shown(qid)}")
        question = self.questions[qid]
        kind, value = asked_with(question)
        if kind == "like" and value not in self.items:
            raise KeyError(f"the question {shown(qid)} is an item that is not here")
        return question

    def item(self, docid: str) -> str:
        """Return the item of an id or a file name. Raises KeyError with the reason in words."""
        found = docid if docid in self.items else self.files.get(docid, "")
        if found is None:
            raise KeyError(f"several items are called {shown(docid)}; use the id")
        if not found:
            raise KeyError(f"there is no item {shown(docid)}")
        return found


def question_key(query: Query, picture: str | None = None) -> str:
    """Return what a question is filed under; the same question always has the same key.

    Words are cleaned and cut as `search` does, and runs of spaces become one. picture: the SHA-256 under
    which an uploaded picture is kept. Raises QueryError where there is nothing to file.
    """
    if query.like:
        return f"item:{query.like}"
    if query.image is not None:
        if not picture:
            raise QueryError(
                "A picture can be judged for only where it is kept: ask with it on the Search page."
            )
        return f"image:{picture}"
    words = question_words(query.text or "")
    if not words:
        raise QueryError("There is no question: type a few words, or give a picture.")
    return words


def asked_with(question: str) -> tuple[Asked, str]:
    """Return what a filed question asks with: its words, the SHA-256 of a picture, or an item's id."""
    match = _KEY.fullmatch(question)
    if not match:
        return "text", question
    return ("image" if match[1] == "image" else "like"), match[2]


def qid_of(question: str) -> str:
    """Return the id of a question in TREC's files: 16 hexadecimal digits, as ids hold no spaces."""
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Judgements:
    """The marks of every collection in one ledger; safe from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._marks = Marks(ledger)

    def of(self, collection: str) -> list[Judgement]:
        """Return the marks of a collection, by question and item. Raises FolderError."""
        return [Judgement(*mark) for mark in self._marks.of(collection)]

    def for_question(self, collection: str, question: str) -> dict[str, float]:
        """Return the relevance of every item judged for a question. Raises FolderError."""
        return self._marks.for_question(collection, question)

    def grade(self, collection: str, question: str, item: str) -> float | None:
        """Return the relevance of one item for a question, or None where it is not judged."""
        return self._marks.relevance(collection, question, item)

    def mark(self, collection: str, question: str, item: str, relevance: float | None) -> None:
        """Say how right an item is for a question; None takes the mark back.

        Raises JudgementError where the collection does not hold the item, the question is empty or the
        relevance is not from 0 to 10, and FolderError.
        """
        if relevance is None:
            self._marks.drop(collection, question, item)
            return
        if not question or question != question_words(question):
            raise JudgementError(f"{shown(question)} is not a question: take it from `question_key`.")
        if not 0 <= relevance <= MAX_GRADE:
            raise JudgementError(f"A mark is 0 (wrong) to {MAX_GRADE}, not {relevance!r}.")
        if not self._marks.put(collection, [(question, item, relevance)]):
            raise JudgementError(
                f"The collection {collection!r} holds no item {shown(item)} in this data folder, so it "
                f"cannot be marked. It may have been deleted meanwhile: search again."
            )

    def export(self, collection: str) -> bytes:
        """Return a zip of qrels.txt and topics.tsv (UTF-8); the same marks give the same bytes."""
        marks = self.of(collection)
        files = {
            QRELS_FILE: write_qrels((qid_of(one.question), one.item, one.relevance) for one in marks),
            TOPICS_FILE: write_topics({qid_of(one.question): one.question for one in marks}),
        }
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(name, _BEFORE_1980), text, zipfile.ZIP_DEFLATED)
        return out.getvalue()

    def take(
        self, collection: str, qrels: Lines, topics: Lines | None = None, *, skip_unknown: bool = False
    ) -> Imported:
        """Store the judgements of a qrels file, of a zip as `export` makes it, or of BEIR's; all or nothing.

        A mark that is there already is replaced. Ids that are not known here are refused, or left out
        and listed with skip_unknown. Questions are known from `topics`, from marks, and from the
        collection's captions (by `qid_of` or the text item's id); items by id, by what their data set calls
        them, or by a file name that only one has. Raises TrecError with line numbers, and FolderError.
        """
        with unpacked(qrels, topics) as (qrels, topics, file):
            names = self._names(collection, parse_topics(topics) if topics is not None else {})
            malformed, unknown = Faults(), Faults()
            marks = _resolved(parse_qrels(qrels, malformed), names, malformed, unknown)
        refuse(malformed, "qrels file")
        if unknown.total and not skip_unknown:
            raise TrecError(
                f"Nothing was taken: {_lines(unknown.total)} of the qrels file name what {collection!r} does "
                f"not have ({unknown}). Give a topics file for the questions, or skip what is unknown."
            )
        if not marks:
            raise TrecError('There is nothing to take: a line of a qrels file is "qid 0 docid relevance".')
        stored = self._marks.put(collection, ((*key, grade) for key, (grade, _) in marks.items()))
        return Imported(stored, len({q for q, _ in marks}), unknown.total, tuple(unknown.first), file)

    def ranked(
        self, collection: str, run: Iterable[RunRow], topics: Lines | None = None
    ) -> dict[str, list[str]]:
        """Return a run as item ids by question, in trec_eval's order, to be measured against `of`.

        A document that is not here keeps its place, as trec_eval has it; a question that is not known is
        left out. Raises TrecError where none is known.
        """
        names = self._names(collection, parse_topics(topics) if topics is not None else {})
        found: dict[str, list[str]] = {}
        for qid, docids in ranked_by(run).items():
            if qid in names.questions:
                ids = [names.files.get(docid) or docid for docid in docids]
                found[names.questions[qid]] = list(dict.fromkeys(ids))
        if not found:
            raise TrecError(
                f"The run answers no question that is known in {collection!r}. Its ids are those of the "
                f"exported topics.tsv, or give a topics file."
            )
        return found

    def _names(self, collection: str, topics: dict[str, str]) -> _Names:
        named = self._ledger.names(collection)
        questions, files = dict[str, str](), dict[str, str | None]()
        for modality, id_, name, pair, caption, _ in named:
            if modality == "text" and caption and (words := question_words(caption)):
                questions |= {id_: words, qid_of(caption): words, qid_of(words): words}
            if modality != "text" or pair == id_:  # a caption carries the name of its picture
                files[name] = None if name in files else id_
        files |= {given: id_ for _, id_, *_, given in named if given}
        questions |= {qid_of(question): question for question in self._marks.questions(collection)}
        given = {qid: words for qid, question in topics.items() if (words := question_words(question))}
        return _Names(questions | given, frozenset(row[1] for row in named), files)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _resolved(
    qrels: Iterable[Qrel], names: _Names, malformed: Faults, unknown: Faults
) -> dict[tuple[str, str], tuple[float, int]]:
    """Return relevance and line by question and item; the rest goes to the two lists of faults."""
    marks: dict[tuple[str, str], tuple[float, int]] = {}
    for qrel in qrels:
        try:
            key = names.question(qrel.qid), names.item(qrel.docid)
        except KeyError as error:
            unknown.add(qrel.line, error.args[0])
            continue
        grade, line = marks.setdefault(key, (qrel.relevance, qrel.line))
        if grade != qrel.relevance:
            reason = f"{shown(qrel.docid)} is {qrel.relevance:g} here and {grade:g} in line {line:,}"
            malformed.add(qrel.line, reason)
    return marks
