"""What a filter costs a search, beside the same search without one and beside Chroma's own `where`.

    .venv/bin/python benchmarks/filters.py FOLDER [--items 100000] [--dim 384] [--rounds 60] [--k 10 100]

FOLDER keeps the collection, so that a second run measures at once: synthetic unit vectors in two hundred
groups, all of one modality, each with a number drawn by chance that the filters ask for. The questions are
stored items ("more like this"): nothing is embedded, which would make every ratio smaller. In each round one
question is asked without a filter and with each, in an order drawn by chance.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.search.search import Query
from engine.settings import load_settings
from engine.storage.chroma_rows import chroma_name
from engine.types import Condition, Filters, Item, Provenance, VectorTable
from engine.workspace import Workspace

NAME, GROUPS, SHARES = "bench", 200, (0.001, 0.1, 0.9)
AT_ONCE = 2_000


def vectors_of(count: int, dim: int) -> np.ndarray:
    """Return unit vectors (count, dim) float32 that lie in groups."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(GROUPS, dim)).astype(np.float32)
    rows = centres[draw.integers(GROUPS, size=count)] + draw.normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def numbers_of(count: int) -> np.ndarray:
    """Return the number of every item: (count,) float64 in [0, 1)."""
    return np.random.default_rng(1).random(count)


def make(workspace: Workspace, count: int, dim: int) -> None:
    """Store the collection, where it is not there yet."""
    made_by, vectors, numbers = (
        Provenance.of_import("benchmark", dim),
        vectors_of(count, dim),
        numbers_of(count),
    )
    workspace.ledger.set_provenance(NAME, made_by)
    for start in range(0, count, AT_ONCE):
        rows = range(start, min(start + AT_ONCE, count))
        items = [
            Item(
                f"{row:064x}",
                "image",
                f"photograph {row}.jpg",
                "image/jpeg",
                f"{row:064x}",
                labels=(f"label {row % 40}",),
                width_px=640 + row % 4_000,
                height_px=480,
                size_bytes=100_000 + row,
                added_at=1_700_000_000 + row,
                metadata=(("camera", f"camera {row % 30}"), ("draw", float(numbers[row]))),
            )
            for row in rows
        ]
        table = VectorTable(tuple(item.id for item in items), vectors[start : start + len(items)])
        workspace.ledger.put(NAME, items, table)
        workspace.store.upsert(NAME, made_by, "image", items, table)
        print(f"\rstored {rows.stop:,} of {count:,}", end="", flush=True)
    print()


def filters_of(share: float | None) -> Filters:
    """Return the filter that lets about this share of all items through; None lets all."""
    return Filters(conditions=() if share is None else (Condition("draw", "<", f"{share}"),))


def timed_search(workspace: Workspace, row: int, k: int, share: float | None) -> tuple[float, list[str]]:
    """Return how long one search took in ms, and the ids it found."""
    started = time.perf_counter()
    trace = workspace.search(Query(like=f"{row:064x}"), collection=NAME, k=k, filters=filters_of(share))
    return (time.perf_counter() - started) * 1000, [hit.item.id for hit in trace.results]


def timed_where(workspace: Workspace, vector: np.ndarray, k: int, share: float) -> float:
    """Return how long Chroma's own `where` takes in ms."""
    part = workspace.store._client.get_collection(chroma_name(NAME, "image"), embedding_function=None)
    started = time.perf_counter()
    part.query(
        query_embeddings=vector[None, :],
        n_results=k,
        where={"meta.draw": {"$lt": share}},
        include=["metadatas", "distances"],
    )
    return (time.perf_counter() - started) * 1000


def measure(workspace: Workspace, count: int, dim: int, rounds: int, k: int) -> None:
    """Print the medians, their ratios to the unfiltered search, and recall against brute force."""
    vectors, numbers = vectors_of(count, dim), numbers_of(count)
    times: dict[object, list[float]] = defaultdict(list)
    ratios: dict[object, list[float]] = defaultdict(list)
    recalls: dict[object, list[float]] = defaultdict(list)
    draw = np.random.default_rng(2)
    for round_, row in enumerate(draw.integers(count, size=rounds).tolist()):
        asked: list[float | None] = [None, *SHARES]
        found = {share: timed_search(workspace, row, k, share) for share in draw.permutation(asked).tolist()}
        for share, (ms, ids) in found.items():
            times[share].append(ms)
            ratios[share].append(ms / found[None][0])
            cosines = vectors @ vectors[row]
            cosines[row] = -2
            if share is not None:
                cosines[numbers >= share] = -2
            best = np.argsort(-cosines)[:k]
            wanted = {f"{one:064x}" for one in best if cosines[one] > -2}
            recalls[share].append(len(wanted & set(ids)) / len(wanted))
        if round_ < 10:
            for share in SHARES:
                times["where", share].append(timed_where(workspace, vectors[row], k, share))
    for share in (None, *SHARES):
        ms = np.median(times[share])
        low, middle, high = np.percentile(ratios[share], [25, 50, 75])
        where = f"; Chroma's where {np.median(times['where', share]):.1f} ms" if share is not None else ""
        print(
            f"k {k}, share {'all' if share is None else share}: {ms:.1f} ms, ratio {middle:.2f} "
            f"({low:.2f} to {high:.2f}), recall {np.mean(recalls[share]):.4f}, n = {rounds}{where}"
        )


def first(workspace: Workspace) -> None:
    """Print what the first search after a write waits for: a column, or all vectors too."""
    for share, k in ((0.001, 10), (0.1, 1_000)):
        workspace.folder.label_items(NAME, [f"{0:064x}"], f"label {time.time()}")
        took, again = (timed_search(workspace, 7, k, share)[0] for _ in range(2))
        print(f"first after a write, share {share}, k {k}: {took:.0f} ms, then {again:.1f} ms")


def main() -> None:
    """Make the collection where it is not there, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    args = parser.parse_args()
    workspace = Workspace.open(load_settings(data_dir=args.folder, min_free_disk_mb=1))
    try:
        if workspace.ledger.counts().get((NAME, "image")) != args.items:
            make(workspace, args.items, args.dim)
        for share in (None, *SHARES):
            timed_search(workspace, 1, 10, share)
        for k in args.k:
            measure(workspace, args.items, args.dim, args.rounds, k)
        first(workspace)
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
