"""Speed as ratios within one run, because times on a shared machine are worth little.

    .venv/bin/python benchmarks/speed.py [ingest] [search] [paint] [import]

ingest  500 JPEGs of about 500 px into a new collection, against a bare ONNX Runtime forward loop over
        ready-made tensors, and against two plain PyTorch loops over the same files: one file at a
        time without gradients, and batches of 32 as a beginner writes them (gradients on).
search  one text question over 100,000 stored vectors, against encoding plus Chroma's own query.
paint   the first text of Home in Chromium, against a one-line Streamlit app.
import  `import engine`, and what a cold search leaves in sys.modules.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

ROUNDS = 5
FILES = 500
VECTORS = 100_000
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def main() -> None:
    """Run the named measurements, or all."""
    chosen = sys.argv[1:] or ["ingest", "search", "paint", "import"]
    for name in chosen:
        {"ingest": bench_ingest, "search": bench_search, "paint": bench_paint, "import": bench_import}[name]()


def opened(folder: str) -> Workspace:
    """Open a workspace on a new folder that shares the project's converted weights."""
    from engine.settings import load_settings
    from engine.workspace import Workspace

    models = PROJECT / ".gapscope" / "models"
    models.mkdir(parents=True, exist_ok=True)
    (Path(folder) / "models").symlink_to(models)
    return Workspace.open(load_settings(data_dir=folder))


def make_jpegs(folder: Path) -> list[Path]:
    """Write 500 different JPEGs of 500 x 375 pixels, cut from the sample photographs."""
    from PIL import Image

    sources = sorted((PROJECT / "sample_data" / "photos").glob("*.jpg"))
    rng = np.random.default_rng(0)
    paths = []
    for number in range(FILES):
        with Image.open(sources[number % len(sources)]) as picture:
            left, top = (float(rng.uniform(0, 0.1)) * side for side in picture.size)
            cut = picture.resize((500, 375), box=(left, top, picture.width, picture.height))
        path = folder / f"{number:04d}.jpg"
        cut.convert("RGB").save(path, quality=85)
        paths.append(path)
    return paths


def bench_ingest() -> None:
    """Compare ingest with a bare forward loop and with plain PyTorch, in turn, several rounds."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = make_jpegs(Path(scratch))
        others = {
            "bare": bare_loop(paths),
            "pytorch, one at a time, no gradients": pytorch_loop(paths[:64], batch=1, gradients=False),
            "pytorch, batches of 32, gradients on": pytorch_loop(paths[:64], batch=32, gradients=True),
        }
        rates: dict[str, list[float]] = {"ingest": [], **{name: [] for name in others}}
        for _ in range(ROUNDS):
            rates["ingest"].append(ingest_rate(Path(scratch)))
            for name, measure in others.items():
                rates[name].append(measure())
    for name in others:
        ratios = [a / b for a, b in zip(rates["ingest"], rates[name], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"ingest / {name}: median {statistics.median(ratios):.2f} (rounds {shown}; n = {FILES} JPEGs)")
    print("files per second:", {key: [round(rate, 1) for rate in value] for key, value in rates.items()})


def ingest_rate(folder: Path) -> float:
    """Return files per second of one whole ingest into a new store."""
    from engine.datasets.find import find_sources

    with tempfile.TemporaryDirectory() as data:
        workspace = opened(data)
        with workspace.models.embedder():
            pass
        found = find_sources([folder], max_file_bytes=10**9)
        started = time.perf_counter()
        report = workspace.ingest("bench", found)
        seconds = time.perf_counter() - started
        workspace.close()
    assert report.stored == FILES, report
    return FILES / seconds


def bare_loop(paths: list[Path]) -> Callable[[], float]:
    """Return a measurement of ONNX Runtime alone: default session, ready-made batches of 8."""
    import onnxruntime
    from PIL import Image

    from engine.models.pocket.convert import ensure_converted
    from engine.models.pocket.image import prepare

    folder = ensure_converted(PROJECT / ".gapscope" / "models", lambda stage: None)
    session = onnxruntime.InferenceSession(folder / "image.onnx", providers=["CPUExecutionProvider"])
    tensors = np.stack([prepare(Image.open(path).convert("RGB")) for path in paths])

    def measure() -> float:
        started = time.perf_counter()
        for start in range(0, len(tensors), 8):
            session.run(None, {"pixels": tensors[start : start + 8]})
        return len(tensors) / (time.perf_counter() - started)

    measure()
    return measure


def pytorch_loop(paths: list[Path], *, batch: int, gradients: bool) -> Callable[[], float]:
    """Return a measurement of a plain loop: open, resize, crop, forward."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    from engine.models.pocket.recipe import RECIPE, verified

    network = EfficientNet.from_name(RECIPE.image["architecture"])
    network.load_state_dict(torch.load(verified(RECIPE.image), weights_only=True))
    network.eval()

    def tensor(path: Path) -> torch.Tensor:
        picture = Image.open(path).convert("RGB")
        scale = 297 / min(picture.size)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), 3)
        left, top = (picture.width - 260) // 2, (picture.height - 260) // 2
        pixels = np.asarray(picture.crop((left, top, left + 260, top + 260)), np.float32)
        return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)

    def measure() -> float:
        started = time.perf_counter()
        with torch.set_grad_enabled(gradients):
            for start in range(0, len(paths), batch):
                inputs = torch.stack([tensor(path) for path in paths[start : start + batch]])
                torch.softmax(network(inputs), -1)
        return len(paths) / (time.perf_counter() - started)

    return measure


def bench_search() -> None:
    """Compare a search with its two unavoidable parts over 100,000 stored vectors."""
    from engine.models.catalog import POCKET
    from engine.models.pocket.embedder import Pocket
    from engine.search.search import Query
    from engine.types import Filters, Item, VectorTable
    from engine.vectors import normalise

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, 384))
    with tempfile.TemporaryDirectory() as data:
        workspace = opened(data)
        embedder = Pocket.load(POCKET, workspace.settings.data_dir / "models", 2, lambda stage: None)
        for start in range(0, VECTORS, 2000):
            ids = tuple(f"{number:064x}" for number in range(start, start + 2000))
            vectors = normalise(centres[rng.integers(0, 2000, 2000)] + rng.normal(size=(2000, 384)))
            items = [Item(i, "image", f"{i[-6:]}.jpg", "image/jpeg", i, media=i, size_bytes=1) for i in ids]
            made_by = embedder.provenance
            workspace.store.upsert("bench", made_by, "image", items, VectorTable(ids, vectors))
        part = workspace.store._part("bench", "image")
        ratios, totals = [], []
        for number in range(200):
            text = f"a question about number {number}"
            started = time.perf_counter()
            vector = embedder.encode_query("text", [text])
            part.query(query_embeddings=vector, n_results=10, include=["metadatas", "distances"])
            middle = time.perf_counter()
            workspace.search(Query(text=text), collection="bench", k=10, filters=Filters(("image",)))
            ended = time.perf_counter()
            ratios.append((ended - middle) / (middle - started))
            totals.append((ended - middle) * 1000)
        workspace.close()
    quartiles = statistics.quantiles(ratios[20:], n=4)
    print(
        f"search / (encode + query): median {quartiles[1]:.2f}, quartiles {quartiles[0]:.2f} to "
        f"{quartiles[2]:.2f} (180 questions, {VECTORS:,} vectors of 384, k = 10, median "
        f"{statistics.median(totals[20:]):.1f} ms)"
    )


def bench_paint() -> None:
    """Compare the time to the first text on the page, first visit after a server start, in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        tiny = Path(scratch, "tiny.py")
        tiny.write_text('import streamlit as st\nst.title("Hello")\n')
        times: dict[str, list[float]] = {"tiny": [], "home": []}
        for _ in range(5):
            times["tiny"].append(first_text(tiny, scratch))
            times["home"].append(first_text(PROJECT / "streamlit_app.py", scratch))
    ratios = [home / tiny for home, tiny in zip(times["home"], times["tiny"], strict=True)]
    shown = {key: [round(value, 2) for value in values] for key, values in times.items()}
    print(f"first text of Home / one-line app: median {statistics.median(ratios):.2f}; seconds {shown}")


def first_text(script: Path, scratch: str) -> float:
    """Return seconds from navigation to the page's heading, in a new server and a new browser."""
    from playwright.sync_api import sync_playwright

    port = 8000 + os.getpid() % 900
    environment = {**os.environ, "GAPSCOPE_DATA_DIR": str(Path(scratch, "data"))}
    flags = ["--server.port", str(port), "--server.headless", "true", "--server.fileWatcherType", "none"]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), *flags],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS
            )
            page = browser.new_page()
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            started = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
            page.wait_for_selector("h1")
            seconds = time.perf_counter() - started
            browser.close()
    finally:
        server.terminate()
        server.wait()
    return seconds


def wait_for(url: str) -> None:
    """Wait until a local address answers."""
    from urllib.error import URLError
    from urllib.request import urlopen

    for _ in range(200):
        try:
            urlopen(url, timeout=1).read()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer")


def bench_import() -> None:
    """Time `import engine`, and show that a cold search loads no torch."""
    code = "import time; t = time.perf_counter(); import engine; print(time.perf_counter() - t)"
    times = [float(run(code)) for _ in range(5)]
    print(f"import engine: median {statistics.median(times) * 1000:.1f} ms")
    with tempfile.TemporaryDirectory() as data:
        workspace = opened(data)
        from engine.datasets.find import find_sources

        photo = PROJECT / "sample_data" / "photos" / "kingfisher-on-branch.jpg"
        workspace.ingest("one", find_sources([photo], max_file_bytes=10**9))
        workspace.close()
        code = (
            "import sys, json; from engine.cli.app import app\n"
            "try: app(['search', 'a bird', '--collection', 'one'])\n"
            "except SystemExit: pass\n"
            "heavy = ('torch', 'transformers', 'umap', 'plotly', 'streamlit')\n"
            "print(json.dumps([name for name in heavy if name in sys.modules]))"
        )
        print("heavy modules after a cold search:", json.loads(run(code, data).splitlines()[-1]))


def run(code: str, data: str = "") -> str:
    """Run Python code in a new process; returns its standard output."""
    environment = {**os.environ, **({"GAPSCOPE_DATA_DIR": data} if data else {})}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
