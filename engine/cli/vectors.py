"""`python -m engine import` and `export`: vectors in and out as Parquet or NPZ, and files out as a data set.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.output import (
    CollectionOption,
    JsonOption,
    end_stage,
    note,
    open_workspace,
    report_document,
    say,
    say_json,
    show_progress,
)
from engine.datasets.export import MediaExport

if TYPE_CHECKING:
    from engine.types import IngestReport
    from engine.vector_files.export import ExportReport

_SUFFIXES = (".parquet", ".npz")


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
    with open_workspace() as workspace:
        report = workspace.import_vectors(
            collection,
            file,
            label=model_label,
            media_root=file.absolute().parent,
            skip_bad=skip_bad,
            on_progress=show_progress,
        )
    end_stage()
    if not as_json:
        say(_words(report))
        return
    for one in report.notes:
        note(one)
    say_json(report_document(report))


def export(
    collection: CollectionOption,
    out: Annotated[Path, typer.Option(help="The file to write: .parquet or .npz; see --media.")],
    media: Annotated[
        bool,
        typer.Option("--media", help="The files as a data set: --out is a new folder, a .zip or a .parquet."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a collection's vectors with ids, texts, pairs and labels into a file, or its files themselves."""
    if not media and out.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(
            f"--out ends in {' or '.join(_SUFFIXES)}, not in {out.suffix!r}; for the files themselves, with "
            f"captions and labels, add --media"
        )
    if media and out.suffix.lower() == ".npz":
        raise typer.BadParameter("an .npz holds vectors: with --media, --out is a folder, .zip or .parquet")
    with open_workspace() as workspace:
        write = workspace.export_media if media else workspace.export_vectors
        report = write(collection, out, on_progress=show_progress)
    end_stage()
    assert report is not None  # nothing cancels it here
    if as_json:
        say_json({**asdict(report), "path": str(report.path)})
    else:
        say(_media_words(report) if isinstance(report, MediaExport) else _exported(report))


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


def _media_words(report: MediaExport) -> str:
    lines = [
        f"{report.files:,} files with {report.captions:,} captions and {report.texts:,} texts written to "
        f"{report.path}",
        *(f"  left out: {one.count:,}. {one.reason}: {', '.join(one.examples)}" for one in report.left_out),
        *(f"  {one}" for one in report.notes),
    ]
    return "\n".join(lines)
