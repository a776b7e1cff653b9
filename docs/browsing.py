"""The app on an empty data folder and a Chromium before it, for the scripts that picture the product.

Knows no story: what is shown, and how, is the business of `make_hero.py` and `make_pictures.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, READY, chromium, served

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / ".github" / "screenshots"
SAMPLES = 195


@contextmanager
def app(kept: str | None = None) -> Iterator[tuple[str, Path, Any]]:
    """Yield the app's address, its data folder and a browser, once the sample photographs are indexed.

    The folder is new and goes afterwards; one that is named is kept, so that the next time is quick.
    """
    with tempfile.TemporaryDirectory(prefix="gapscope-pictures-") as fresh:
        folder = Path(kept or fresh)
        models = folder / "models"
        models.mkdir(parents=True, exist_ok=True)
        with served(folder, models) as address, chromium(Path(fresh) / "profile") as browser:
            browser.set_default_timeout(JOB_MS)
            page = browser.new_page()
            page.goto(address)
            facts = page.locator(".gs-facts").first
            # Both collections of them: the one that Pocket makes, and that of the two towers.
            expect(facts).to_contain_text(str(2 * SAMPLES), timeout=3 * JOB_MS)
            page.wait_for_selector('[data-testid="stProgress"]', state="detached")
            page.close()
            yield address, folder, browser


def settled(page: Any, wait_ms: int = 700) -> None:
    """Wait until the page is drawn and its pictures are there; bars and charts move a little longer."""
    page.wait_for_selector(READY)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function(
        "[...document.images].every((one) => one.complete || one.getBoundingClientRect().top > innerHeight)"
    )
    page.wait_for_timeout(wait_ms)


def open_map(page: Any, address: str) -> None:
    """Open the map of the samples, and wait for its fit and for the numbers beside it."""
    page.goto(f"{address}/Map?collection=samples")
    page.locator("[data-drawn]").first.wait_for(timeout=3 * JOB_MS)
    page.get_by_text("All numbers, and what they mean").wait_for()
    settled(page)
