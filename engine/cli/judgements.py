"""`python -m engine judgements`: a collection's judgements listed, exported, imported, and a run measured.

`app.py` owns the command line; this file adds one command to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from engine.cli.output import CollectionOption, JsonOption, open_workspace, say, say_json
from engine.errors import JudgementError, TrecError
from engine.evaluation.metrics import measures, ranks_by_order

if TYPE_CHECKING:
    from engine.workspace import Workspace

_KS = (1, 5, 10)
_QRELS = "Import judgements: TREC qrels, a zip exported here, or BEIR's folder, zip or .tsv."
_TOPICS = "The questions of those ids: id, a tab, words; or BEIR's queries.jsonl."


@dataclass(frozen=True)
class RunMeasured:
    """A run against the judgements: means over all judged questions, as trec_eval -c takes them.

    `unanswered` questions are not in the run and `hopeless` ones have nothing marked right: both count 0.
    """

    queries: int
    unanswered: int
    hopeless: int
    metrics: dict[str, float]


def judgements(
    collection: CollectionOption,
    export: Annotated[Path | None, typer.Option(help="Write qrels.txt and topics.tsv into this zip.")] = None,
    qrels: Annotated[Path | None, typer.Option(help=_QRELS)] = None,
    topics: Annotated[Path | None, typer.Option(help=_TOPICS)] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Skip lines with ids not known here.")
    ] = False,
    run: Annotated[Path | None, typer.Option(help="Measure a TREC run against the judgements.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List, export and import a collection's own judgements, and measure a TREC run by them."""
    if topics and not (qrels or run):
        raise typer.BadParameter("--topics goes with --qrels or --run")
    if skip_unknown and not qrels:
        raise typer.BadParameter("--skip-unknown goes with --qrels")
    with open_workspace() as workspace:
        workspace.store.info(collection)
        imported = _take(workspace, collection, qrels, topics, skip_unknown) if qrels else None
        measured = _measured(workspace, collection, run, topics) if run else None
        document = _counts(workspace, collection)
        if export:
            _write(workspace, collection, export)
    document |= {
        "imported": imported,
        "exported": str(export) if export else None,
        "run": asdict(measured) if measured else None,
    }
    if as_json:
        say_json(document)
        return
    for line in _lines(document):
        say(line)


def measure_run(ranked: dict[str, list[str]], marks: dict[str, dict[str, float]]) -> RunMeasured:
    """Measure ranked item ids by question against relevances by question and item (at least one)."""
    rows = [_metrics(ranked.get(question, []), grades) for question, grades in marks.items()]
    return RunMeasured(
        queries=len(marks),
        unanswered=len(marks.keys() - ranked.keys()),
        hopeless=sum(max(grades.values()) == 0 for grades in marks.values()),
        metrics={name: sum(row[name] for row in rows) / len(rows) for name in rows[0]},
    )


def _metrics(ids: list[str], marks: dict[str, float]) -> dict[str, float]:
    """Return one question's numbers, as trec_eval has them; what is not judged counts as wrong."""
    right = {id_: grade for id_, grade in marks.items() if grade > 0}
    return measures(ranks_by_order(ids, right), _KS, np.array(list(right.values())))


def _take(
    workspace: Workspace, collection: str, qrels: Path, topics: Path | None, skip: bool
) -> dict[str, Any]:
    from engine.evaluation.judgements import Judgements

    qrels, topics = _in_folder(qrels, topics)
    with _opened(qrels, topics) as (lines, questions):
        done = Judgements(workspace.ledger).take(collection, lines, questions, skip_unknown=skip)
    return {**asdict(done), "file": done.file or str(qrels)}


def _measured(workspace: Workspace, collection: str, run: Path, topics: Path | None) -> RunMeasured:
    from engine.evaluation.judgements import Judgements
    from engine.evaluation.trec import parse_run

    known = Judgements(workspace.ledger)
    marks: dict[str, dict[str, float]] = {}
    for one in known.of(collection):
        marks.setdefault(one.question, {})[one.item] = one.relevance
    if not marks:
        raise JudgementError(
            f"Nothing is judged in {collection!r}, so a run cannot be measured: mark hits on the "
            f"Search page, or import judgements with --qrels FILE."
        )
    with _opened(run, topics) as (lines, questions):
        return measure_run(known.ranked(collection, parse_run(lines), questions), marks)


def _counts(workspace: Workspace, collection: str) -> dict[str, Any]:
    from engine.evaluation.judgements import Judgements

    marks = Judgements(workspace.ledger).of(collection)
    right = sum(mark.relevance > 0 for mark in marks)
    return {
        "collection": collection,
        "questions": len({mark.question for mark in marks}),
        "judgements": len(marks),
        "right": right,
        "wrong": len(marks) - right,
    }


def _write(workspace: Workspace, collection: str, path: Path) -> None:
    from engine.evaluation.judgements import Judgements

    try:
        path.write_bytes(Judgements(workspace.ledger).export(collection))
    except OSError as error:
        raise JudgementError(
            f"The file {path} cannot be written: {error.strerror}. Choose another place."
        ) from error


@contextmanager
def _opened(path: Path, topics: Path | None) -> Iterator[tuple[IO[bytes], IO[bytes] | None]]:
    """Open a file, and the topics where they are given. Raises TrecError."""
    with ExitStack() as files:
        yield files.enter_context(_open(path)), files.enter_context(_open(topics)) if topics else None


def _in_folder(qrels: Path, topics: Path | None) -> tuple[Path, Path | None]:
    """Return the judgements and questions of a BEIR folder, or the files as given. Raises TrecError."""
    if not qrels.is_dir():
        return qrels, topics
    from engine.evaluation.judgement_files import judged_files

    there = [*qrels.glob("*"), *qrels.glob("qrels/*")]
    found = judged_files(path.relative_to(qrels).as_posix() for path in there)
    if found is None:
        raise TrecError(f"The folder {qrels} has no folder qrels with .tsv files, as BEIR has them.")
    return qrels / found[0], topics or (qrels / found[1] if found[1] else None)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise TrecError(f"The file {path} cannot be opened: {error.strerror}.") from error


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the result in words."""
    if imported := document["imported"]:
        left_out = imported["left_out"]
        stored, questions, file = (imported[name] for name in ("stored", "questions", "file"))
        yield f"{stored:,} judgements of {questions:,} questions imported from {file}"
        for fault in imported["faults"]:
            yield f"  line {fault['line']:,} left out: {fault['reason']}"
        if left_out > len(imported["faults"]):
            yield f"  and {left_out - len(imported['faults']):,} more"
    yield "{questions:,} questions with {judgements:,} judgements: {right:,} right, {wrong:,} wrong".format(
        **document
    )
    if run := document["run"]:
        yield (
            f"{run['queries']:,} judged questions, {run['unanswered']:,} of them not in the run, "
            f"{run['hopeless']:,} with nothing marked right; these count 0"
        )
        for name, value in run["metrics"].items():
            yield f"{name:>10}  {value:.3f}"
    if document["exported"]:
        yield f"written to {document['exported']}"
