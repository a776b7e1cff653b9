"""A real Chromium on the Map page, part two: pairs, 3D, new items, plain plot, columns, twins, labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from engine.maps.files import read_projection
from engine.storage.ledger import Ledger
from engine.types import Item
from tests.helpers.chromium import (
    JOB_MS,
    READY,
    becomes,
    chromium,
    give_files,
    pick,
    served_with,
    steady,
    tab_of,
)
from tests.helpers.data import generated_photos, real_photos
from tests.helpers.map_page import (
    around,
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

LABEL = "Label for the selected items"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app with 40 photographs and their captions; the first one is there twice, as other bytes."""
    photos = real_photos(tmp_path_factory.mktemp("real"), 40)
    Image.open(min(photos.glob("*.jpg"))).convert("RGB").save(photos / "twin.jpg", quality=88)
    with served_with(folder, photos, models_dir) as address:
        yield address


def stored(folder: Path) -> dict[str, Item]:
    """Return what the ledger holds, by id."""
    ledger = Ledger(folder / "ledger.sqlite3")
    kinds = [modality for _, modality in ledger.counts()]
    items = {item.id: item for kind in kinds for page, _ in ledger.pages("photos", kind) for item in page}
    ledger.close()
    return items


def drawn_points(page, folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the ids of the map and where their points are in the window."""
    ids, places = kept_places(folder, of_map(page, "m.n"))
    return ids, on_screen(places, canvas_box(page))


def legend(page) -> list[list[str]]:
    """Return the words of each entry of the map's legend."""
    script = "all => [...all[0]?.querySelectorAll('span') ?? []].map((one) => one.innerText.trim())"
    return [entry.rsplit(maxsplit=1) for entry in page.locator(".gs-legend").evaluate_all(script)]


def give_label(page, label: str, count: int) -> None:
    page.get_by_role("button", name="Label", exact=True).click()
    page.get_by_label(LABEL).fill(label)
    page.get_by_label(LABEL).press("Enter")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text(f"was added to {count} items").wait_for()


def test_the_ends_of_a_line_are_a_picture_and_its_caption(page, server, folder):
    open_map(page, server, "&lines=all")
    ids, points = drawn_points(page, folder)
    ends = np.array(becomes(page, lambda: of_map(page, "[...m.lines]"), len)).reshape(-1, 2)
    items = stored(folder)
    groups = Counter(item.pair for item in items.values())
    assert {items[ids[row]].pair for row in ends.flat} == {pair for pair, n in groups.items() if n == 2}
    for one, other in ends:
        assert items[ids[one]].pair == items[ids[other]].pair
        assert {items[ids[one]].modality, items[ids[other]].modality} == {"image", "text"}
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    line = ends[np.argmax(apart.min(1)[ends].min(1))]  # of which no end is hidden by another point
    for row in line:
        page.mouse.click(*points[row])
        page.locator(f".st-key-delete_{ids[row]}").wait_for()  # the dialog is that of this item
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        settled(page)


def test_a_lasso_in_three_dimensions_selects_what_lies_inside_as_it_is_seen(page, server, folder):
    open_map(page, server, "&method=UMAP+3D")
    box = canvas_box(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1] - 60, steps=5)  # dragging turns the map
    page.mouse.up()
    a, b = 0.5 + 90 / 150, 0.6 - 60 / 150
    assert of_map(page, "m.camera.angles") == pytest.approx([a, b])
    ids, places = kept_places(folder, of_map(page, "m.n"), 3)
    low, high = places.min(0), places.max(0)
    scaled = (places - (low + high) / 2) / ((high - low).max() / 2)
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    seen = (scaled @ (about_x @ about_y).T)[:, :2]
    points = np.array(middle) + seen * 0.94 * min(box["width"], box["height"]) / 2 * [1, -1]
    corners, inside = some_of(points)
    lasso(page, corners)
    page.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
    assert len(inside) >= 6
    becomes(page, lambda: cards_of(page), {ids[row] for row in inside})
    assert set(of_map(page, "[...m.chosen]")) == set(inside)


def test_a_box_on_the_plain_plot_selects_and_the_plot_comes_back(page, server, folder):
    open_plain(page, f"{server}/Map?collection=photos&plain=true")
    ids, places = kept_places(folder, len(stored(folder)))
    plot = page.locator(".st-key-map_plain_a .js-plotly-plot")
    script = """(plot, places) => {
      const {xaxis: x, yaxis: y} = plot._fullLayout, box = plot.getBoundingClientRect();
      return places.map(([a, b]) => [box.x + x._offset + x.d2p(a), box.y + y._offset + y.d2p(b)]);
    }"""
    points = np.array(steady(page, lambda: plot.evaluate(script, places.tolist())))
    corners, inside = some_of(points)
    plot.hover()
    plot.locator('.modebar-btn[data-title="Box Select"]').click()
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[2], steps=5)
    page.mouse.up()
    page.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
    becomes(page, lambda: cards_of(page), {ids[row] for row in inside})
    page.reload()
    open_plain(page)
    assert "plain=true" in page.url
    drawn = "plot => Math.max(...plot.data.map((trace) => trace.x.length))"
    becomes(page, lambda: plot.evaluate(drawn), len(ids))
    expect(page.locator("[data-drawn]")).to_have_count(0)


def open_plain(page, address: str = "") -> None:
    if address:
        page.goto(address)
    page.locator(".st-key-map_plain_a .js-plotly-plot .points path").first.wait_for(timeout=JOB_MS)
    page.get_by_text("All numbers, and what they mean").wait_for()
    settled(page)


def test_a_column_colours_by_its_values_and_one_of_many_numbers_by_a_scale(page, server, folder):
    open_map(page, server, "&colour=column+width+in+pixels")
    expect(page.get_by_role("combobox", name="Colour by").first).to_have_value("column width in pixels")
    widths = Counter(str(item.width_px) if item.width_px else "none" for item in stored(folder).values())
    becomes(page, lambda: {name: int(n) for name, n in legend(page)}, dict(widths))
    open_map(page, server, "&colour=column+size+in+bytes")
    sizes = [item.size_bytes for item in stored(folder).values() if item.size_bytes]
    low, high = np.percentile(sizes, (1, 99))
    ticks = [[f"{at:,.6g}"] for at in (low, (low + high) / 2, high)]
    assert len(set(sizes)) > 20
    becomes(page, lambda: legend(page)[:3], ticks)


def test_a_label_of_a_selection_opens_in_search(page, server, folder):
    open_map(page, server)
    ids, points = drawn_points(page, folder)
    corners, inside = some_of(points)
    lasso(page, corners)
    page.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
    settled(page)
    give_label(page, "seen here", len(inside))
    settled(page)
    search = page.get_by_role("link", name="Open in Search")
    if not search.is_visible():
        page.get_by_role("button", name="Label", exact=True).click()
    search.click()
    page.wait_for_url(re.compile(r"/Search\?.*labels=seen(\+|%20)here"))
    page.get_by_label("What are you looking for?").fill("a thing")
    page.get_by_label("What are you looking for?").press("Enter")
    kinds = Counter(stored(folder)[ids[row]].modality for row in inside)
    page.get_by_text(re.compile(rf"^{kinds['image']} of ")).wait_for()


def test_more_like_an_item_of_a_selection(page, server, folder):
    open_map(page, server)
    ids, points = drawn_points(page, folder)
    corners, inside = some_of(points)
    lasso(page, corners)
    page.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
    becomes(page, lambda: cards_of(page), {ids[row] for row in inside})
    settled(page)
    card = page.locator('[class*="st-key-acts_map_"]').first
    wanted = re.search("acts_map_([0-9a-f]{64})", card.get_attribute("class"))[1]
    card.get_by_role("link", name="Similar").click()
    page.wait_for_url(re.compile(rf"/Search\?.*like={wanted}"))
    page.get_by_text("More like this item").wait_for()
    page.locator('[class*="st-key-grid_hit"] .gs-card').first.wait_for()


def test_who_comes_back_with_another_browser_sees_the_label_in_the_legend(page, server, folder, tmp_path):
    with chromium(tmp_path / "first") as first, tab_of(first) as tab:
        open_map(tab, server)
        _, points = drawn_points(tab, folder)
        for tool in ("out", "out"):  # so that a lasso round the whole map stays clear of the buttons
            tab.locator(f'[data-tool="{tool}"]').click()
        box, zoom = canvas_box(tab), becomes(tab, lambda: of_map(tab, "m.camera.zoom"), lambda now: now < 1)
        middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        inside = points = middle + (points - middle) * zoom
        lasso(tab, around(points))  # all: of an item's labels the commonest has a colour
        tab.get_by_role("heading", name=f"{len(inside)} selected").wait_for()
        settled(tab)
        give_label(tab, "zebra of mine", len(inside))
    given = {item.id for item in stored(folder).values() if "zebra of mine" in item.labels}
    assert len(given) == len(inside)
    open_map(page, server, "&colour=label")
    becomes(page, lambda: "zebra of mine" in [name for name, *_ in legend(page)], True)


def test_one_of_two_nearly_equal_pictures_is_kept(page, server, folder):
    before = stored(folder)
    twin = next(item for item in before.values() if item.name == "twin.jpg")
    size = (twin.width_px, twin.height_px)
    names = sorted(item.name for item in before.values() if item.modality == "image" and item != twin)
    first = next(item for item in before.values() if item.name == names[0] and item.modality == "image")
    assert (first.width_px, first.height_px) == size
    both = {first.id, twin.id}
    open_map(page, server)
    assert of_map(page, "m.n") == len(before)
    page.get_by_text("Near duplicates", exact=True).click()
    keeps = page.locator(", ".join(f".st-key-keep_{id_}" for id_ in both))
    expect(keeps).to_have_count(1, timeout=JOB_MS)
    keep = re.search("st-key-keep_([0-9a-f]{64})", keeps.get_attribute("class"))[1]
    cards = page.locator(f'[class*="st-key-twins_{keep}_"]')
    expect(cards).to_have_count(2)
    settled(page)
    keeps.get_by_role("button").click()
    page.locator(f".st-key-keep_go_{keep} button").click()
    becomes(page, lambda: set(before) - set(stored(folder)), both - {keep})
    becomes(page, lambda: of_map(page, "m.n"), len(before) - 1)
    expect(keeps).to_have_count(0)


def test_what_somebody_adds_is_placed_and_a_refit_fits_it(page, server, folder, browser, tmp_path):
    open_map(page, server)
    before, version = len(stored(folder)), of_map(page, "m.version")
    files = sorted(generated_photos(tmp_path / "new", 3, seed=9).glob("*.jpg"))
    with tab_of(browser) as other:
        other.bring_to_front()
        other.goto(f"{server}/Library")
        other.get_by_label("Add to").wait_for()
        other.wait_for_selector(READY)
        pick(other, other.get_by_label("Add to"), other.get_by_role("option", name="photos", exact=True))
        give_files(other, [str(file) for file in files])
        other.get_by_role("button", name="Add to the collection").click()
        other.get_by_text("Done: 3 items stored").wait_for(timeout=JOB_MS)
    page.bring_to_front()
    page.reload()
    said = page.get_by_text("3 new items were placed at the nearest fitted neighbours, not fitted.")
    said.wait_for(timeout=JOB_MS)
    becomes(page, lambda: of_map(page, "m?.n ?? 0"), before + 3)
    assert of_map(page, "m.version") != version
    settled(page)
    page.get_by_role("button", name="Refit").click()
    said.wait_for(state="detached", timeout=JOB_MS)
    page.get_by_text(f"{before + 3} items · UMAP 2D").wait_for()
    fitted = [
        read_projection(path) for path in (folder / "maps").glob("*.npz") if ".columns." not in path.name
    ]
    whole = [found for found, _ in fitted if found.places.shape == (before + 3, 2)]
    assert whole and not any(found.added.any() or found.placed.any() for found in whole)
