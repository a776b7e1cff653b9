"""A real Chromium uploads the golden vectors of CLIP, opens their map, and reads the published gap there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import (
    JOB_MS,
    LOAD_MS,
    READY,
    becomes,
    give_files,
    overflow,
    press,
    served_empty,
    steady,
)
from tests.helpers.golden import CLIP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app on an empty folder, and without the samples, which an import would wait for."""
    folder = tmp_path_factory.mktemp("app")
    with served_empty(folder, models_dir) as address:
        yield address


def upload(page, server: str, file: Path, collection: str) -> None:
    page.goto(f"{server}/Library")
    page.wait_for_selector(READY)
    press(
        page, page.get_by_text("Add vectors from Parquet, NPZ or NPY"), page.get_by_text("A file of vectors")
    )
    give_files(page, [str(file)], key="vectors_")
    page.get_by_label("Name of the collection").fill(collection)
    page.get_by_label("Name of the collection").press("Enter")
    page.wait_for_selector(READY)
    expect(page.get_by_label("Name of the collection")).to_have_value(collection)
    page.get_by_role("button", name="Import").click()


@pytest.mark.skipif(not CLIP.exists(), reason="the golden vectors of CLIP are not on this machine")
def test_golden_vectors_show_the_published_gap_on_the_map(page, server, tmp_path):
    images, captions = np.load(CLIP)  # (500, 512) each; row i of one pairs with row i of the other
    pictures = [f"img-{n}" for n in range(len(images))]
    np.savez(
        tmp_path / "clip.npz",
        id=[*pictures, *(f"cap-{n}" for n in range(len(captions)))],
        vector=np.concatenate([images, captions]),
        modality=["image"] * len(images) + ["text"] * len(captions),
        pair=[""] * len(images) + pictures,
    )
    upload(page, server, tmp_path / "clip.npz", "clip")
    page.get_by_text("Done: 1,000 items stored").wait_for(timeout=JOB_MS)
    page.get_by_role("link", name="Open the map").click()
    page.locator("[data-drawn]").first.wait_for(timeout=LOAD_MS)
    page.get_by_text("All numbers, and what they mean").click()
    gap = page.locator('.st-key-map_tables [data-testid="stDataFrame"]').last
    gap.wait_for()
    page.wait_for_selector(READY)
    cells = becomes(page, lambda: cells_of(gap), lambda found: "L2M" in found)
    number = {name: float(cells[name].split()[0]) for name in ("L2M", "RMG", "separability")}
    assert number["L2M"] == pytest.approx(0.8514, abs=1e-3)
    assert number["RMG"] == pytest.approx(0.5915, abs=1e-3)
    assert number["separability"] == 1.0


def cells_of(table) -> dict[str, str]:
    """Return the first row of a table by its headings; the canvas keeps them as text for screen readers.

    Nothing is returned of a table that is not drawn yet.
    """
    cells = "[...row.querySelectorAll('th, td')].map((cell) => cell.textContent)"
    rows = table.locator("tr").evaluate_all(f"all => all.slice(0, 2).map((row) => {cells})")
    drawn = len(rows) == 2 and len(rows[0]) == len(rows[1])
    return dict(zip(*rows, strict=True)) if drawn else {}


def test_a_bad_file_is_refused_on_a_phone(page, server, tmp_path):
    page.set_viewport_size({"width": 390, "height": 900})
    path = tmp_path / "<img src=x onerror=alert(1)>.npz"
    vector = np.array([[1.0, 2.0], [0, 0], [np.nan, 1]], np.float32)
    np.savez(path, id=["a", "b", "c"], vector=vector, modality=["text"] * 3)
    upload(page, server, path, "bad")
    page.get_by_text(re.compile("2 rows are bad of 3, and nothing was imported")).wait_for(timeout=JOB_MS)
    assert steady(page, lambda: overflow(page)) == 0
    assert page.evaluate("document.querySelectorAll('img[src=\"x\"]').length") == 0
    page.get_by_role("button", name="Skip bad rows", exact=True).click()
    page.get_by_text("Done: 1 items stored").wait_for(timeout=JOB_MS)
