"""`python -m engine import` and `export`: vectors in, out as Parquet or NPZ, and files out as a data set.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from engine.datasets.export import MediaExport

if TYPE_CHECKING:
    import numpy as np

    from engine.types import IngestReport
    from engine.vector_files.export import ExportReport
    from engine.vector_files.reading import Reading

_SUFFIXES = (".parquet", ".npz")
NO_COLUMN = "none"


def _column(holds: str) -> Any:
    return typer.Option(help=f"The column of {holds}.", show_default=False)


def import_(
    file: Annotated[Path, typer.Argument(help="A Parquet, NPZ or NPY with ids, vectors and modalities.")],
    collection: CollectionOption,
    model_label: Annotated[
        str | None, typer.Option(help="What made them; by default the file's name.", show_default=False)
    ] = None,
    id_column: Annotated[str | None, _column("ids; none numbers the rows")] = None,
    vector_column: Annotated[str | None, _column("vectors")] = None,
    modality_column: Annotated[str | None, _column("modalities")] = None,
    text_column: Annotated[str | None, _column("texts or captions")] = None,
    pair_column: Annotated[str | None, _column("what rows that belong together share")] = None,
    label_column: Annotated[str | None, _column("labels")] = None,
    media_path_column: Annotated[str | None, _column("paths of pictures")] = None,
    name_column: Annotated[str | None, _column("names")] = None,
    modality: Annotated[
        str | None, typer.Option(help="One modality for all rows: text, image, audio or video.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="The Parquet or CSV beside a .npy; by default looked for there.")
    ] = None,
    unpack: Annotated[str, typer.Option(help="What codes of a quantisation are: binary, int8 or none.")] = "",
    ranges: Annotated[
        Path | None, typer.Option(help="A .npy (2, d): each dimension's least and most, of int8 codes.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip bad rows, and list them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take vectors that another program made; running it again stores nothing twice."""
    if model_label is not None and not model_label.strip():
        raise typer.BadParameter("--model-label is empty: say in a few words what made the vectors")
    columns = {
        "id": id_column,
        "vector": vector_column,
        "modality": modality_column,
        "text": text_column,
        "pair": pair_column,
        "label": label_column,
        "media_path": media_path_column,
        "name": name_column,
    }
    reading, table = _reading(columns, modality, unpack), metadata or _beside(file)
    with open_workspace() as workspace:
        report = workspace.import_vectors(
            collection,
            file,
            label=model_label,
            reading=reading,
            table=(table.name, table) if table else None,
            ranges=_ranges(ranges),
            media_root=file.absolute().parent,
            skip_bad=skip_bad,
            on_progress=show_progress,
        )
    end_stage()
    if as_json:
        say_json(report_document(report))
    else:
        say(_words(report))


def _reading(columns: Mapping[str, str | None], modality: str | None, unpack: str) -> Reading:
    from engine.vector_files.reading import Reading

    given = [(role, name) for role, name in columns.items() if name is not None]
    chosen = tuple((role, "" if name == NO_COLUMN else name) for role, name in given)
    try:
        return Reading.of({"columns": chosen, "modality": modality, "unpack": unpack})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _beside(file: Path) -> Path | None:
    from engine.vector_files.npy import beside

    return beside(file)


def _ranges(path: Path | None) -> np.ndarray | None:
    """Return the ranges (2, d), any float dtype, of int8 codes. Raises VectorFileError."""
    if path is None:
        return None
    from engine.vector_files.arrays import read_array

    return read_array(path)


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
    failed = f"{report.failed_count:,} left out or without their media file"
    lines = [
        f"{report.stored:,} vectors stored, {report.skipped:,} were there, {failed}",
        *(f"  {one.name}: {one.reason}" for one in report.failed),
    ]
    if report.failed_count > len(report.failed):
        lines.append(f"  These are the first {len(report.failed):,}. All of them, by kind:")
        lines += [f"  {counted_line(kind)}" for kind in report.failed_kinds]
    lines += report.notes
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
