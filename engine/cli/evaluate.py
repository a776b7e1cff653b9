"""`python -m engine evaluate`: a collection measured, with and without a reranker, kept and exported.

`app.py` owns the command line; this file adds one command to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.output import (
    CollectionOption,
    JsonOption,
    end_stage,
    open_workspace,
    say,
    say_json,
    show_progress,
)
from engine.errors import EvaluationError
from engine.models.base import ModelChoice

if TYPE_CHECKING:
    from engine.evaluation.results import Evaluation, Plan

_WORSE_SHOWN = 10
_BALANCE = (
    "Rank the whole collection, modalities mixed, in this order: raw, centred, standardised or interleaved."
)


def evaluate(
    collection: CollectionOption,
    k: Annotated[list[int] | None, typer.Option("--k", help="A cut-off, 1 to 1000; repeatable.")] = None,
    truth: Annotated[str | None, typer.Option(help="pairs (captions), labels or judgements.")] = None,
    direction: Annotated[str | None, typer.Option(help="Who asks for what: text-image, image-text …")] = None,
    rerank: Annotated[str | None, typer.Option(help="A reranker, for a second order.")] = None,
    rerank_top: Annotated[int, typer.Option(min=1, max=1000, help="How many hits to rerank.")] = 50,
    limit: Annotated[int | None, typer.Option(min=1, help="A random sample of so many questions.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of that sample.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write a line per question into this file.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write everything, with TREC files, as a zip.")] = None,
    balance: Annotated[str | None, typer.Option(help=_BALANCE)] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure retrieval against captions, labels or your own marks, over ALL right answers."""
    plan = _plan(collection, k, truth, direction, rerank, rerank_top, limit, seed, balance)
    with open_workspace() as workspace:
        evaluation = workspace.evaluate(plan, on_progress=show_progress)
        end_stage()
        assert evaluation is not None  # nothing cancels it here
        workspace.evaluations.keep(evaluation)  # first: what cannot be written must not cost the measuring
        _write(evaluation, csv, export)
    if as_json:
        from engine.evaluation.archive import document

        say_json(document(evaluation))
        return
    for line in _lines(evaluation):
        say(line)


def _plan(
    collection: str,
    k: list[int] | None,
    truth: str | None,
    direction: str | None,
    rerank: str | None,
    top: int,
    limit: int | None,
    seed: int,
    balance: str | None,
) -> Plan:
    """Return the plan of the options; what is wrong with one is wrong usage."""
    from engine.evaluation.questions import Direction
    from engine.evaluation.results import Plan

    try:
        return Plan(
            collection=collection,
            truth=truth,  # type: ignore[arg-type]  # checked there, as it was typed
            direction=Direction.of(direction) if direction else None,
            reranker=ModelChoice(rerank) if rerank else None,
            top=top,
            ks=tuple(dict.fromkeys(k or (1, 5, 10))),
            limit=limit,
            seed=seed,
            balance=balance,  # type: ignore[arg-type]  # checked there too
        )
    except EvaluationError as error:
        raise typer.BadParameter(str(error)) from error


def _write(evaluation: Evaluation, csv: Path | None, export: Path | None) -> None:
    from engine.evaluation.archive import export as zipped
    from engine.evaluation.archive import to_csv

    if csv:
        _write_bytes(csv, to_csv(evaluation.answers).encode())
    if export:
        _write_bytes(export, zipped(evaluation))


def _write_bytes(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise EvaluationError(
            f"The file {path} cannot be written: {error.strerror}. Choose another place."
        ) from error


def _lines(evaluation: Evaluation) -> Iterator[str]:
    """Yield the result in words."""
    summary, plan = evaluation.summary, evaluation.plan
    of_all = f" of {evaluation.total:,}" if summary.queries < evaluation.total else ""
    yield (
        f"{summary.queries:,}{of_all} questions ({evaluation.truth}, {evaluation.direction}) against "
        f"{evaluation.documents:,} documents, model {evaluation.made_by.model}"
    )
    if plan.balance:
        yield f"all modalities mixed, in the order: {plan.balance}"
    for failure in evaluation.unasked:
        yield f"  not asked: {failure.name}: {failure.reason}"
    if evaluation.reranked_by is None:
        for name, one in summary.before.items():
            yield f"{name:>10}  {one.mean:.3f}  [{one.low:.3f}, {one.high:.3f}]"
        return
    yield f"reranked: the first {plan.top:,} by {evaluation.reranked_by.model}"
    yield f"{'':>10}  before  after   change [95 %]"
    for name, before in summary.before.items():
        after, delta = summary.after[name], summary.delta[name]
        yield (
            f"{name:>10}  {before.mean:.3f}   {after.mean:.3f}   {delta.mean:+.3f} "
            f"[{delta.low:+.3f}, {delta.high:+.3f}]"
        )
    captured = "" if summary.captured is None else f", {summary.captured:.0%} of the way to it taken"
    ceiling = f"{summary.ceiling.mean:.3f}" if summary.ceiling else "0"
    yield f"ceiling: hit@{plan.top} {ceiling}{captured}"
    yield f"by nDCG@10: {summary.wins:,} better, {summary.ties:,} the same, {summary.losses:,} worse"
    yield f"median per question: {summary.open_ms:.0f} ms to open, {summary.score_ms:.0f} ms to score"
    if evaluation.reads_the_answer:
        yield "The reranker read captions, and the questions are those captions: it was shown the answers."
    for answer in evaluation.worse[:_WORSE_SHOWN]:
        yield f"  worse: {answer.shown}  {answer.rank_before:g} -> {answer.rank_after:g}"
