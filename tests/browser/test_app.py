"""A real Chromium against the real app: first start, search, upload, reload, jobs, hostile names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import (
    JOB_MS,
    READY,
    becomes,
    give_files,
    overflow,
    pick,
    press,
    served,
    steady,
    tab_of,
)
from tests.helpers.data import SAMPLES, jpeg

CARD = '[class*="st-key-grid_hit"] .gs-card'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("app"), models_dir) as address:
        yield address


_FILLED: set[str] = set()  # servers that have the samples, which stay


def samples_ready(page, server) -> None:
    """Wait on Home until the sample photographs are indexed, and embedded once more by two towers."""
    if server in _FILLED:
        return
    page.goto(server)
    page.wait_for_selector("h1")
    total = len(list((SAMPLES / "photos").glob("*.jpg")))
    facts_name(page, 2 * total)
    page.wait_for_selector('[data-testid="stProgress"]', state="detached")
    _FILLED.add(server)


def facts_name(page, count: int) -> None:
    expect(page.locator(".gs-facts").first).to_contain_text(str(count), timeout=JOB_MS)


def name_new_collection(page, name: str) -> None:
    """Choose a new collection as the target of an upload, and name it."""
    page.get_by_label("Add to").wait_for()
    page.wait_for_selector(READY)
    if not page.get_by_label("Name of the new collection").count():
        pick(page, page.get_by_label("Add to"), page.get_by_role("option", name="New collection …"))
    page.get_by_label("Name of the new collection").fill(name)
    page.get_by_label("Name of the new collection").press("Enter")
    page.wait_for_selector(READY)
    expect(page.get_by_label("Name of the new collection")).to_have_value(name)


def first_row(page, count: int = 4) -> list[str]:
    page.wait_for_selector(CARD)
    page.wait_for_selector(READY)
    return row_of(page, count)


def row_of(page, count: int = 4) -> list[str]:
    """Return the words of the first cards as they are now."""
    return page.locator(CARD).evaluate_all("(all, n) => all.slice(0, n).map((one) => one.innerText)", count)


def first_row_has(page, pattern: str) -> None:
    becomes(page, lambda: row_of(page), lambda row: re.search(pattern, " ".join(row)) is not None)


def test_the_first_start_fills_the_samples_while_one_looks_around(page, server):
    samples_ready(page, server)
    expect(page.locator(".gs-strip img")).to_have_count(12)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("a bee on a flower", "bee"),
        ("a colourful bird on a branch", "kingfisher|toucan|macaw|parrot"),
        ("an old windmill", "windmill"),
        ("a big cat in the grass", "cheetah|lion|tabby"),
        ("musical instrument with strings", "guitar|cello"),
    ],
)
def test_words_bring_the_right_picture_to_the_first_row(page, server, question, wanted):
    page.goto(server)
    samples_ready(page, server)
    page.get_by_label("Search the sample photographs").fill(question)
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/Search?*")
    first_row_has(page, wanted)


def test_a_reload_keeps_the_question_and_another_visitor_sees_the_same(page, server, browser):
    samples_ready(page, server)
    page.goto(f"{server}/Search")
    box = page.get_by_label("What are you looking for?")
    box.fill("a lighthouse by the sea")
    box.press("Enter")
    page.wait_for_url(re.compile(r"q=a(\+|%20)lighthouse"))
    page.wait_for_selector(CARD)
    before = steady(page, lambda: first_row(page))
    page.reload()
    becomes(page, lambda: first_row(page), before)
    expect(page.get_by_label("What are you looking for?")).to_have_value("a lighthouse by the sea")
    with tab_of(browser) as other:
        other.goto(page.url)
        becomes(other, lambda: first_row(other), before)


def test_more_like_this_and_back(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=butterfly")
    first_row(page)
    page.locator(CARD).first.wait_for()
    page.get_by_role("button", name="Similar").first.click()
    page.wait_for_url("**like=*")
    page.get_by_text("More like this item").wait_for()
    page.wait_for_selector(READY)
    first_row_has(page, "butterfly|bee|caterpillar|ladybird")
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("More like this item").wait_for(state="detached")
    expect(page.locator(CARD).first).to_contain_text("butterfly")


def test_more_like_this_from_the_library_after_a_search(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=castle")
    first_row(page)
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector('[class*="st-key-grid_item"] .gs-card')
    page.get_by_role("button", name="Similar").first.click()
    page.wait_for_url("**/Search?*like=*")
    page.get_by_text("More like this item").wait_for()


def test_marks_are_kept_over_a_reload_and_do_not_move_the_page(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=a+lighthouse+by+the+sea")
    first_row(page)
    right = page.get_by_role("button", name="Right", exact=True).nth(8)  # below the fold
    press(page, right, page.get_by_text("1 marked right, 0 wrong"))
    pressed = page.locator('[class*="st-key-marks_right_hit"]')
    before = steady(page, pressed.bounding_box)
    assert 0 <= before["y"] <= 900
    wrong = page.get_by_role("button", name="Wrong", exact=True).nth(9)
    press(page, wrong, page.get_by_text("1 marked right, 1 wrong"))
    page.wait_for_selector(READY)
    becomes(page, pressed.bounding_box, before)
    page.reload()
    page.get_by_text("1 marked right, 1 wrong").wait_for()
    expect(pressed).to_have_count(1)
    expect(page.locator('[class*="st-key-marks_wrong_hit"]')).to_have_count(1)
    pressed.get_by_role("button", name="Right").click()
    page.get_by_text("0 marked right, 1 wrong").wait_for()


def test_texts_and_the_raw_mixture_can_be_shown(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=a+castle&show=Texts")
    expect(page.locator(CARD).first).to_contain_text("castle")
    page.goto(f"{server}/Search?q=a+castle&show=All+by+score")
    page.get_by_text("That is the modality gap").wait_for()


def test_an_uploaded_picture_is_found_by_words(page, server, tmp_path):
    samples_ready(page, server)
    photo = tmp_path / "holiday <img src=x onerror=alert(1)>.jpg"
    photo.write_bytes((SAMPLES / "photos" / "ginger-kitten-on-wood.jpg").read_bytes())
    bad = tmp_path / "broken.jpg"
    bad.write_bytes(jpeg(1)[:300])
    page.goto(f"{server}/Library")
    page.wait_for_selector(READY)
    give_files(page, [str(photo), str(bad)])
    page.get_by_role("button", name="Add to the collection").click()
    page.get_by_text("Done: 1 items stored").wait_for(timeout=JOB_MS)
    page.get_by_text("1 failed").last.click()
    page.goto(f"{server}/Search?q=a+kitten&collection=my-photos")
    expect(page.locator(CARD)).to_have_count(1)
    expect(page.locator(CARD)).to_contain_text("<img src=x onerror=alert(1)>")
    page.wait_for_selector(READY)
    assert page.evaluate("document.querySelectorAll('img[src=\"x\"]').length") == 0


def test_a_job_goes_on_when_the_person_changes_the_page(page, server, tmp_path):
    samples_ready(page, server)
    files = []
    for number in range(150):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(jpeg(1000 + number, 300))
        files.append(str(path))
    page.goto(f"{server}/Library")
    page.wait_for_selector(READY)
    give_files(page, files)
    name_new_collection(page, "many")
    page.get_by_role("button", name="Add to the collection").click()
    page.locator('[data-testid="stProgress"]').first.wait_for()
    page.get_by_role("link", name="Home").click()
    facts_name(page, 541)  # both collections of the samples, the picture before, and these


def test_a_picture_can_ask_and_stays_in_the_address(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search")
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Picture", exact=False).first.click()
    page.set_input_files('input[type="file"]', str(SAMPLES / "photos" / "colosseum.jpg"))
    page.wait_for_url("**picture=*")
    expect(page.locator(CARD).first).to_contain_text(re.compile("amphitheatre|colosseum", re.IGNORECASE))
    page.reload()
    page.get_by_text("Pictures and texts near this one").wait_for()


def test_a_bad_picture_is_refused_in_words(page, server, tmp_path):
    samples_ready(page, server)
    bad = tmp_path / "question.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(100))
    page.goto(f"{server}/Search")
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Picture", exact=False).first.click()
    page.set_input_files('input[type="file"]', str(bad))
    page.get_by_text("The picture cannot be read").wait_for()


def test_an_item_opens_large_and_can_be_deleted(page, server, tmp_path):
    samples_ready(page, server)
    page.goto(f"{server}/Library")
    page.wait_for_selector(READY)
    photo = tmp_path / "gone.jpg"
    photo.write_bytes(jpeg(77, 200))
    give_files(page, [str(photo)])
    name_new_collection(page, "short-lived")
    page.get_by_role("button", name="Add to the collection").click()
    job = page.locator('[class*="st-key-job_"]').filter(has_text="short-lived")
    job.get_by_text("Done: 1 items stored").wait_for(timeout=JOB_MS)
    page.goto(f"{server}/Library?browse=short-lived")
    page.locator('[class*="st-key-open_item"] button').click()
    page.get_by_role("button", name="Delete this item").click()
    page.get_by_text("This collection is empty").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", ["/", "/Search?q=a+boat", "/Library", "/Models", "/Models?view=Playground"])
def test_nothing_overflows(page, server, path, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(server + path)
    page.wait_for_selector("h1")
    page.wait_for_selector(READY)
    page.wait_for_timeout(500)
    assert steady(page, lambda: overflow(page)) == 0
