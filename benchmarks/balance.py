"""What a treatment of a mixed list costs a search, over the raw order, in a folder that is kept.

    .venv/bin/python benchmarks/balance.py FOLDER [--items 100000] [--rounds 60] [--k 10]

Fills a data folder with synthetic pairs of 384 dimensions with a gap between them, half texts and half
pictures, unless it is there. Then the same question ("more like this" of a stored text: no model runs) is
asked raw without a meter and in every order, in turn. A line of JSON an order: the median of the rounds in
milliseconds of the processor and of the clock, and what it takes more than raw, as the median of differences
within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

DIM, RANK, NAME, AT_ONCE = 384, 48, "mixed", 5_000
SIDES = {"text": (0.7, 0.0), "image": (0.0, 0.55)}  # how far each lies off along two directions of its own


def main() -> None:
    """Fill the folder, ask, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--k", type=int, default=10)
    arguments = parser.parse_args()
    from engine.settings import load_settings
    from engine.workspace import Workspace

    workspace = Workspace.open(load_settings(data_dir=arguments.folder, min_free_disk_mb=1))
    try:
        fill(workspace, arguments.items // 2)
        ask(workspace, arguments.items // 2, arguments.rounds, arguments.k)
    finally:
        workspace.close()


def fill(workspace: Workspace, count: int) -> None:
    """Store so many pairs, less those that are there."""
    from engine.types import Item, Provenance, VectorTable
    from engine.vectors import normalise

    made_by = Provenance.of_import("synthetic", DIM)
    if workspace.ledger.provenance(NAME) is None:
        workspace.ledger.set_provenance(NAME, made_by)
    there = {info.name: info.total for info in workspace.store.collections()}.get(NAME, 0) // 2
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0]
    for start in range(there // AT_ONCE * AT_ONCE, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        chance = np.random.default_rng([1, start])
        shared = chance.normal(size=(size, RANK)) / np.sqrt(RANK)
        for modality, offsets in SIDES.items():
            rows = chance.normal(size=(size, DIM)) * 0.7 / np.sqrt(DIM)
            rows[:, 2 : 2 + RANK] += shared
            rows[:, :2] += offsets
            vectors = normalise(rows @ turn)
            ids = tuple(item_id(modality, start + n) for n in range(size))
            items = [
                Item(id_, modality, f"{modality} {start + n}.jpg", "", item_id("image", start + n))
                for n, id_ in enumerate(ids)
            ]
            table = VectorTable(ids, vectors)
            workspace.ledger.put(NAME, items, table)
            workspace.store.upsert(NAME, made_by, modality, items, table)


def item_id(modality: str, number: int) -> str:
    """Return the id of a synthetic item."""
    return f"{number + (modality == 'text') * 10**9:064x}"


def ask(workspace: Workspace, count: int, rounds: int, k: int) -> None:
    """Time every order on the same questions, in turn, and print a line for each."""
    from engine.search.search import Query
    from engine.types import BALANCES, Balance

    orders: tuple[Balance | None, ...] = (None, *BALANCES)
    processor: dict[str, list[float]] = {str(one): [] for one in orders}
    clock: dict[str, list[float]] = {str(one): [] for one in orders}
    asked = np.random.default_rng(2).integers(0, count, rounds + 5).tolist()
    for number in asked:
        for one in orders:
            started = time.perf_counter(), time.process_time()
            workspace.search(Query(like=item_id("text", number)), collection=NAME, k=k, balance=one)
            processor[str(one)].append((time.process_time() - started[1]) * 1000)
            clock[str(one)].append((time.perf_counter() - started[0]) * 1000)
    for name in processor:
        figures = {
            "order": "raw, no meter" if name == "None" else name,
            "n": rounds,
            "items": 2 * count,
            "k": k,
        }
        for label, times in (("processor", processor), ("clock", clock)):
            rest, base = times[name][5:], times["None"][5:]  # the first warm the store's caches
            more = [a - b for a, b in zip(rest, base, strict=True)]
            figures[f"{label}_ms"] = round(statistics.median(rest), 1)
            figures[f"{label}_more_ms"] = round(statistics.median(more), 1)
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
