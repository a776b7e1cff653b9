"""`python -m engine project` and `gap`: a collection's map into a file, and its modality gap in numbers.

`app.py` owns the command line; this file adds two commands to it.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import (
    CollectionOption,
    JsonOption,
    end_stage,
    open_workspace,
    say,
    say_json,
    show_stage,
)
from engine.errors import ProjectionError

if TYPE_CHECKING:
    from engine.maps.kept import Map
    from engine.maps.projection import ProjectionSettings
    from engine.types import Modality, VectorTable
    from engine.workspace import Workspace


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
    with open_workspace() as workspace:
        content = workspace.maps.content_of(collection)
        kept = None if refit else workspace.maps.open(content, settings)
        found = kept or workspace.maps.fit(content, settings, on_progress=_show_fitting)
    end_stage()
    try:
        write(out, found)
    except OSError as error:
        raise ProjectionError(f"{out} cannot be written: {error.strerror}. Choose another place.") from error
    placed = f", {found.placed:,} of them placed and not fitted" if found.placed else ""
    say(f"{len(found.projection):,} items by {found.projection.method}{placed} -> {out}")
    if found.projection.note:
        say(found.projection.note)


def gap(
    collection: CollectionOption,
    k: Annotated[int, typer.Option(min=1, max=500, help="How many neighbours purity looks at.")] = 15,
    seed: Annotated[int, typer.Option(help="Seed of samples, splits and permutations.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure the gap between every two modalities, from the vectors and never from a map."""
    with open_workspace() as workspace:
        document = gap_document(workspace, collection, k=k, seed=seed)
    if as_json:
        say_json(document)
        return
    counts = ", ".join(f"{count:,} {modality}" for modality, count in document["counts"].items())
    say(f"{counts}, model {document['model']}, seed {seed}")
    if not document["pairs"]:
        say("one modality alone has no gap")
    for one in document["pairs"]:
        say(f"{one['a']} and {one['b']}, {one['pairs']:,} pairs")
        for name in ("l2m", "l2m_unbiased", "rmg", "separability", "purity"):
            value = one[name]
            shown = "too few items" if value is None else f"{value:.4f}"
            say(f"{name:>14}  {shown}")


def gap_document(workspace: Workspace, collection: str, *, k: int, seed: int) -> dict[str, Any]:
    """Return what `gap --json` prints, by the numbers of the Map page.

    Raises CollectionNotFoundError, StoreError, FolderError.
    """
    from engine.analysis.gap import gaps
    from engine.maps.gap_input import gap_input

    info = workspace.store.info(collection)
    tables: dict[Modality, VectorTable] = {}
    pair_of: dict[str, int] = {}
    if info.total:  # nothing can be read of an empty one, and no gap is its answer
        content = workspace.maps.content_of(collection)
        tables, pair_of = gap_input(content.vectors(), content.columns)
    return {
        "collection": collection,
        "model": info.made_by.model,
        "counts": {one: len(tables[one]) if one in tables else 0 for one in info.counts},
        "pairs": [asdict(one) for one in gaps(tables, pair_of, k=k, seed=seed)],
    }


def _settings(
    method: str, dims: int, n_neighbors: int, min_dist: float, seed: int, fit_on: str | None
) -> ProjectionSettings:
    from engine.maps.projection import ProjectionSettings

    try:
        return ProjectionSettings(
            method=method,  # type: ignore[arg-type]  # checked there, as it was typed
            dims=dims,
            n_neighbors=n_neighbors,
            min_dist=min_dist,
            seed=seed,
            fit_on=fit_on,  # type: ignore[arg-type]  # likewise
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
        arrays = {name: np.array(column) for name, column in _columns(found).items()}
        np.savez(stream, allow_pickle=False, **arrays)


_WRITERS = {".csv": _to_csv, ".parquet": _to_parquet, ".npz": _to_npz}


def _show_fitting(share: float) -> None:
    show_stage(f"Fitting {share:.0%}")
