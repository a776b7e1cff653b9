"""`python -m engine project`: a collection's map into a file.

`app.py` owns the command line; this file adds a command to it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import (
    CollectionOption,
    end_stage,
    open_workspace,
    say,
    show_stage,
)
from engine.errors import ProjectionError

if TYPE_CHECKING:
    from engine.maps.kept import Map
    from engine.maps.projection import ProjectionSettings


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
    for note in found.projection.notes:
        say(note)


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
