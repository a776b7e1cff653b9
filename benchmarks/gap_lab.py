"""What the Gap lab's slider takes in a browser, and how long many visitors wait who train at once.

    .venv/bin/python benchmarks/gap_lab.py FOLDER slider [--presses 10]
    .venv/bin/python benchmarks/gap_lab.py FOLDER visitors [--visitors 30]

FOLDER is a data folder; an empty one is filled with the samples at its first start, and is kept. `slider`
takes its first collection, for example of `benchmarks/map.py FOLDER make --sizes 2000`, and presses a key on
the slider of the view Change. `visitors` opens as many tabs on the view Train, each with a seed of its own,
and has all of them train at once. Prints a line of JSON with seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from tests.helpers.chromium import JOB_MS, LOAD_MS, READY, chromium, served  # noqa: E402

FIRST_CELL = ".gs-read tbody tr:first-child td:last-child"  # L2M after the edit
TRAINED = "Why, and the trap"
LOOKS_S = 600.0


def main() -> None:
    """Start the app on the folder, and measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=["slider", "visitors"])
    parser.add_argument("--presses", type=int, default=10)
    parser.add_argument("--visitors", type=int, default=30)
    arguments = parser.parse_args()
    models = arguments.folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        served(arguments.folder, models) as address,
        chromium(Path(profile)) as browser,
    ):
        if arguments.what == "slider":
            slider(browser.new_page(), address, arguments.presses)
        else:
            visitors(browser, address, arguments.visitors)


def slider(page: Any, address: str, presses: int) -> None:
    """Press a key on the slider, and time the new numbers and the whole page."""
    page.goto(f"{address}/Gap_lab?view=Change")
    page.get_by_text("The curves are of").wait_for(timeout=LOAD_MS)
    page.wait_for_timeout(60_000)  # UMAP is compiled in the background once
    numbers, whole = [], []
    for _ in range(presses):
        before = page.locator(FIRST_CELL).inner_text()
        began = time.perf_counter()
        page.get_by_role("slider").first.press("ArrowRight")
        page.wait_for_function(
            "([cell, before]) => document.querySelector(cell)?.innerText.trim() !== before.trim()",
            arg=[FIRST_CELL, before],
            polling=20,
        )
        numbers.append(time.perf_counter() - began)
        page.wait_for_selector(READY)
        whole.append(time.perf_counter() - began)
        page.wait_for_timeout(700)
    say("slider", n=presses, to_numbers=statistics.median(numbers), to_all=statistics.median(whole))


def visitors(browser: Any, address: str, count: int) -> None:
    """Have all tabs train at once, and time each until its training is told."""
    pages = []
    for seed in range(count):
        page = browser.new_page()
        page.goto(f"{address}/Gap_lab?view=Train&seed={seed}&temperature=0.05")
        page.get_by_role("button", name="Train", exact=True).wait_for(timeout=LOAD_MS)
        pages.append(page)
    began = time.perf_counter()
    for page in pages:
        page.get_by_role("button", name="Train", exact=True).click(timeout=JOB_MS)
    done: dict[int, float] = {}
    while len(done) < count and time.perf_counter() - began < LOOKS_S:
        for seed, page in enumerate(pages):
            words = "" if seed in done else page.inner_text('[data-testid="stMain"]')
            if TRAINED in words:
                done[seed] = time.perf_counter() - began
    taken = sorted(done.values())
    say("visitors", n=count, trained=len(taken), first=taken[0], last=taken[-1])


def say(what: str, **values: float) -> None:
    """Print a line of JSON."""
    print(json.dumps({"what": what, **{name: round(value, 2) for name, value in values.items()}}), flush=True)


if __name__ == "__main__":
    main()
