"""`python -m engine import` and `export`: vectors that others made, in and out as Parquet or NPZ.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.progress import Progress
from engine.settings import load_settings
from engine.workspace import Workspace

if TYPE_CHECKING:
    from engine.types import IngestReport
    from engine.vector_files.export import ExportReport

_SUFFIXES = (".parquet", ".npz")
CollectionOption = Annotated[str, typer.Option("--collection", help="The collection's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def import_(
    file: Annotated[Path, typer.Argument(help="A Parquet or NPZ with id, vector and modality.")],
    collection: CollectionOption,
    model_label: Annotated[
        str | None, typer.Option(help="What made them; by default the file's name.", show_default=False)
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip bad rows, and list them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take vectors that another program made; running it again stores nothing twice."""
    if model_label is not None and not model_label.strip():
        raise typer.BadParameter("--model-label is empty: say in a few words what made the vectors")
    with closing(Workspace.open(load_settings())) as workspace:
        report = workspace.import_vectors(
            collection,
            file,
            label=model_label,
            media_root=file.absolute().parent,
            skip_bad=skip_bad,
            on_progress=_show,
        )
    _end()
    for note in report.notes if as_json else ():
        sys.stderr.write(f"{note}\n")
    _write(_document(report) if as_json else _words(report))


def export(
    collection: CollectionOption,
    out: Annotated[Path, typer.Option(help="The file to write: .parquet or .npz.")],
    as_json: JsonOption = False,
) -> None:
    """Write a collection's vectors with ids, texts, pairs and labels into a file."""
    if out.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(f"--out ends in {' or '.join(_SUFFIXES)}, not in {out.suffix!r}")
    with closing(Workspace.open(load_settings())) as workspace:
        report = workspace.export_vectors(collection, out, on_progress=_show)
    _end()
    assert report is not None  # nothing cancels it here
    _write({**asdict(report), "path": str(report.path)} if as_json else _exported(report))


def _document(report: IngestReport) -> dict[str, Any]:
    """Return what `ingest --json` prints too."""
    kept = ("collection", "model", "stored", "skipped", "failed")
    document = {key: value for key, value in asdict(report).items() if key in kept}
    return document | {"seconds": round(report.seconds, 3), "per_second": round(report.per_second, 2)}


def _words(report: IngestReport) -> str:
    failed = f"{len(report.failed):,} left out or without their media file"
    lines = [
        f"{report.stored:,} vectors stored, {report.skipped:,} were there, {failed}",
        *(f"  {one.name}: {one.reason}" for one in report.failed),
        *report.notes,
    ]
    return "\n".join(lines)


def _exported(report: ExportReport) -> str:
    left = f"; {report.unrecorded:,} items of another data folder are not in it" if report.unrecorded else ""
    return f"{report.rows:,} vectors of {report.dim:,} numbers written to {report.path}{left}"


def _write(document: dict[str, Any] | str) -> None:
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False, indent=2)
    sys.stdout.write(f"{text}\n")


def _show(progress: Progress) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{progress.stage} {progress.done:,} of {progress.total:,} …")


def _end() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
