"""What it costs to decode pictures in processes of their own, against decoding them in this one.

    .venv/bin/python benchmarks/decoding.py [--files 200] [--rounds 3]

Prints files a second of the samples and of JPEGs of 12 megapixels, as an ingest with Pocket decodes them,
both ways in turn; what a process takes to start and to hold; and the most that large pictures take side by
side.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.ingest.samples import SAMPLE_DIR, list_samples
from engine.media.decode import Probe, decode, probe, thumbnail_of
from engine.media.decoder import Decoder
from engine.media.images import THUMBNAIL_PX
from engine.media.parts import Limits
from engine.media.processes import PROCESSES
from engine.media.sources import Source
from engine.settings import load_settings

THREADS = 2


def phone_pictures(count: int) -> list[Probe]:
    """Return so many JPEGs of 4000 x 3000, of which twelve differ: clouds with some grain."""
    made = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        clouds = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((4000, 3000), 3)
        grain = Image.effect_noise((4000, 3000), 12).convert("RGB")
        out = io.BytesIO()
        Image.blend(clouds, grain, 0.15).save(out, "JPEG", quality=88)
        made.append(probe(Source(f"{seed}.jpg", out.getvalue)))
    return [made[number % len(made)] for number in range(count)]


def samples(count: int) -> list[Probe]:
    """Return so many of the bundled photographs, over again where there are fewer."""
    files = [SAMPLE_DIR / one.file_name for one in list_samples()]
    made = [probe(Source(path.name, path.read_bytes)) for path in files]
    return [made[number % len(made)] for number in range(count)]


def seconds(probes: list[Probe], limits: Limits, *, apart: bool) -> float:
    """Return how long decoding and thumbnails take, in two threads."""
    started = time.perf_counter()
    with Decoder(limits, threads=THREADS) as decoder:
        if apart:
            list(decoder.decode(probes, lambda probed, parts: thumbnail_of(parts)))
        else:
            list(decoder.each(lambda probed: thumbnail_of(decode(probed, limits)), probes))
    return time.perf_counter() - started


def compare(name: str, probes: list[Probe], limits: Limits, rounds: int) -> None:
    """Print files a second both ways, in turn."""
    ratios, rates = [], []
    seconds(probes[:THREADS], limits, apart=True)  # it starts the processes
    for _ in range(rounds):
        here, apart = (seconds(probes, limits, apart=apart) for apart in (False, True))
        ratios.append(here / apart)
        rates.append((len(probes) / here, len(probes) / apart))
    middle = [statistics.median(column) for column in zip(*rates, strict=True)]
    print(
        f"{name}: {middle[0]:.1f} files/s here, {middle[1]:.1f} apart; apart over here "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"n = {rounds} x {len(probes)}"
    )


def start(limits: Limits) -> None:
    """Print what the first file waits for, and what a process holds."""
    PROCESSES.close()
    [small] = samples(1)
    waited = []
    for _ in range(5):
        started = time.perf_counter()
        PROCESSES.decode(small.mime, small.data, limits, lambda: False)
        waited.append(time.perf_counter() - started)
        [one] = PROCESSES._idle
        held = psutil.Process(one._process.pid).memory_info().rss
        PROCESSES.close()
    print(f"start and first file: {statistics.median(waited):.2f} s, n = 5; {held / 1e6:.0f} MB held")


def large(limits: Limits) -> None:
    """Print the most memory that two RGBA PNGs of 99.9 megapixels take side by side, in all processes."""
    side = int(99.9e6**0.5)
    out = io.BytesIO()
    Image.new("RGBA", (side, side), (9, 200, 9, 40)).save(out, "PNG", compress_level=1)
    probes = [probe(Source(f"{number}.png", out.getvalue)) for number in range(4)]
    del out
    me, most = psutil.Process(), 0.0
    before = me.memory_info().rss
    with Decoder(limits, threads=THREADS) as decoder, ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: list(decoder.decode(probes, lambda probed, parts: None)))
        while not running.done():
            children = sum(one.memory_info().rss for one in me.children())
            most = max(most, children + me.memory_info().rss - before)
            time.sleep(0.02)
        running.result()
    print(f"four RGBA PNGs of 99.9 megapixels, two threads: {most / 1e6:,.0f} MB at most in all")


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--files", type=int, default=200)
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args()
    limits = Limits.of(load_settings(data_dir=Path("unused")), THUMBNAIL_PX)
    start(limits)
    compare("samples", samples(given.files), limits, given.rounds)
    compare("12 megapixels", phone_pictures(given.files), limits, given.rounds)
    large(limits)


if __name__ == "__main__":
    main()
