"""A real Chromium on the Evaluate page: measure, compare, reload, export, cancel."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, READY, becomes, overflow, pick, served, steady
from tests.helpers.data import real_photos
from tests.helpers.workspaces import fill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app with two collections of the same twelve photographs, beside the samples."""
    folder, photos = tmp_path_factory.mktemp("app"), real_photos(tmp_path_factory.mktemp("real"), 12)
    (folder / "models").symlink_to(models_dir)
    for name in ("photos", "twin"):
        fill(folder, photos, name)
    with served(folder, models_dir) as address:
        yield address


@pytest.fixture
def page(page, server) -> object:
    """Open the page, and wait until the samples are there."""
    page.goto(f"{server}/Evaluate")
    page.get_by_role("button", name="Measure").wait_for(timeout=JOB_MS)
    page.wait_for_selector('[data-testid="stProgress"]', state="detached", timeout=JOB_MS)
    page.wait_for_selector(READY)
    return page


def choose_collections(page, *names: str) -> None:
    box = page.locator(".st-key-evaluate_collections")
    box.get_by_role("button", name="Clear all").click()
    page.get_by_text("Choose a collection to measure").wait_for()
    for name in names:
        pick(page, box.locator("input"), page.get_by_role("option", name=name, exact=True), typed=name)
    page.keyboard.press("Escape")
    asks(page, 12)


def asks(page, count: int) -> None:
    """Wait until so many questions can be asked."""
    page.wait_for_function(
        f"document.querySelector('input[aria-label=Questions]')?.value.endsWith('pictures ({count})')"
    )
    page.wait_for_selector(READY)


def measure(page) -> None:
    page.get_by_role("button", name="Measure").click()


def test_a_reranker_is_measured_kept_compared_and_exported(page, server):
    choose_collections(page, "photos", "twin")
    measure(page)
    page.get_by_text("Evaluate twin with pocket-reranker").wait_for()
    page.get_by_text("the result is on the Evaluate page").nth(1).wait_for(timeout=JOB_MS)
    verdict = page.get_by_text("stayed the same")
    expect(verdict).to_contain_text("n = 12")
    page.get_by_text("Differences from the other 1, question by question").wait_for()
    page.locator(".st-key-evaluation_chart svg .scatter").first.wait_for()
    page.wait_for_url(re.compile("[?&]e="))
    address = page.url
    page.goto(f"{server}/Search")
    page.go_back()
    page.get_by_text("stayed the same").wait_for()
    page.reload()
    page.get_by_text("stayed the same").wait_for()
    becomes(page, lambda: page.url, address)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV, one line per question").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 12 and all(row["after ndcg@10"] for row in rows)
    with page.expect_download() as download:
        page.get_by_role("button", name="Everything, with TREC files").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert "reranked.run" in archive.namelist()


def test_a_long_one_can_be_cancelled_and_keeps_nothing(page, server):
    asks(page, 195)
    measure(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled").first.wait_for(timeout=JOB_MS)
    page.reload()
    page.get_by_text("Evaluate samples with pocket-reranker").wait_for()
    page.wait_for_selector(READY)  # the whole page is drawn
    expect(page.get_by_text("samples · Pocket")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(page, server, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_selector(READY)
    assert steady(page, lambda: overflow(page)) == 0
