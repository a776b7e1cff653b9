"""A real Chromium uploads the golden vectors of CLIP, opens their map, and reads the published gap there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import MARKS, READY, chromium, served, tab_of
from test_vector_import import GOLDEN

from engine.ledger import Ledger

pytestmark = MARKS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app on an empty folder, and without the samples, which an import would wait for."""
    folder = tmp_path_factory.mktemp("app")
    ledger = Ledger(folder / "ledger.sqlite3")
    ledger.set_state("samples", "deleted by a person")
    ledger.close()
    with served(folder, models_dir) as address:
        yield address


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[object]:
    with chromium(tmp_path / "profile") as browser, tab_of(browser) as opened:
        yield opened


def upload(tab, server: str, file: Path, collection: str) -> None:
    tab.goto(f"{server}/Library")
    tab.wait_for_selector(READY)
    tab.get_by_text("Add vectors from Parquet or NPZ").click()
    tab.set_input_files('[class*="st-key-vectors_"] input[type="file"]', str(file))
    tab.get_by_label("Name of the collection").fill(collection)
    tab.get_by_label("Name of the collection").press("Enter")
    tab.wait_for_selector(READY)
    tab.get_by_role("button", name="Import").click()


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden vectors of CLIP are not on this machine")
def test_golden_vectors_show_the_published_gap_on_the_map(tab, server, tmp_path):
    images, captions = np.load(GOLDEN)  # (500, 512) each; row i of one pairs with row i of the other
    pictures = [f"img-{n}" for n in range(len(images))]
    np.savez(
        tmp_path / "clip.npz",
        id=[*pictures, *(f"cap-{n}" for n in range(len(captions)))],
        vector=np.concatenate([images, captions]),
        modality=["image"] * len(images) + ["text"] * len(captions),
        pair=[""] * len(images) + pictures,
    )
    upload(tab, server, tmp_path / "clip.npz", "clip")
    tab.get_by_text("Done: 1,000 items stored").wait_for(timeout=60_000)
    tab.get_by_role("link", name="Open the map").click()
    tab.locator("[data-drawn]").first.wait_for(timeout=180_000)
    tab.get_by_text("All numbers, and what they mean").click()
    gap = tab.locator('.st-key-map_tables [data-testid="stDataFrame"]').last
    gap.wait_for()
    tab.wait_for_selector(READY)
    cells = cells_of(gap)
    assert float(cells["L2M"]) == pytest.approx(0.8514, abs=1e-3)
    assert float(cells["RMG"]) == pytest.approx(0.5915, abs=1e-3)
    assert float(cells["separability"]) == 1.0


def cells_of(table) -> dict[str, str]:
    """Return the first row of a table by its headings; the canvas keeps them as text for screen readers."""
    headings = table.locator("canvas th").all_inner_texts() or table.locator("th").all_text_contents()
    row = table.locator("tr").nth(1).locator("td").all_text_contents()
    return dict(zip(headings, row, strict=True))


def test_a_bad_file_is_refused_on_a_phone(tab, server, tmp_path):
    tab.set_viewport_size({"width": 390, "height": 900})
    path = tmp_path / "<img src=x onerror=alert(1)>.npz"
    vector = np.array([[1.0, 2.0], [0, 0], [np.nan, 1]], np.float32)
    np.savez(path, id=["a", "b", "c"], vector=vector, modality=["text"] * 3)
    upload(tab, server, path, "bad")
    tab.get_by_text(re.compile("2 rows are bad of 3, and nothing was imported")).wait_for(timeout=60_000)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate("document.querySelectorAll('img[src=\"x\"]').length") == 0
    tab.get_by_role("button", name="Leave bad rows out", exact=True).click()
    tab.get_by_text("Done: 1 items stored").wait_for(timeout=60_000)
