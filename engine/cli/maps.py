"""`python -m engine project` and `gap`: a collection's map into a file, and its modality gap in numbers.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

import csv
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import ProjectionError
from engine.settings import load_settings
from engine.workspace import Workspace

if TYPE_CHECKING:
    from engine.maps.kept import Map
    from engine.maps.projection import ProjectionSettings

CollectionOption = Annotated[str, typer.Option("--collection", help="The collection's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def project(
    collection: CollectionOption,
    out: Annotated[Path, typer.Option(help="A .csv, .parquet or .npz file for the coordinates.")],
    method: Annotated[str, typer.Option(help="umap or pca.")] = "umap",
    dims: Annotated[int, typer.Option(help="2 or 3.")] = 2,
    n_neighbors: Annotated[int, typer.Option(help="UMAP's: 2 to 500.")] = 15,
    min_dist: Annotated[float, typer.Option(help="UMAP's: 0 to 1.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed gives another map.")] = 42,
    fit_on: Annotated[str | None, typer.Option(help="Fit one modality; place the others in it.")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Fit again, even if a map is kept.")] = False,
) -> None:
    """Project all modalities of a collection together, and write their coordinates."""
    settings = _settings(method, dims, n_neighbors, min_dist, seed, fit_on)
    write = _WRITERS.get(out.suffix)
    if write is None:
        raise typer.BadParameter(f"--out ends in {', '.join(_WRITERS)}, not {out.name!r}")
    with closing(Workspace.open(load_settings())) as workspace:
        content = workspace.maps.content_of(collection)
        kept = None if refit else workspace.maps.open(content, settings)
        found = kept or workspace.maps.fit(content, settings, on_progress=_show)
    _end()
    try:
        write(out, found)
    except OSError as error:
        raise ProjectionError(f"{out} cannot be written: {error.strerror}. Choose another place.") from error
    placed = f", {found.placed:,} of them placed and not fitted" if found.placed else ""
    sys.stdout.write(f"{len(found.projection):,} items by {found.projection.method}{placed} -> {out}\n")
    if found.projection.note:
        sys.stdout.write(f"{found.projection.note}\n")


def gap(
    collection: CollectionOption,
    k: Annotated[int, typer.Option(min=1, max=500, help="How many neighbours purity looks at.")] = 15,
    seed: Annotated[int, typer.Option(help="Seed of samples, splits and permutations.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure the gap between every two modalities, from the vectors and never from a map."""
    with closing(Workspace.open(load_settings())) as workspace:
        document = gap_document(workspace, collection, k=k, seed=seed)
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    counts = ", ".join(f"{count:,} {modality}" for modality, count in document["counts"].items())
    sys.stdout.write(f"{counts}, model {document['model']}, seed {seed}\n")
    if not document["pairs"]:
        sys.stdout.write("one modality alone has no gap\n")
    for one in document["pairs"]:
        sys.stdout.write(f"{one['a']} and {one['b']}, {one['pairs']:,} pairs\n")
        for name in ("l2m", "l2m_unbiased", "rmg", "separability", "purity"):
            value = one[name]
            shown = "too few items" if value is None else f"{value:.4f}"
            sys.stdout.write(f"{name:>14}  {shown}\n")


def gap_document(workspace: Workspace, collection: str, *, k: int, seed: int) -> dict[str, Any]:
    """Return what `gap --json` prints. Raises CollectionNotFoundError, StoreError."""
    from engine.analysis.gap import gaps

    info = workspace.store.info(collection)
    tables = {modality: workspace.store.vectors(collection, modality) for modality in info.counts}
    pair_of = {
        item.id: item.pair for modality in tables for item in workspace.store.all_items(collection, modality)
    }
    return {
        "collection": collection,
        "model": info.made_by.model,
        "counts": {modality: len(table) for modality, table in tables.items()},
        "pairs": [asdict(one) for one in gaps(tables, pair_of, k=k, seed=seed)],
    }


def _settings(
    method: str, dims: int, n_neighbors: int, min_dist: float, seed: int, fit_on: str | None
) -> ProjectionSettings:
    from engine.maps.projection import ProjectionSettings

    try:
        return ProjectionSettings(
            method=method,  # type: ignore[arg-type]
            dims=dims,
            n_neighbors=n_neighbors,
            min_dist=min_dist,
            seed=seed,
            fit_on=fit_on,  # type: ignore[arg-type]
        )
    except ProjectionError as error:
        raise typer.BadParameter(str(error)) from error


def _columns(found: Map) -> dict[str, list[Any]]:
    projection = found.projection
    places = {
        name: projection.places[:, place].tolist()
        for place, name in zip(range(projection.places.shape[1]), "xyz", strict=False)
    }
    modality = [found.modality[id_] for id_ in projection.ids]
    return {"id": list(projection.ids), "modality": modality, **places, "placed": projection.placed.tolist()}


def _to_csv(path: Path, found: Map) -> None:
    columns = _columns(found)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _to_parquet(path: Path, found: Map) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(_columns(found)), path)


def _to_npz(path: Path, found: Map) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.savez(stream, **{name: np.array(column) for name, column in _columns(found).items()})


_WRITERS = {".csv": _to_csv, ".parquet": _to_parquet, ".npz": _to_npz}


def _show(share: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[KFitting {share:.0%} …")


def _end() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
