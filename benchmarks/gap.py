"""All numbers of the modality gap at once, from a thousand to a hundred thousand vectors a modality.

    .venv/bin/python benchmarks/gap.py [--sizes 1000 10000 100000] [--rounds 5]

Synthetic pairs of 384 dimensions with a gap between them, in memory: no store is read. The first round, which
loads SciPy and scikit-learn, is left out. One line of JSON a size: the median of the rounds in seconds of the
clock and of the processor, and how many rows were compared with all others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.evaluation.gap_matrix import gaps
from engine.types import VectorTable
from engine.vectors import normalise

DIM = 384


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        measure(size, arguments.rounds)


def measure(size: int, rounds: int) -> None:
    """Print the figures of two modalities of so many rows."""
    chance = np.random.default_rng(0)
    shared, apart = chance.normal(size=(size, DIM)), chance.normal(size=DIM)
    tables = {
        name: VectorTable(
            tuple(f"{name} {row}" for row in range(size)),
            normalise(shared + 0.7 * chance.normal(size=(size, DIM)) + side * apart),
        )
        for name, side in (("text", 1), ("image", -1))
    }
    pair_of = {id_: id_.split()[1] for table in tables.values() for id_ in table.ids}
    clock, processor = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter(), time.process_time()
        [found] = gaps(tables, pair_of)
        clock.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    figures = {
        "n": size,
        "rounds": rounds,
        "seconds": round(statistics.median(clock[1:]), 2),
        "seconds_least": round(min(clock[1:]), 2),
        "processor_seconds": round(statistics.median(processor[1:]), 2),
        "sample": found.sample_a,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
