"""`python -m engine ingest` and `reembed`: files into a collection, and a collection by another model.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.output import (
    CollectionOption,
    JsonOption,
    counted_line,
    end_stage,
    open_workspace,
    report_document,
    say,
    say_json,
    show_progress,
)
from engine.cli.plan import show_plan
from engine.models.base import ModelChoice
from engine.settings import load_settings
from engine.types import IngestReport

_MODEL_HELP = "A model of `models`, a hub id or a local folder."
WidthOption = Annotated[int | None, typer.Option(help="Matryoshka width, where the model has them.")]
SlowOption = Annotated[
    bool, typer.Option("--accept-slow", help="Start even what takes more than half an hour.")
]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders, zips or tars.")],
    collection: Annotated[str | None, typer.Option(help="The collection's name.")] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL_HELP)] = None,
    width: WidthOption = None,
    accept_slow: SlowOption = False,
    ray: Annotated[bool, typer.Option("--ray", help="Decode and embed on the machines of Ray.")] = False,
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster; else RAY_ADDRESS or this machine.")
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(min=1, help="Copies of the model on Ray; else one per GPU or 4 cores.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is understood of the files, and store nothing.")
    ] = False,
    file_column: Annotated[str, typer.Option(help="The column of tables that names the file.")] = "",
    caption_column: Annotated[
        list[str] | None, typer.Option(help="A column that holds captions; may be given several times.")
    ] = None,
    label_column: Annotated[
        list[str] | None, typer.Option(help="A column that holds labels; may be given several times.")
    ] = None,
    split_column: Annotated[str, typer.Option(help="The column that names the split.")] = "",
    leave_column: Annotated[
        list[str] | None, typer.Option(help="A column to leave out; may be given several times.")
    ] = None,
    folder_labels: Annotated[
        bool | None,
        typer.Option("--folder-labels/--no-folder-labels", help="Whether names of folders are labels."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Embed files into a collection; running it again stores nothing twice."""
    from engine.datasets.columns import Choices
    from engine.datasets.find import sources_in
    from engine.datasets.preview import plan_paths

    if not ray and (ray_address or ray_workers):
        raise typer.BadParameter("--ray-address and --ray-workers go with --ray")
    choices = Choices(
        file=file_column,
        captions=tuple(caption_column) if caption_column else None,
        labels=tuple(label_column) if label_column else None,
        split=split_column,
        left_out=tuple(leave_column or ()),
        folder_labels=folder_labels,
    )
    if dry_run:
        plan = plan_paths(paths, max_file_bytes=load_settings().max_file_bytes, choices=choices)
        show_plan(plan, as_json)
        return
    if collection is None:
        raise typer.BadParameter("Missing option '--collection': only --dry-run goes without it")
    choice = _choice(model, width)
    with open_workspace() as workspace:
        limit = workspace.settings.max_file_bytes
        found = sources_in(plan_paths(paths, max_file_bytes=limit, choices=choices))
        if ray:
            from engine.ingest.ray.driver import ingest_on_ray

            report = ingest_on_ray(
                workspace.folder,
                collection,
                found,
                choice=choice,
                address=ray_address,
                workers=ray_workers,
                accept_slow=accept_slow,
                on_progress=show_progress,
            )
        else:
            report = workspace.ingest(
                collection, found, choice=choice, accept_slow=accept_slow, on_progress=show_progress
            )
    _show_report(report, as_json, there="were there or came twice")


def reembed(
    collection: CollectionOption,
    model: Annotated[str, typer.Option(help=_MODEL_HELP)],
    width: WidthOption = None,
    into: Annotated[str | None, typer.Option(help="A new name; the old collection stays.")] = None,
    accept_slow: SlowOption = False,
    as_json: JsonOption = False,
) -> None:
    """Re-embed a collection with another model; the old one stays until the new one is complete."""
    choice = ModelChoice(model, dim=width)
    with open_workspace() as workspace:
        report = workspace.reembed(
            collection, choice, into=into, accept_slow=accept_slow, on_progress=show_progress
        )
    _show_report(report, as_json)


def _choice(model: str | None, width: int | None) -> ModelChoice | None:
    if model is None:
        if width is not None:
            raise typer.BadParameter("--width goes with --model")
        return None  # what made the collection, or Pocket
    return ModelChoice(model, dim=width)


def _show_report(report: IngestReport, as_json: bool, there: str = "were there") -> None:
    end_stage()
    if as_json:
        say_json(report_document(report))
        return
    left = sum(one.count for one in report.left_out)
    more = f", {left:,} left out" if left else ""
    say(f"{report.stored:,} items stored, {report.skipped:,} {there}, {report.failed_count:,} failed{more}")
    for failure in report.failed:
        say(f"  {failure.name}: {failure.reason}")
    if report.failed_count > len(report.failed):
        say(f"  These are the first {len(report.failed):,} that failed. All of them, by kind:")
        for kind in report.failed_kinds:
            say(f"  {counted_line(kind)}")
    for one in report.left_out:
        say(f"  Left out: {counted_line(one)}")
    for note in report.notes:
        say(f"  {note}")
    if not report.stored and not report.skipped and not report.cancelled:
        say("Nothing of this was taken.")
