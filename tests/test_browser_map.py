"""A real Chromium on the Map page: lasso, label, search, recolour, ask, hover, compare two seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import MARKS, READY, chromium, served, tab_of
from conftest import real_photos
from test_pages import fill

from engine.ledger import Ledger
from engine.map_files import read_projection

pytestmark = MARKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app with 40 photographs and their captions, and no samples, which a fit would wait for."""
    (folder / "models").symlink_to(models_dir)
    ledger = Ledger(folder / "ledger.sqlite3")
    ledger.set_state("samples", "deleted by a person")
    ledger.close()
    fill(folder, real_photos(tmp_path_factory.mktemp("real"), 40))
    with served(folder, models_dir) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with chromium(tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def tab(browser) -> Iterator[object]:
    with tab_of(browser) as opened:
        yield opened


def open_map(tab, server: str, query: str = "", maps: int = 1) -> None:
    tab.goto(f"{server}/Map?collection=photos{query}")
    tab.locator("[data-drawn]").nth(maps - 1).wait_for(timeout=120_000)
    tab.get_by_text("All numbers, and what they mean").wait_for()
    settled(tab)


def settled(tab) -> None:
    tab.wait_for_selector(READY)
    tab.wait_for_timeout(300)


def kept_places(folder: Path) -> tuple[list[str], np.ndarray]:
    """Return ids and places of the newest kept map of 80 items."""
    paths = [path for path in (folder / "maps").glob("*.npz") if ".columns." not in path.name]
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime):
        found, _ = read_projection(path)
        if len(found) == 80:
            return list(found.ids), found.places
    raise AssertionError("no map was kept")


def on_screen(places: np.ndarray, box: dict) -> np.ndarray:
    """Return where the canvas shows places before any zoom, (n, 2) pixels of the window."""
    low, high = places.min(0), places.max(0)
    scaled = (places - (low + high) / 2) / ((high - low).max() / 2)
    side = 0.94 * min(box["width"], box["height"]) / 2
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    return middle + scaled * side * [1, -1]


def lasso(tab, corners, name: str = "a") -> None:
    tab.keyboard.down("Shift")
    tab.mouse.move(*corners[0])
    tab.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        tab.mouse.move(*corner, steps=3)
    tab.mouse.up()
    tab.keyboard.up("Shift")


def around(points: np.ndarray, margin: float = 5) -> list[tuple[float, float]]:
    (left, top), (right, bottom) = points.min(0) - margin, points.max(0) + margin
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def select_some(tab, folder: Path, count: int = 6) -> set[str]:
    """Lasso the items round a place and return the ids that lie inside, by the kept places."""
    ids, places = kept_places(folder)
    points = on_screen(places, tab.locator(".st-key-map_a canvas").bounding_box())
    near = np.argsort(np.abs(points - points[np.argsort(points[:, 0])[20]]).max(1))[:count]
    corners = around(points[near])
    inside = (points > np.array(corners).min(0)).all(1) & (points < np.array(corners).max(0)).all(1)
    lasso(tab, corners)
    tab.get_by_role("heading", name=f"{inside.sum()} selected").wait_for()
    settled(tab)
    return {ids[row] for row in np.flatnonzero(inside)}


def cards_of(tab) -> set[str]:
    classes = tab.locator('[class*="st-key-acts_map_"]').evaluate_all("all => all.map(e => e.className)")
    return {match[1] for one in classes if (match := re.search(r"acts_map_([0-9a-f]{64})", one))}


def of_map(tab, expression: str, name: str = "a"):
    return tab.evaluate(
        f"(() => {{ const m = window.__gapscopeMaps.get('{name}'); return {expression}; }})()"
    )


def choose(tab, label: str, option: str) -> None:
    tab.get_by_role("combobox", name=label).first.click()
    tab.get_by_role("option", name=option, exact=True).click()
    settled(tab)


def test_a_lasso_shows_the_right_items_and_its_label_is_found_in_search(tab, server, folder):
    open_map(tab, server)
    inside = select_some(tab, folder)
    assert cards_of(tab) == inside and len(inside) >= 6
    tab.get_by_role("button", name="Label", exact=True).click()
    tab.get_by_label("Save the selection as a label").fill("my find")
    tab.get_by_label("Save the selection as a label").press("Enter")
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.get_by_text(f"was given to {len(inside)} items").wait_for()
    tab.goto(f"{server}/Search?collection=photos&q=a+thing&labels=my+find&show=All+by+score")
    tab.get_by_text(re.compile(rf"^{len(inside)} of ")).wait_for()
    settled(tab)
    open_map(tab, server, "&colour=label")
    assert tab.get_by_role("heading", name="selected").count() == 0  # another visit


def test_a_new_colour_keeps_zoom_and_selection_and_lines_follow_pairs(tab, server, folder):
    open_map(tab, server)
    inside = select_some(tab, folder)
    tab.get_by_role("button", name="Zoom in").or_(tab.locator('[data-tool="in"]')).first.click()
    tab.wait_for_timeout(300)
    zoom, version = of_map(tab, "m.zoom"), of_map(tab, "m.version")
    assert zoom == pytest.approx(1.5)
    choose(tab, "Colour by", "label")
    assert "colour=label" in tab.url
    choose(tab, "Lines of pairs", "selected")
    assert of_map(tab, "m.zoom") == zoom and of_map(tab, "m.version") == version
    assert of_map(tab, "m.chosen.size") == len(inside)
    assert cards_of(tab) == inside
    ends = of_map(tab, "[...m.lines]")
    chosen = set(of_map(tab, "[...m.chosen]"))
    assert ends and all(chosen & set(ends[at : at + 2]) for at in range(0, len(ends), 2))
    tab.locator('[data-tool="none"]').first.click()
    tab.get_by_role("heading", name="selected").wait_for(state="detached")
    settled(tab)
    assert of_map(tab, "m.lines.length") == 0


def test_a_question_lands_at_its_nearest_items_and_a_point_opens(tab, server, folder):
    open_map(tab, server, "&q=a+bird&colour=similarity")
    tab.get_by_text("The cross is where").wait_for()
    marked, place = of_map(tab, "[...m.marks]"), of_map(tab, "m.extra.place")
    assert len(marked) == 20 and of_map(tab, "m.extra.label") == "a bird"
    _, places = kept_places(folder)
    assert place == pytest.approx(np.median(places[marked[:10]], axis=0).tolist(), abs=1e-4)
    box = tab.locator(".st-key-map_a canvas").bounding_box()
    points = on_screen(places, box)
    tab.mouse.move(*points[marked[0]])
    tip = tab.locator(".tip b")
    tip.wait_for()
    assert tip.inner_text().endswith(".jpg")
    tab.mouse.click(*points[marked[0]])
    tab.get_by_role("dialog").get_by_text("Delete this item").wait_for()


def test_two_seeds_stand_beside_each_other_with_one_selection(tab, server, folder):
    open_map(tab, server, "&beside=another+seed", maps=2)
    tab.get_by_text("seed 43").first.wait_for()
    assert of_map(tab, "m.version") != of_map(tab, "m.version", "b")
    box = tab.locator(".st-key-map_b canvas").bounding_box()
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    lasso(tab, [(x + 5, y + 5), (x + w / 2, y + 5), (x + w / 2, y + h - 5), (x + 5, y + h - 5)], "b")
    tab.get_by_role("heading", name="selected").wait_for()
    settled(tab)
    count = of_map(tab, "m.chosen.size", "b")
    assert 0 < count < 80 and of_map(tab, "m.chosen.size") == count
    tab.get_by_role("heading", name=f"{count} selected").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(tab, server, width):
    tab.set_viewport_size({"width": width, "height": 900})
    open_map(tab, server)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.set_viewport_size({"width": 1280, "height": 900})
