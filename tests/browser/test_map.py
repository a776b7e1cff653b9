"""A real Chromium on the Map page: lasso, label, search, recolour, ask, hover, compare two seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import becomes, overflow, pick, served_with, steady
from tests.helpers.data import real_photos
from tests.helpers.map_page import (
    canvas_box,
    cards_of,
    kept_places,
    lasso,
    of_map,
    on_screen,
    open_map,
    settled,
    some_of,
)

CANVAS = ".st-key-map_a canvas"


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
    zoom = becomes(page, lambda: of_map(page, "m.camera.zoom"), pytest.approx(1.5))
    version = of_map(page, "m.version")
    choose(page, "Colour by", "label")
    page.wait_for_url("**colour=label*")
    choose(page, "Pair lines", "selected")
    page.wait_for_url("**lines=selected*")
    becomes(page, lambda: of_map(page, "m.lines.length"), lambda ends: ends > 0)
    assert of_map(page, "m.camera.zoom") == zoom and of_map(page, "m.version") == version
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


def test_the_map_comes_back_after_the_browser_took_its_context_away(page, server, folder):
    open_map(page, server)
    inside = select_some(page, folder)
    canvas = page.locator(CANVAS)
    canvas.press("+")
    becomes(page, lambda: of_map(page, "m.camera.zoom"), pytest.approx(1.5))
    note = page.locator(".gs-canvas .note")
    before = steady(page, lambda: picture(page))
    of_map(page, "(window.taken = m.painter.gl.getExtension('WEBGL_lose_context')).loseContext()")
    expect(note).to_contain_text("took the map's graphics memory away")
    blank = becomes(page, lambda: picture(page), lambda now: now != before)
    of_map(page, "m.draw()")
    page.wait_for_timeout(200)
    assert picture(page) == blank  # nothing is drawn, and the console has no error
    page.evaluate("window.taken.restoreContext()")
    expect(note).to_have_text("")
    becomes(page, lambda: picture(page), before)
    assert of_map(page, "m.chosen.size") == len(inside)
    canvas.press("0")
    page.locator('[data-tool="none"]').click()
    page.get_by_role("heading", name="selected").wait_for(state="detached")
    settled(page)
    assert select_some(page, folder, 8) != inside


def test_places_and_colours_that_come_while_the_context_is_lost_are_drawn_with_the_next(page, server):
    open_map(page, server, "&colour=label")
    wanted = steady(page, lambda: picture(page))
    open_map(page, server)
    assert picture(page) != wanted
    of_map(page, "(window.taken = m.painter.gl.getExtension('WEBGL_lose_context')).loseContext()")
    expect(page.locator(".gs-canvas .note")).not_to_be_empty()
    choose(page, "Colour by", "label")
    page.wait_for_url("**colour=label*")
    settled(page)
    page.evaluate("window.taken.restoreContext()")
    becomes(page, lambda: picture(page), wanted)


def test_keys_move_and_zoom_the_map_and_tab_reaches_its_buttons(page, server):
    open_map(page, server)
    box, canvas = canvas_box(page), page.locator(CANVAS)
    page.get_by_role("combobox", name="Pair lines").first.focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused(page)["name"].startswith("Map of the collection"):
            break
    assert focused(page)["outline"] == "solid"
    for key, pan in (
        ("ArrowRight", [-120 / box["width"], 0]),
        ("ArrowUp", [-120 / box["width"], -120 / box["height"]]),
        ("ArrowLeft", [0, -120 / box["height"]]),
        ("ArrowDown", [0, 0]),
    ):
        before = steady(page, lambda: picture(page))
        page.keyboard.press(key)
        becomes(page, lambda: of_map(page, "m.camera.pan"), pytest.approx(pan))
        becomes(page, lambda: picture(page), lambda now, before=before: now != before)
    assert canvas_box(page) == box  # the page did not scroll
    for key, zoom in (("+", 1.5), ("=", 2.25), ("-", 1.5), ("0", 1), ("-", 1 / 1.5), ("Home", 1)):
        page.keyboard.press(key)
        becomes(page, lambda: of_map(page, "m.camera.zoom"), pytest.approx(zoom))
        assert of_map(page, "m.camera.pan") == pytest.approx([0, 0])
    for name in ("Move", "Lasso", "Box", "Zoom in", "Zoom out", "Fit", "Clear", "PNG"):
        page.keyboard.press("Tab")
        assert focused(page) == {"name": name, "outline": "solid"}
        if name == "Zoom in":
            page.keyboard.press("Enter")
            becomes(page, lambda: of_map(page, "m.camera.zoom"), pytest.approx(1.5))
    expect(canvas).to_have_role("application")


def test_a_pointer_that_is_taken_away_or_escape_selects_nothing(page, server):
    open_map(page, server)
    box = canvas_box(page)
    left, top, right, bottom = 200, 60, box["width"] - 60, box["height"] - 60
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    corners = [(box["x"] + x, box["y"] + y) for x, y in corners]
    page.locator('[data-tool="lasso"]').click()
    touch(page, corners, "touchCancel")
    becomes(page, lambda: of_map(page, "m.drag"), None)
    expect(page.locator(".gs-canvas svg .lasso")).to_have_count(0)
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1])
    page.mouse.move(*corners[2])
    expect(page.locator(".gs-canvas svg .lasso")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".gs-canvas svg .lasso")).to_have_count(0)
    page.mouse.up()
    settled(page)
    assert of_map(page, "m.chosen.size") == 0
    expect(page.get_by_role("heading", name="selected")).to_have_count(0)
    touch(page, corners, "touchEnd")
    count = becomes(page, lambda: of_map(page, "m.chosen.size"), lambda size: size > 0)
    page.get_by_role("heading", name=f"{count} selected").wait_for()


def test_locations_in_the_programs_are_looked_up_once_and_not_when_drawing(page, server):
    open_map(page, server)
    page.evaluate("""() => {
      window.lookups = 0;
      const of = WebGL2RenderingContext.prototype;
      for (const name of ["getAttribLocation", "getUniformLocation"]) {
        const real = of[name];
        of[name] = function (...all) { window.lookups++; return real.apply(this, all); };
      }
    }""")
    frames = of_map(page, "m.painter.frames")
    page.locator(CANVAS).press("ArrowRight")
    becomes(page, lambda: of_map(page, "m.painter.frames"), lambda now: now > frames)
    assert page.evaluate("window.lookups") == 0
    of_map(page, "m.painter.build()")
    assert page.evaluate("window.lookups") > 0


def picture(page) -> bytes:
    """Return the pixels of the map as a PNG."""
    return page.locator(CANVAS).screenshot()


def focused(page) -> dict[str, str]:
    """Return the name of what has the keyboard's focus, also inside a component, and its outline."""
    return page.evaluate("""() => {
      let at = document.activeElement;
      while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
      const name = at?.getAttribute("aria-label") ?? at?.innerText ?? "";
      return { name, outline: getComputedStyle(at).outlineStyle };
    }""")


def touch(page, corners, end: str) -> None:
    """Draw with a finger, which is lifted (touchEnd) or taken away by the system (touchCancel)."""
    session = page.context.new_cdp_session(page)
    for at, (x, y) in enumerate(corners):
        kind = "touchMove" if at else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    expect(page.locator(".gs-canvas svg .lasso")).to_have_count(1)
    session.send("Input.dispatchTouchEvent", {"type": end, "touchPoints": []})
    session.detach()


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
