"""The Map page from a thousand to a million vectors of 384 dimensions, in a folder that is kept.

    .venv/bin/python benchmarks/map.py FOLDER make fit paint [--sizes 1000 10000 100000 1000000]

make   fills one data folder per size with synthetic vectors: pictures and captions in pairs, fifty groups, a
       gap between the two. The store's index gets Chroma's smallest settings (the map never searches it).
fit    a UMAP map by our job against bare umap-learn with the same settings; above MOST_FITTED items ours
       fits a sample and places the others, and bare umap-learn gets the same sample.
paint  from a kept map to a painted plot in Chromium, with a server that was just started and with one that
       has drawn it before: seconds, bytes received, the server's memory; and from a lasso to its gallery.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from engine.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

DIM, GROUPS, RANK, COLLECTION = 384, 50, 12, "synthetic"
AT_ONCE = 5_000
CHROMIUM_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")


def main() -> None:
    """Run the named steps for every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", nargs="+", choices=["make", "fit", "paint"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    steps = {"make": make, "fit": bench_fit, "paint": bench_paint}
    for size in arguments.sizes:
        for step in arguments.steps:
            steps[step](arguments.folder / str(size), size)


def make(folder: Path, size: int) -> None:
    """Fill a data folder, unless it is whole already."""
    import engine.store

    engine.store._HNSW = {**engine.store._HNSW, "max_neighbors": 4, "ef_construction": 8}
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with opened(folder) as workspace:
        workspace.ledger.set_state("samples", "deleted by a person")
        there = {info.name: info.total for info in workspace.store.collections()}.get(COLLECTION, 0)
        for start in range(there // AT_ONCE * AT_ONCE, size, AT_ONCE):
            put(workspace, start, min(AT_ONCE, size - start))
    say("make", size, seconds=time.monotonic() - started, there_before=there)


def put(workspace: Workspace, start: int, count: int) -> None:
    """Write rows start to start + count: each even row a picture, each odd one its caption."""
    from engine.types import Item, Provenance, VectorTable

    made_by = Provenance.of_import("synthetic vectors", DIM)
    if not start:
        workspace.ledger.set_provenance(COLLECTION, made_by)
    rows = np.arange(start, start + count)
    vectors, groups = vectors_of(rows), rows // 2 * 7919 % GROUPS
    for modality, odd in (("image", 0), ("text", 1)):
        some = np.flatnonzero(rows % 2 == odd)
        items = [
            Item(
                id_of(row),
                modality,
                f"{row:07}.jpg" if not odd else f"caption {row:07}",
                "text/plain" if odd else "image/jpeg",
                id_of(row - odd),
                caption=f"something of group {group}, number {row // 2}",
                labels=(f"group {group}",),
            )
            for row, group in zip(rows[some].tolist(), groups[some].tolist(), strict=True)
        ]
        table = VectorTable(tuple(item.id for item in items), vectors[some])
        workspace.ledger.put(COLLECTION, items, table)
        workspace.store.upsert(COLLECTION, made_by, modality, items, table)


def id_of(row: int) -> str:
    """Return the id of a row, as ids look: 64 hexadecimal digits in no order."""
    return hashlib.sha256(f"row {row}".encode()).hexdigest()


def vectors_of(rows: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, DIM) of rows: a group's centre, few directions of its own, noise, and a gap."""
    fixed = np.random.default_rng(0)
    centres = fixed.normal(size=(GROUPS, DIM)).astype(np.float32)
    basis = fixed.normal(size=(RANK, DIM)).astype(np.float32)
    gap = fixed.normal(size=DIM).astype(np.float32)
    pairs = rows // 2
    rng = np.random.default_rng(int(rows[0]) + 1)
    own = rng.normal(size=(int(pairs[-1] - pairs[0]) + 1, RANK)).astype(np.float32)
    places = centres[pairs * 7919 % GROUPS] + 0.3 * own[pairs - pairs[0]] @ basis
    places += 0.2 * rng.normal(size=places.shape).astype(np.float32) + np.outer(rows % 2, gap)
    return (places / np.linalg.norm(places, axis=1, keepdims=True)).astype(np.float32)


@contextmanager
def opened(folder: Path) -> Iterator[Workspace]:
    """Open the workspace of a data folder."""
    from engine.settings import load_settings
    from engine.workspace import Workspace

    workspace = Workspace.open(load_settings(data_dir=folder))
    yield workspace
    workspace.close()


def say(step: str, size: int, **figures: Any) -> None:
    """Print one line of JSON."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"step": step, "n": size, **rounded}), flush=True)


def bench_fit(folder: Path, size: int) -> None:
    raise NotImplementedError


def bench_paint(folder: Path, size: int) -> None:
    raise NotImplementedError


if __name__ == "__main__":
    main()
