"""A real Chromium on the Map page: lasso, label, search, recolour, ask, hover, compare two seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import becomes, overflow, pick, steady
from tests.helpers.data import real_photos
from tests.helpers.map_page import (
    canvas_box,
    cards_of,
    kept_places,
    lasso,
    of_map,
    on_screen,
    open_map,
    served_with,
    settled,
    some_of,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app with 40 photographs and their captions, and no samples, which a fit would wait for."""
    with served_with(folder, real_photos(tmp_path_factory.mktemp("real"), 40), models_dir) as address:
        yield address


def select_some(page, folder: Path, count: int = 6) -> set[str]:
    """Lasso the items round a place and return the ids that lie inside, by the kept places."""
    ids, places = kept_places(folder)
    corners, inside = some_of(on_screen(places, canvas_box(page)), count)
    lasso(page, corners)
    page.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
    settled(page)
    return {ids[row] for row in inside}


def choose(page, label: str, option: str) -> None:
    option = page.get_by_role("option", name=option, exact=True)
    pick(page, page.get_by_role("combobox", name=label).first, option)
    settled(page)


def test_a_lasso_shows_the_right_items_and_its_label_is_found_in_search(page, server, folder):
    open_map(page, server)
    inside = select_some(page, folder)
    assert len(inside) >= 6
    becomes(page, lambda: cards_of(page), inside)
    page.get_by_role("button", name="Label", exact=True).click()
    page.get_by_label("Label for the selected items").fill("my find")
    page.get_by_label("Label for the selected items").press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text(f"was added to {len(inside)} items").wait_for()
    page.goto(f"{server}/Search?collection=photos&q=a+thing&labels=my+find&show=All+by+score")
    page.get_by_text(re.compile(rf"^{len(inside)} of ")).wait_for()
    settled(page)
    open_map(page, server, "&colour=label")
    expect(page.get_by_role("heading", name="selected")).to_have_count(0)  # another visit


def test_a_new_colour_keeps_zoom_and_selection_and_lines_follow_pairs(page, server, folder):
    open_map(page, server)
    inside = select_some(page, folder)
    page.get_by_role("button", name="Zoom in").or_(page.locator('[data-tool="in"]')).first.click()
    zoom = becomes(page, lambda: of_map(page, "m.zoom"), pytest.approx(1.5))
    version = of_map(page, "m.version")
    choose(page, "Colour by", "label")
    page.wait_for_url("**colour=label*")
    choose(page, "Pair lines", "selected")
    page.wait_for_url("**lines=selected*")
    becomes(page, lambda: of_map(page, "m.lines.length"), lambda ends: ends > 0)
    assert of_map(page, "m.zoom") == zoom and of_map(page, "m.version") == version
    assert of_map(page, "m.chosen.size") == len(inside)
    becomes(page, lambda: cards_of(page), inside)
    ends = of_map(page, "[...m.lines]")
    chosen = set(of_map(page, "[...m.chosen]"))
    assert all(chosen & set(ends[at : at + 2]) for at in range(0, len(ends), 2))
    page.locator('[data-tool="none"]').first.click()
    page.get_by_role("heading", name="selected").wait_for(state="detached")
    settled(page)
    becomes(page, lambda: of_map(page, "m.lines.length"), 0)


def test_a_question_lands_at_its_nearest_items_and_a_point_opens(page, server, folder):
    open_map(page, server, "&q=a+bird&colour=similarity")
    page.get_by_text("The cross is where").wait_for()
    becomes(page, lambda: of_map(page, "m.extra?.label"), "a bird")
    marked = becomes(page, lambda: of_map(page, "[...m.marks]"), lambda rows: len(rows) == 20)
    place = of_map(page, "m.extra.place")
    _, places = kept_places(folder)
    assert place == pytest.approx(np.median(places[marked[:10]], axis=0).tolist(), abs=1e-4)
    points = on_screen(places, canvas_box(page))
    page.mouse.move(*points[marked[0]])
    tip = page.locator(".tip b")
    expect(tip).to_have_text(re.compile(r"\.jpg$"))
    page.mouse.click(*points[marked[0]])
    page.get_by_role("dialog").get_by_text("Delete this item").wait_for()


def test_two_seeds_stand_beside_each_other_with_one_selection(page, server, folder):
    open_map(page, server, "&beside=another+seed", maps=2)
    page.get_by_text("seed 43").first.wait_for()
    assert of_map(page, "m.version") != of_map(page, "m.version", "b")
    box = canvas_box(page, "b")
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    lasso(page, [(x + 5, y + 5), (x + w / 2, y + 5), (x + w / 2, y + h - 5), (x + 5, y + h - 5)], "b")
    page.get_by_role("heading", name="selected").wait_for()
    settled(page)
    count = of_map(page, "m.chosen.size", "b")
    assert 0 < count < 80
    becomes(page, lambda: of_map(page, "m.chosen.size"), count)
    page.get_by_role("heading", name=f"{count} selected").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(page, server, width):
    page.set_viewport_size({"width": width, "height": 900})
    open_map(page, server)
    assert steady(page, lambda: overflow(page)) == 0
    page.set_viewport_size({"width": 1280, "height": 900})
