"""Time of the embedded reranker: the first look at a picture, and a question once the pictures are known.

    .venv/bin/python benchmarks/rerank_speed.py [FOLDER]

Ingests the bundled photographs into FOLDER (a new one where none is given), looks at each of them for
the first time, then asks their captions and reranks the first 50 through the workspace, as the Search
and Rerank pages do, with what was read from the pictures kept on disk. Written words are timed on
photographs that have a sign put on them. Prints medians and the slowest of twenty.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from attribute_pictures import compose_signs
from PIL import Image
from retrieval import PROJECT

sys.path.insert(0, str(PROJECT))
from engine.datasets.find import find_sources
from engine.models.base import ModelChoice
from engine.models.catalog import DEFAULT_RERANKER
from engine.models.pocket.reranker.reranker import PocketReranker
from engine.search.search import Query
from engine.settings import load_settings
from engine.types import Filters
from engine.workspace import Workspace

SAMPLES = PROJECT / "sample_data"
HITS, QUESTIONS = 50, 100


def main() -> None:
    """Measure everything once, and print it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="gapscope-speed-"))
    rows = [json.loads(line) for line in (SAMPLES / "metadata.jsonl").read_text("utf-8").splitlines()]
    settings = load_settings(data_dir=folder, threads=2)
    with closing(Workspace.open(settings)) as workspace:
        workspace.ingest("speed", find_sources([SAMPLES], max_file_bytes=settings.max_file_bytes))
        with workspace.models.reranker(ModelChoice(DEFAULT_RERANKER)) as reranker:
            first_looks(reranker, [_opened(SAMPLES / row["file_name"]) for row in rows])
        questions = [row["caption"] for row in rows][:QUESTIONS]
        for caption in questions:
            ask(workspace, caption)  # every picture is known from here on
        told(f"search and rerank of {HITS} known pictures", lambda one: ask(workspace, one), questions)
        stages = [ask(workspace, one).timings_ms["rerank"] for one in questions]
        print(f"  of that the reranking: median {np.median(stages):.0f} ms, slowest {max(stages):.0f} ms")


def first_looks(reranker: PocketReranker, photographs: list[Image.Image]) -> None:
    """Time what is read from a picture once, whole and in parts."""
    reader = reranker._reader
    passed = [reader.has_text(one) for one in photographs]
    print(f"{sum(passed)} of {len(passed)} photographs without words pass the gate all the same")
    plain = [one for one, text in zip(photographs, passed, strict=True) if not text]
    signs = list(compose_signs(photographs[:24]))
    prepare = lambda one: reranker.prepare("image", one)  # noqa: E731
    told("the gate, a photograph", reader.has_text, photographs)
    told("the full reading, a photograph with a sign", reader.read, signs)
    told("first look at a photograph that stops at the gate", prepare, plain)
    told("first look at any photograph", prepare, photographs)
    told("first look at a photograph with a sign", prepare, signs)
    sizes = [len(reranker.codec.pack(prepare(one))) for one in plain[:20]]
    print(f"kept of a picture: {np.mean(sizes) / 1000:.0f} KB")


def ask(workspace: Workspace, caption: str) -> Any:
    """Return the trace of a search whose first hits are reranked."""
    return workspace.search(
        Query(text=caption),
        collection="speed",
        k=HITS,
        filters=Filters(modalities=("image",)),
        reranker=ModelChoice(DEFAULT_RERANKER),
        rerank_top=HITS,
    )


def told(what: str, run: Callable[[Any], Any], things: list[Any]) -> None:
    """Run every thing once, and print the median and the 95th percentile in milliseconds."""
    took = []
    for one in things:
        started = time.perf_counter()
        run(one)
        took.append(1000 * (time.perf_counter() - started))
    print(
        f"{what}: median {np.median(took):.0f} ms, slowest of twenty {np.quantile(took, 0.95):.0f} ms "
        f"(n {len(took)}, load {os.getloadavg()[0]:.1f})",
        flush=True,
    )


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


if __name__ == "__main__":
    main()
