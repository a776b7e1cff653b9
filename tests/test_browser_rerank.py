"""A real Chromium on the Rerank page: Pocket's reranker, twins, marks, a reload, and a joint reranker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import MARKS, READY, served
from conftest import give_model, make_settings, real_photos, sources
from playwright.sync_api import expect
from test_browser import browser, page  # noqa: F401 - fixtures

from engine.jobs import _SAMPLES_STATE, _samples_version
from engine.workspace import Workspace

pytestmark = MARKS
COUNT = 12
LEFT, RIGHT = ".gs-rr-list .gs-rr", '[class*="st-key-rr_card_rr0_"]'
MARKED = "rgb(20, 163, 148)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, pocket: object) -> Iterator[str]:
    """Run the app on a data folder that holds a dozen photographs, and not the samples."""
    folder = tmp_path_factory.mktemp("app")
    workspace = give_model(Workspace.open(make_settings(folder, models_dir)), pocket)
    workspace.ledger.set_state(_SAMPLES_STATE, _samples_version())
    workspace.ingest("photos", sources([real_photos(tmp_path_factory.mktemp("real"), COUNT)]))
    workspace.close()
    (folder / "models").unlink()
    with served(folder, models_dir) as address:
        yield address


def shown(page) -> tuple[list[str], list[str]]:  # noqa: F811
    """Wait for the lists; returns the cards of both in their order."""
    page.wait_for_selector(RIGHT, timeout=60_000)
    page.wait_for_selector(READY)
    twins = [
        [card.get_attribute("data-twin") for card in page.query_selector_all(cards)]
        for cards in (LEFT, f"{RIGHT} .gs-rr")
    ]
    return twins[0], twins[1]


def outlined(page) -> list[str]:  # noqa: F811
    """Return which cards are marked, by their computed style."""
    page.wait_for_timeout(250)  # the outline fades in
    script = "(cards, colour) => cards.filter(c => getComputedStyle(c).outlineColor === colour)"
    return page.evaluate(
        f"colour => ({script})([...document.querySelectorAll('.gs-rr')], colour).map(c => c.dataset.twin)",
        MARKED,
    )


def test_the_same_cards_stand_in_another_order_and_know_their_twins(page, server):  # noqa: F811
    page.goto(f"{server}/Rerank?q=an+old+building&collection=photos")
    left, right = shown(page)
    assert sorted(left) == sorted(right) and len(left) == COUNT
    assert left != right
    page.mouse.move(5, 5)
    assert outlined(page) == []
    page.locator(LEFT).nth(2).hover()
    assert outlined(page) == [left[2]] * 2
    page.locator(RIGHT).nth(5).hover(position={"x": 30, "y": 60})
    assert outlined(page) == [right[5]] * 2
    page.mouse.move(5, 5)
    page.locator(RIGHT).nth(1).locator(".gs-rr").focus()
    assert outlined(page) == [right[1]] * 2
    assert page.locator(".js-plotly-plot .scatterlayer .trace").count() >= 2


def test_a_mark_says_whether_it_was_worth_it_and_stays_over_a_reload(page, server):  # noqa: F811
    page.goto(f"{server}/Rerank?q=something+green&collection=photos&k=20&top=10")
    left, right = shown(page)
    page.get_by_text("Whether it was worth it is not known").wait_for()
    moved = next(place for place, twin in enumerate(right) if left.index(twin) > place)
    page.locator(RIGHT).nth(moved).get_by_role("button", name="Right", exact=True).click()
    banner = page.get_by_text("Worth it: the right picture rose")
    banner.wait_for()
    assert f"from {left.index(right[moved]) + 1} to {moved + 1}" in banner.inner_text()
    assert page.locator(".gs-right").count() == 2
    page.reload()
    banner.wait_for()
    assert shown(page) == (left, right)
    expect(page.get_by_label("What are you looking for?")).to_have_value("something green")
    assert "k=20" in page.url and "top=10" in page.url


@pytest.mark.parametrize("width", [1280, 390])
def test_the_lists_stand_side_by_side_and_nothing_overflows(page, server, width):  # noqa: F811
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{server}/Rerank?q=something+green&collection=photos&k=20&top=10")
    shown(page)
    left, right = page.locator(LEFT).first.bounding_box(), page.locator(RIGHT).first.bounding_box()
    assert left["x"] + left["width"] <= right["x"] and right["x"] + right["width"] <= width
    assert abs(left["y"] - right["y"]) < 2
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0


def test_a_joint_reranker_from_a_folder_reads_the_pictures_beside_pockets(page, server, tiny):  # noqa: F811
    page.goto(f"{server}/Rerank?q=a+red+flower&collection=photos")
    shown(page)
    box = page.locator(".st-key-second input")
    box.fill(str(tiny("qwen_reranker")))
    box.press("Enter")
    page.get_by_role(
        "button", name="Load qwen_reranker"
    ).click()  # on a busy machine torch takes a minute to import
    page.get_by_text("of all pairs in the same order").wait_for(timeout=240_000)
    shown(page)
    assert page.locator('[class*="st-key-rr_card_rr1_"]').count() == COUNT
    assert page.get_by_text(f"{COUNT} of {COUNT} scored").count() == 2
    page.reload()
    page.get_by_text("of all pairs in the same order").wait_for(timeout=240_000)
    assert "second=" in page.url
