"""What the commands share: options, the opened data folder, standard output and progress beside it.

With --json standard output holds exactly one JSON document; progress and notes go to standard error.
What a command has to say is its own matter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from engine.progress import Progress
from engine.settings import load_settings
from engine.types import IngestReport, LeftOut
from engine.workspace import Workspace

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="The collection's name.")]


@contextmanager
def open_workspace() -> Iterator[Workspace]:
    """Open the data folder that the settings name, until the block ends.

    Raises SettingError, FolderError, StoreError.
    """
    workspace = Workspace.open(load_settings())
    try:
        yield workspace
    finally:
        workspace.close()


def say(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{text}\n")


def say_json(document: Any) -> None:
    """Write the result as JSON."""
    say(json.dumps(document, ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """Write a line beside the result, which may be JSON."""
    sys.stderr.write(f"{text}\n")


def show_stage(stage: str) -> None:
    """Show what is being done in place of what was shown before, where somebody is watching."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{stage} …")


def show_progress(progress: Progress) -> None:
    """Show how far a job is, and how long it will take."""
    left = progress.seconds_left
    times = (
        f", {progress.done_per_second:.0f} {progress.unit}/s, {left:.0f} s left" if left is not None else ""
    )
    show_stage(f"{progress.stage} {progress.done:,} of {progress.total:,}{times}")


def end_stage() -> None:
    """Clear the line of the stage, so that the result does not begin behind it."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")


def counted_line(one: LeftOut) -> str:
    """Return what was counted for one reason as a line: how many, the reason, a few of the names."""
    some = f" ({', '.join(one.examples)}{', …' if one.count > len(one.examples) else ''})"
    return f"{one.count:,} × {one.reason}{some if one.examples else ''}"


def report_document(report: IngestReport) -> dict[str, Any]:
    """Return what `ingest`, `reembed` and `import` print with --json; `failed` holds the first hundred."""
    return {
        "collection": report.collection,
        "model": report.model,
        "stored": report.stored,
        "skipped": report.skipped,
        "failed": [asdict(failure) for failure in report.failed],
        "failed_count": report.failed_count,
        "failed_kinds": [asdict(kind) for kind in report.failed_kinds],
        "left_out": [asdict(left) for left in report.left_out],
        "notes": list(report.notes),
        "seconds": round(report.seconds, 3),
        "per_second": round(report.per_second, 2),
    }
