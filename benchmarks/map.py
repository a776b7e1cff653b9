"""The Map page from a thousand to a million vectors of 384 dimensions, in a folder that is kept.

    .venv/bin/python benchmarks/map.py FOLDER make fit paint [--sizes 1000 10000 100000 1000000]
    .venv/bin/python benchmarks/map.py FOLDER first --sizes 400 6000

make   fills one data folder per size with synthetic vectors: pictures and captions in pairs, fifty groups, a
       gap between the two. The store's index gets Chroma's smallest settings (the map never searches it).
fit    a UMAP map by our job against bare umap-learn with the same settings; above MOST_FITTED items ours
       fits a sample and places the others, and bare umap-learn gets the same sample.
first  the first map of a new process: with UMAP as it comes, which compiles in every process and searches
       above 4,096 rows by NN-descent; with no kernels kept yet; with all kept. FOLDER gets the kernels.
paint  from a kept map to a painted plot in Chromium, with a server that was just started and with one that
       has drawn it before: seconds, bytes received, the server's memory; and from a lasso to its gallery.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np

if TYPE_CHECKING:
    from engine.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

DIM, GROUPS, RANK, COLLECTION = 384, 50, 12, "synthetic"
AT_ONCE = 5_000
VISITS = 3
CHROMIUM_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")


def main() -> None:
    """Run the named steps for every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", nargs="+", choices=["make", "fit", "first", "paint"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    steps = {"make": make, "fit": bench_fit, "first": bench_first, "paint": bench_paint}
    for size in arguments.sizes:
        for step in arguments.steps:
            steps[step](arguments.folder / str(size), size)


def make(folder: Path, size: int) -> None:
    """Fill a data folder, unless it is whole already."""
    from engine.storage.chroma_rows import HNSW

    HNSW.update(max_neighbors=4, ef_construction=8)
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
    """Fit the Map page's first map as its job does, and bare umap-learn on the same rows, turn by turn."""
    from engine.maps.projection import MOST_FITTED, ProjectionSettings, warm_up

    warm_up()
    settings = ProjectionSettings()
    with opened(folder) as workspace:
        content = workspace.maps.content_of(COLLECTION)
        table = content.vectors()
        rows = np.random.default_rng(0).permutation(size)[:MOST_FITTED]
        bare_umap(table.vectors[rows[:2_000]])  # compiles what only it uses
        ours, bare = [], []
        for _ in range(5 if size <= 1_000 else 3 if size <= 10_000 else 1):
            bare.append(seconds(lambda: bare_umap(table.vectors[rows])))
            ours.append(seconds(lambda: workspace.maps.fit(content, settings)))
    (ours_s, ours_cpu), (bare_s, bare_cpu) = (np.median(times, axis=0).tolist() for times in (ours, bare))
    ratios = np.median(np.array(ours) / np.array(bare), axis=0).tolist()
    figures = {"ours_s": ours_s, "bare_s": bare_s, "ours_cpu_s": ours_cpu, "bare_cpu_s": bare_cpu}
    say("fit", size, **figures, ratio=ratios[0], ratio_cpu=ratios[1], rounds=len(ours), bare_rows=len(rows))


def bare_umap(vectors: np.ndarray) -> None:
    """Fit umap-learn as its users do, with the page's settings."""
    from umap import UMAP

    UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=42, n_jobs=1).fit_transform(vectors)


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Return how long something takes by the clock and of the processor, which others disturb less."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


FIRST = """
import sys, time
sys.path.insert(0, sys.argv[1])
from benchmarks.map import DIM, np, vectors_of
from engine.maps import projection
from engine.types import VectorTable
rows = np.arange(int(sys.argv[2]))
table = VectorTable(tuple(map(str, rows)), vectors_of(rows))
begun = time.perf_counter()
if sys.argv[3] == "plain":
    import umap
    projection._EXACT_KNN = 4_096
projection.fit(table, ["image"] * len(rows), projection.ProjectionSettings())
print(time.perf_counter() - begun, time.process_time())
"""


def bench_first(folder: Path, size: int) -> None:
    """Fit one map in a new process, three ways."""
    shutil.rmtree(folder / "kernels", ignore_errors=True)
    for how in ("plain", "none kept", "all kept"):
        env = {**os.environ, **({} if how == "plain" else {"NUMBA_CACHE_DIR": str(folder / "kernels")})}
        command = [sys.executable, "-c", FIRST, str(PROJECT), str(size), how]
        started = time.perf_counter()
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, cwd=PROJECT)
        fit_s, cpu_s = map(float, done.stdout.split()[-2:])
        say("first", size, how=how, fit_s=fit_s, process_s=time.perf_counter() - started, cpu_s=cpu_s)


def bench_paint(folder: Path, size: int) -> None:
    """Open the page as a person does: once on a server just started, then as the next visitors do."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or "chromium"
    with served(folder) as (address, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        visits = [visit(browser, address) for _ in range(1 + VISITS)]
        memory = memory_mb(process.pid)
        browser.close()
    first, later = visits[0], visits[1:]
    say(
        "paint",
        size,
        painted_s_first=first["painted"],
        painted_s=statistics.median(one["painted"] for one in later),
        sent_mb=max(one["sent"] for one in visits) / 1e6,
        lasso_s=statistics.median(one["lasso"] for one in later),
        lasso_s_first=first["lasso"],
        selected=later[0]["selected"],
        lasso_mb=later[0]["lasso_sent"] / 1e6,
        server_mb=memory,
        visits=len(later),
    )


def visit(browser: Any, address: str) -> dict[str, float]:
    """Open the map in a new tab, wait for its pixels, draw a lasso, and wait for the gallery."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    session, sent = page.context.new_cdp_session(page), []
    session.send("Network.enable")
    session.on("Network.webSocketFrameReceived", lambda event: sent.append(payload(event["response"])))
    page.goto(f"{address}/Map?collection={COLLECTION}", wait_until="commit")
    # Reading a pixel back waits for everything that was asked of the graphics card before.
    painted = page.wait_for_function(
        """() => {const m = window.__gapscopeMaps?.get("a")?.painter; if (!m?.frames) return 0;
        m.gl.readPixels(0, 0, 1, 1, m.gl.RGBA, m.gl.UNSIGNED_BYTE, new Uint8Array(4));
        return performance.now();}""",
        timeout=300_000,
    ).json_value()
    page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=300_000)
    page.wait_for_timeout(1_000)
    until_painted = sum(sent)
    box = page.locator(".st-key-map_a canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Shift")
    page.mouse.move(middle[0] - 90, middle[1] - 90)
    page.mouse.down()
    for x, y in ((90, -90), (90, 90), (-90, 90), (-90, -90)):
        page.mouse.move(middle[0] + x, middle[1] + y, steps=3)
    started = page.evaluate("performance.now()")
    page.mouse.up()
    page.keyboard.up("Shift")
    page.locator('[class*="st-key-acts_map_"]').first.wait_for(timeout=120_000)
    lasso = page.evaluate("performance.now()") - started
    selected = page.evaluate('window.__gapscopeMaps.get("a").chosen.size')
    page.close()
    return {
        "painted": painted / 1e3,
        "sent": until_painted,
        "lasso": lasso / 1e3,
        "selected": selected,
        "lasso_sent": sum(sent) - until_painted,
    }


def payload(frame: dict[str, Any]) -> int:
    """Return how many bytes a WebSocket frame carried; binary ones are reported in base64."""
    length = len(frame["payloadData"])
    return length * 3 // 4 if frame["opcode"] == 2 else length


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run the app on a data folder, with its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    # Compiling UMAP takes the first half minute after a start, and is no part of drawing a kept map.
    env = {**os.environ, "GAPSCOPE_DATA_DIR": str(folder), "GAPSCOPE_WARM_UP": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=PROJECT, env=env, **quiet)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urlopen(f"{address}/_stcore/health", timeout=1).read()
            break
        except OSError:
            time.sleep(0.1)
    # The first page opens the store, which holds more than the map; a visitor of Home waits for that.
    time.sleep(2)
    yield address, process
    process.terminate()
    process.wait(60)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    line = next(
        one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
