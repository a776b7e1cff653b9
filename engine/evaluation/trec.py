"""TREC's text files, read and written: qrels, runs and topics. Pure; knows no collection and no disk.

The formats are those of trec_eval (https://github.com/usnistgov/trec_eval): "qid 0 docid relevance" and
"qid Q0 docid rank score tag". Topics are "qid<TAB>question", as `ir_datasets` and Pyserini write them. Files
whose columns have names (BEIR, MTEB) are read too: `named_columns.py`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

from engine.errors import TrecError
from engine.evaluation.named_columns import QRELS, TOPICS, Names, header, row_at, row_of
from engine.text import clean_text, question_words

MAX_LINES = 1_000_000
MAX_GRADE = 10
_MAX_LINE_BYTES = 32_768  # a question of 4,096 characters, its id, and room
_NAMED = 5  # faults that an error names
_SHOWN_CHARS = 60
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


@dataclass(frozen=True)
class Qrel:
    """One line of a qrels file: a document's relevance to a question, as it stood in the file."""

    line: int
    qid: str
    docid: str
    relevance: float


@dataclass(frozen=True)
class RunRow:
    """One line of a run: a document that a system put at a rank (from 1) with a score."""

    line: int
    qid: str
    docid: str
    rank: int
    score: float
    tag: str


@dataclass(frozen=True)
class Fault:
    """What is wrong with one line (counted from 1) of a file."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line:,}: {self.reason}"


@dataclass
class Faults:
    """What is wrong with a file: how many lines, and the first few of them."""

    total: int = 0
    first: list[Fault] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        """Count a fault; only the first few are kept, so that a wrong file costs no memory."""
        self.total += 1
        if len(self.first) < _NAMED:
            self.first.append(Fault(line, reason))

    def __str__(self) -> str:
        more = f"; and {self.total - len(self.first):,} more" if self.total > len(self.first) else ""
        return "; ".join(map(str, self.first)) + more


class _LineError(ValueError):
    """Why one line cannot be read; becomes a Fault."""


def numbered(lines: Iterable[bytes | str] | IO[bytes]) -> Iterator[tuple[int, str | Fault]]:
    """Yield the lines that are not blank, numbered from 1, without a byte order mark and line ends.

    A line that is no UTF-8 or too long comes as its Fault. A file is read a line at a time, however
    large it is. Raises TrecError beyond MAX_LINES lines.
    """
    for number, raw in enumerate(_pieces(lines), start=1):
        if number > MAX_LINES:
            raise TrecError(f"The file has more than {MAX_LINES:,} lines, which is the limit: split it.")
        if len(raw) > _MAX_LINE_BYTES:
            yield number, Fault(number, f"it is longer than {_MAX_LINE_BYTES:,} bytes")
            continue
        try:
            text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        except UnicodeDecodeError:
            yield number, Fault(number, "it is not UTF-8 text")
            continue
        text = (text.removeprefix("\ufeff") if number == 1 else text).strip()
        if text:
            yield number, text


def parse_qrels(lines: Iterable[bytes | str], faults: Faults) -> Iterator[Qrel]:
    """Yield the judgements of a qrels file; lines that cannot be read go to `faults`.

    TREC's second column is ignored, as trec_eval does. A negative relevance becomes 0: trec_eval's own
    measures count every relevance below 1 as not relevant, where decimals between count here.
    """
    for number, row in _rows(lines, faults, QRELS, ("qid", "0", "docid", "relevance")):
        try:
            yield Qrel(number, row[0], row[-2], _grade(row[-1]))
        except _LineError as error:
            faults.add(number, str(error))


def parse_topics(lines: Iterable[bytes | str]) -> dict[str, str]:
    """Return the questions of a topics file by their ids. Raises TrecError with the faulty lines."""
    faults, topics = Faults(), dict[str, str]()
    for number, (qid, question) in _rows(lines, faults, TOPICS, None):
        question = question_words(question)  # no longer than a question may be, so that many fit in memory
        if topics.setdefault(qid, question) != question:
            faults.add(number, f"the id {shown(qid)} had another question before")
    refuse(faults, "topics file")
    return topics


def parse_run(lines: Iterable[bytes | str]) -> list[RunRow]:
    """Return the rows of a run. Raises TrecError with the faulty lines; trec_eval too takes no
    document twice for one question.
    """
    faults, rows, seen = Faults(), [], set()
    for number, text in _readable(lines, faults):
        try:
            row = _run_row(number, text)
        except _LineError as error:
            faults.add(number, str(error))
            continue
        if (row.qid, row.docid) in seen:
            faults.add(number, f"{shown(row.docid)} is there twice for {shown(row.qid)}")
        seen.add((row.qid, row.docid))
        rows.append(row)
    refuse(faults, "run")
    if not rows:
        raise TrecError('The run is empty: a line is "qid Q0 docid rank score tag".')
    return rows


def ranked_by(run: Iterable[RunRow]) -> dict[str, list[str]]:
    """Return the documents of every question, best first, in trec_eval's order.

    That is by score, and equal scores by document id, both descending; scores count as float32, and
    the rank column is ignored (trec_eval, `form_res_rels.c`: `comp_sim_docno`).
    """
    rows: dict[str, list[tuple[float, bytes]]] = {}
    for row in run:
        rows.setdefault(row.qid, []).append((_float32(row.score), row.docid.encode()))
    return {qid: [docid.decode() for _, docid in sorted(found, reverse=True)] for qid, found in rows.items()}


def write_qrels(rows: Iterable[tuple[str, str, float]]) -> str:
    """Return (qid, docid, relevance) as the text of a qrels file, ordered by question and document."""
    return "".join(f"{qid} 0 {docid} {relevance:g}\n" for qid, docid, relevance in sorted(rows))


def write_topics(topics: dict[str, str]) -> str:
    """Return questions by id as the text of a topics file, ordered by id; line ends become spaces."""
    return "".join(f"{qid}\t{' '.join(question.split())}\n" for qid, question in sorted(topics.items()))


def write_run(rows: Iterable[tuple[str, str, int, float, str]]) -> str:
    """Return (qid, docid, rank, score, tag) as the text of a run, ordered by question and rank.

    trec_eval orders by score and not by rank: a score that is not below the one before it, as float32,
    is written as the next smaller float32, so that everybody reads the order that was measured.
    """
    lines, last_qid, last = [], None, math.inf
    for qid, docid, rank, score, tag in sorted(rows, key=lambda row: (row[0], row[2])):
        last = _float32(score) if qid != last_qid else min(_float32(score), _below(last))
        last_qid = qid
        lines.append(f"{qid} Q0 {docid} {rank} {last:.9g} {'_'.join(tag.split()) or 'gapscope'}\n")
    return "".join(lines)


def refuse(faults: Faults, what: str) -> None:
    """Raise TrecError where there are faults."""
    if faults.total:
        lines = "1 line" if faults.total == 1 else f"{faults.total:,} lines"
        raise TrecError(f"Nothing was taken: {lines} of the {what} cannot be read ({faults}).")


def shown(text: str) -> str:
    """Return text of a stranger in quotes, on one line, cut where it is long."""
    text = " ".join(clean_text(text).split())
    return f"“{text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + '…'}”"


def _pieces(lines: Iterable[bytes | str] | IO[bytes]) -> Iterator[bytes | str]:
    """Yield lines; of a file never more than a little over the longest that is allowed."""
    if not hasattr(lines, "readline"):
        yield from lines
        return
    while piece := lines.readline(_MAX_LINE_BYTES + 1):
        yield piece
        end = b"\n" if isinstance(piece, bytes) else "\n"
        while piece and len(piece) > _MAX_LINE_BYTES and not piece.endswith(end):
            piece = lines.readline(_MAX_LINE_BYTES + 1)  # the rest of a line that is refused


def _readable(lines: Iterable[bytes | str], faults: Faults) -> Iterator[tuple[int, str]]:
    for number, text in numbered(lines):
        if isinstance(text, Fault):
            faults.add(text.line, text.reason)
        else:
            yield number, text


def _rows(
    lines: Iterable[bytes | str], faults: Faults, names: Names, unnamed: tuple[str, ...] | None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of every line that can be read; the others go to `faults`.

    unnamed: the columns where the file names none; None is an id, a tab and a question.
    """
    places: list[int] | None = None
    for place, (number, text) in enumerate(_readable(lines, faults)):
        if place == 0 and (places := header(text, names)):
            continue
        try:
            if places:
                row = row_at(text, places)
            elif text.startswith("{"):
                row = row_of(text, names)
            else:
                row = _columns(text, unnamed) if unnamed else _topic(text)
            if row is None or not all(row):
                raise _LineError(f"it has not all of {', '.join(names)}")
            yield number, row
        except _LineError as error:
            faults.add(number, str(error))


def _topic(text: str) -> list[str]:
    qid, _, question = text.partition("\t")
    if not (qid.strip() and question.strip()):
        raise _LineError(f"{shown(text)} is not an id, a tab and a question")
    return [qid.strip(), question.strip()]


def _run_row(number: int, text: str) -> RunRow:
    qid, _, docid, rank, score, tag = _columns(text, ("qid", "Q0", "docid", "rank", "score", "tag"))
    if not _FLOAT.fullmatch(score) or not math.isfinite(_float32(float(score))):
        raise _LineError(f"the score {shown(score)} is not a number")
    return RunRow(number, qid, docid, _integer(rank, "rank"), float(score), tag)


def _columns(text: str, names: tuple[str, ...]) -> list[str]:
    """Split a line at tabs where it has just enough (names of files hold spaces), else at any space."""
    by_tab = [part.strip() for part in text.split("\t")]
    parts = by_tab if len(by_tab) == len(names) and all(by_tab) else text.split()
    if len(parts) != len(names):
        count = "1 column" if len(parts) == 1 else f"{len(parts):,} columns"
        raise _LineError(f'it has {count} and not the {len(names)} of "{" ".join(names)}"')
    return parts


def _grade(text: str) -> float:
    """Return a relevance, whole where it is; negative ones are 0."""
    value = float(text) if _FLOAT.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise _LineError(f"the relevance {shown(text)} is not a number")
    if value > MAX_GRADE:
        raise _LineError(f"the relevance is {value:g}; it goes from 0 to {MAX_GRADE}")
    return max(0, int(value)) if value == int(value) else max(0.0, value)


def _integer(text: str, what: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _LineError(f"the {what} {shown(text)} is not an integer")
    return int(text)


def _float32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _below(value: float) -> float:
    """Return the next smaller float32 of a float32."""
    [bits] = struct.unpack("<i", struct.pack("<f", value or 0.0))
    if bits == 0:
        return -struct.unpack("<f", struct.pack("<i", 1))[0]
    return struct.unpack("<f", struct.pack("<i", bits - 1 if bits > 0 else bits + 1))[0]
