"""A real browser in the Gap lab: expect, train, step back, compare, keep and search; a link; a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, READY, becomes, overflow, press, served_with
from tests.helpers.data import real_photos


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    photos = real_photos(tmp_path_factory.mktemp("real"), 40)
    with served_with(tmp_path_factory.mktemp("lab"), photos, models_dir) as address:
        yield address


def train(page) -> None:
    """Press Train, and wait until the training has been drawn to its end."""
    begun = page.locator('[data-testid="stProgress"]').or_(page.get_by_text("Why, and the trap"))
    press(page, page.get_by_role("button", name="Train"), begun)
    page.get_by_text("Why, and the trap").first.wait_for(timeout=JOB_MS)
    page.wait_for_selector(READY)


def numbers(page) -> list[str]:
    return page.locator(".gs-facts b").all_inner_texts()


def test_a_gap_is_made_looked_back_at_compared_and_kept(page, server):
    page.goto(f"{server}/Gap_lab?view=Train&temperature=0.01")
    page.get_by_role("radio", name="one mixed cloud").or_(page.get_by_text("one mixed cloud")).first.click()
    train(page)
    page.get_by_text(re.compile("You expected one mixed cloud, and it is")).wait_for()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    end = numbers(page)
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("Home")
    start = becomes(page, lambda: numbers(page), lambda found: found and found != end)
    assert float(start[0]) > float(end[0])  # the loss
    box = page.get_by_role("textbox", name="Keep as a collection")
    box.fill("islands")
    box.press("Enter")
    begun = page.get_by_text("See how far the new collection is")
    press(page, page.get_by_role("button", name="Keep", exact=True), begun)
    page.goto(f"{server}/Gap_lab?view=Train&temperature=0.2&start=centred&steps=100")
    train(page)
    page.goto(f"{server}/Search?collection=islands&q=a+bird")
    page.locator('[class*="st-key-grid_hit"] .gs-card').first.wait_for(timeout=JOB_MS)


def test_two_runs_stand_side_by_side(page, server):
    page.goto(f"{server}/Gap_lab?view=Train&temperature=0.01")
    train(page)
    page.get_by_role("spinbutton", name="Mismatched share").fill("0.5")
    train(page)
    page.get_by_text("50% mismatched").first.wait_for()
    page.get_by_text("Beside it the run before").click()
    expect(page.locator(".js-plotly-plot")).to_have_count(6)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(page, server, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{server}/Gap_lab?view=Train&steps=20")
    train(page)
    page.wait_for_timeout(500)
    assert overflow(page) <= 0
