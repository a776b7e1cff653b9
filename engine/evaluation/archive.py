"""Evaluations that were made, kept in the data folder, and exported as CSV and as TREC's files.

One zip each: `evaluation.json` (plan, summary, what made it), `answers.json` (every question without
its lists), `questions.csv`, and `qrels.txt`, `topics.tsv`, `retrieval.run`, `reranked.run` for trec_eval or
`ir_measures`. Measures nothing.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.disk import folder_error
from engine.errors import EvaluationError
from engine.evaluation.metrics import Interval
from engine.evaluation.questions import Direction
from engine.evaluation.results import Answer, Evaluation, Plan, Summary
from engine.evaluation.trec import write_qrels, write_run, write_topics
from engine.text import csv_cell
from engine.types import Failure, Provenance

log = logging.getLogger(__name__)
_ID = re.compile(r"[0-9]{10}-[0-9a-f]{8}")
_SUMMARY, _ANSWERS, CSV_FILE = "evaluation.json", "answers.json", "questions.csv"
_BROKEN = (  # what a damaged file, or one of another version, may raise
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, EvaluationError),
)
_LISTS = ("gains", "retrieved", "reranked")  # in the qrels and the runs


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation that is kept, under its id; its `answers` are empty until `Evaluations.load`."""

    id: str
    evaluation: Evaluation = field(repr=False)


class Evaluations:
    """The evaluations of one data folder; safe from several threads, as each has a file of its own."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "evaluations"

    def keep(self, evaluation: Evaluation) -> str:
        """Write an evaluation, and return its id, which sorts by time. Raises FolderError."""
        id_ = f"{evaluation.finished_at:010d}-{uuid.uuid4().hex[:8]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._folder / f".{id_}"
            draft.write_bytes(export(evaluation))
            draft.replace(self._path(id_))  # a reader never sees half a file
        except OSError as error:
            raise folder_error(self._folder, error) from error
        return id_

    def list(self, collection: str | None = None) -> list[KeptEvaluation]:
        """Return what is kept, of one collection or of all, newest first; damaged files are left out."""
        found = []
        for path in sorted(self._folder.glob("*.zip"), reverse=True):
            try:
                found.append(KeptEvaluation(path.stem, _evaluation(_read(path, _SUMMARY), [])))
            except _BROKEN as error:
                log.warning("the evaluation %s cannot be read: %s", path.name, error)
        return [one for one in found if collection in (None, one.evaluation.plan.collection)]

    def load(self, id_: str) -> Evaluation:
        """Return a kept evaluation with its answers, less their lists. Raises EvaluationError."""
        path = self._path(id_)
        try:
            return _evaluation(_read(path, _SUMMARY), _read(path, _ANSWERS))
        except _BROKEN as error:
            raise _gone(id_) from error

    def file(self, id_: str, name: str | None = None) -> bytes:
        """Return the zip, or one file of it. Raises EvaluationError."""
        try:
            if name is None:
                return self._path(id_).read_bytes()
            with zipfile.ZipFile(self._path(id_)) as archive:
                return archive.read(name)
        except _BROKEN as error:
            raise _gone(id_) from error

    def delete(self, id_: str) -> None:
        """Delete one; one that is not there is fine. Raises FolderError."""
        try:
            self._path(id_).unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self._folder, error) from error

    def forget(self, collection: str) -> None:
        """Delete all of a collection: another one may come to have its name. Raises FolderError."""
        for one in self.list(collection):
            self.delete(one.id)

    def _path(self, id_: str) -> Path:
        if not _ID.fullmatch(id_):
            raise _gone(id_)
        return self._folder / f"{id_}.zip"


def export(evaluation: Evaluation) -> bytes:
    """Return an evaluation as a zip of the files that the top of this module names."""
    answers = evaluation.answers
    files = {
        _SUMMARY: json.dumps(_document(evaluation), ensure_ascii=False),
        _ANSWERS: json.dumps([_row(one) for one in answers], ensure_ascii=False),
        CSV_FILE: to_csv(answers),
        "qrels.txt": write_qrels((one.qid, id_, gain) for one in answers for id_, gain in one.gains.items()),
        "topics.tsv": write_topics({one.qid: one.key for one in answers}),
        "retrieval.run": write_run(_run((one.qid, one.retrieved) for one in answers)),
    }
    if evaluation.reranked_by:
        files["reranked.run"] = write_run(_run((one.qid, one.reranked) for one in answers))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def to_csv(answers: Iterable[Answer]) -> str:
    """Return a line per question: ranks of its first right answer, and every metric before and after."""
    rows = [_csv_row(one) for one in answers]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["qid"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Return what `python -m engine evaluate --json` prints."""
    summary = evaluation.summary
    return {
        "collection": evaluation.plan.collection,
        "model": evaluation.made_by.model,
        "queries": summary.queries,
        "metrics": _means(summary.before),
        "reranked": _means(summary.after) or None,
        "delta": {name: asdict(one) for name, one in summary.delta.items()} or None,
        "wins": summary.wins if summary.after else None,
        "losses": summary.losses if summary.after else None,
        "ties": summary.ties if summary.after else None,
        "truth": evaluation.truth,
        "direction": str(evaluation.direction),
        "questions_in_all": evaluation.total,
        "documents": evaluation.documents,
        "balance": evaluation.plan.balance,
        "reranker": evaluation.reranked_by.model if evaluation.reranked_by else None,
        "rerank_top": evaluation.plan.top if evaluation.reranked_by else None,
        "ceiling": asdict(summary.ceiling) if summary.ceiling else None,
        "captured": summary.captured,
        "pairs": {
            "scored": summary.pairs_scored,
            "by_caption": summary.pairs_by_caption,
            "without_score": summary.pairs_unscored,
        },
        "median_ms_per_question": {"open": summary.open_ms, "score": summary.score_ms},
        "seconds": round(evaluation.seconds, 3),
        "worse": [
            {
                "question": one.shown,
                "rank_before": one.rank_before,
                "rank_after": one.rank_after,
                "change": one.change,
            }
            for one in evaluation.worse
        ],
        "unasked": [asdict(one) for one in evaluation.unasked],
    }


def _means(intervals: Mapping[str, Interval]) -> dict[str, float]:
    return {name: one.mean for name, one in intervals.items()}


def _document(evaluation: Evaluation) -> dict[str, Any]:
    data = asdict(replace(evaluation, answers=()))
    return {**data, "plan": evaluation.plan.to_dict(), "direction": str(evaluation.direction)}


def _row(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in asdict(answer).items() if name not in _LISTS}


def _csv_row(answer: Answer) -> dict[str, Any]:
    return {
        "qid": answer.qid,
        "question": csv_cell(answer.shown),
        "right_answers": len(answer.gains),
        "rank_before": answer.rank_before,
        "rank_after": answer.rank_after,
        **{f"before {name}": value for name, value in answer.before.items()},
        **{f"after {name}": value for name, value in answer.after.items()},
    }


def _run(
    lists: Iterable[tuple[str, Iterable[tuple[str, float]]]],
) -> Iterator[tuple[str, str, int, float, str]]:
    for qid, found in lists:
        for rank, (id_, score) in enumerate(found, start=1):
            yield qid, id_, rank, score, "gapscope"


def _read(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(name))


def _evaluation(data: dict[str, Any], answers: Iterable[dict[str, Any]]) -> Evaluation:
    reranked_by = data["reranked_by"]
    given = {
        "plan": Plan.of(data["plan"]),
        "direction": Direction.of(data["direction"]),
        "made_by": Provenance(**data["made_by"]),
        "reranked_by": Provenance(**reranked_by) if reranked_by else None,
        "summary": _summary(data["summary"]),
        "unasked": tuple(Failure(**one) for one in data["unasked"]),
        "answers": tuple(Answer(gains={}, retrieved=(), **one) for one in answers),
    }
    return Evaluation(**{**data, **given})


def _summary(data: dict[str, Any]) -> Summary:
    tables = {
        name: {metric: Interval(**one) for metric, one in data[name].items()}
        for name in ("before", "after", "delta")
    }
    ceiling = Interval(**data["ceiling"]) if data["ceiling"] else None
    return Summary(**{**data, **tables, "ceiling": ceiling})


def _gone(id_: str) -> EvaluationError:
    return EvaluationError(f"There is no evaluation {id_[:24]!r} here that can be read; run it again.")
