"""A real Chromium on the Rerank page: Pocket's reranker, twins, marks, a reload, and a joint reranker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from engine.jobs.run import SAMPLES_STATE, samples_version
from engine.workspace import Workspace
from tests.helpers.chromium import JOB_MS, LOAD_MS, READY, becomes, overflow, served, steady
from tests.helpers.data import real_photos, sources
from tests.helpers.workspaces import give_model, make_settings

COUNT = 12
LEFT, RIGHT = ".gs-rr-list .gs-rr", '[class*="st-key-rr_card_rr0_"]'
MARKED = "rgb(20, 163, 148)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, pocket: object) -> Iterator[str]:
    """Run the app on a data folder that holds a dozen photographs, and not the samples."""
    folder = tmp_path_factory.mktemp("app")
    workspace = give_model(Workspace.open(make_settings(folder, models_dir)), pocket)
    workspace.ledger.set_state(SAMPLES_STATE, samples_version())
    workspace.ingest("photos", sources([real_photos(tmp_path_factory.mktemp("real"), COUNT)]))
    workspace.close()
    (folder / "models").unlink()
    with served(folder, models_dir) as address:
        yield address


def shown(page) -> tuple[list[str], list[str]]:
    """Wait for the lists; returns the cards of both in their order."""
    page.wait_for_selector(RIGHT, timeout=JOB_MS)
    page.wait_for_selector(READY)
    return steady(page, lambda: (twins(page, LEFT), twins(page, f"{RIGHT} .gs-rr")))


def twins(page, cards: str) -> list[str]:
    return page.locator(cards).evaluate_all("all => all.map((one) => one.dataset.twin)")


def outlined(page) -> list[str]:
    """Return which cards are marked, by their computed style; the outline fades in."""
    script = "(cards, colour) => cards.filter(c => getComputedStyle(c).outlineColor === colour)"
    return page.evaluate(
        f"colour => ({script})([...document.querySelectorAll('.gs-rr')], colour).map(c => c.dataset.twin)",
        MARKED,
    )


def test_the_same_cards_stand_in_another_order_and_know_their_twins(page, server):
    page.goto(f"{server}/Rerank?q=an+old+building&collection=photos")
    left, right = shown(page)
    assert sorted(left) == sorted(right) and len(left) == COUNT
    assert left != right
    page.mouse.move(5, 5)
    becomes(page, lambda: outlined(page), [])
    page.locator(LEFT).nth(2).hover()
    becomes(page, lambda: outlined(page), [left[2]] * 2)
    page.locator(RIGHT).nth(5).hover(position={"x": 30, "y": 60})
    becomes(page, lambda: outlined(page), [right[5]] * 2)
    page.mouse.move(5, 5)
    page.locator(RIGHT).nth(1).locator(".gs-rr").focus()
    becomes(page, lambda: outlined(page), [right[1]] * 2)
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for(state="attached")


def test_a_mark_says_whether_it_was_worth_it_and_stays_over_a_reload(page, server):
    page.goto(f"{server}/Rerank?q=something+green&collection=photos&k=20&top=10")
    left, right = shown(page)
    page.get_by_text("Whether it was worth it is not known").wait_for()
    moved = next(place for place, twin in enumerate(right) if left.index(twin) > place)
    page.locator(RIGHT).nth(moved).get_by_role("button", name="Right", exact=True).click()
    banner = page.get_by_text("Worth it: the right picture rose")
    expect(banner).to_contain_text(f"from {left.index(right[moved]) + 1} to {moved + 1}")
    expect(page.locator(".gs-right")).to_have_count(2)
    page.reload()
    banner.wait_for()
    becomes(page, lambda: shown(page), (left, right))
    expect(page.get_by_label("What are you looking for?")).to_have_value("something green")
    page.wait_for_url(lambda url: "k=20" in url and "top=10" in url)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_lists_stand_side_by_side_and_nothing_overflows(page, server, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{server}/Rerank?q=something+green&collection=photos&k=20&top=10")
    shown(page)
    left, right = (steady(page, page.locator(side).first.bounding_box) for side in (LEFT, RIGHT))
    assert left["x"] + left["width"] <= right["x"] and right["x"] + right["width"] <= width
    assert abs(left["y"] - right["y"]) < 2
    assert steady(page, lambda: overflow(page)) == 0


def test_a_joint_reranker_from_a_folder_reads_the_pictures_beside_pockets(page, server, tiny):
    page.goto(f"{server}/Rerank?q=a+red+flower&collection=photos")
    shown(page)
    box = page.locator(".st-key-second input")
    box.fill(str(tiny("qwen_reranker")))
    box.press("Enter")
    page.get_by_role("button", name="Load qwen_reranker").click()
    page.get_by_text("of all pairs in the same order").wait_for(timeout=LOAD_MS)
    shown(page)
    expect(page.locator('[class*="st-key-rr_card_rr1_"]')).to_have_count(COUNT)
    expect(page.get_by_text(f"{COUNT} of {COUNT} scored")).to_have_count(2)
    page.reload()
    page.get_by_text("of all pairs in the same order").wait_for(timeout=LOAD_MS)
    page.wait_for_url("**second=*")
