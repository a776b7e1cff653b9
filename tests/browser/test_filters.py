"""A filter by a number is set by hand, kept in the address and taken off; the large view goes by keys."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.helpers.chromium import READY, becomes, overflow, pick, served_with, steady, tab_of

CARD = '[class*="st-key-grid_hit"] .gs-card'
WIDTHS = [200, 400, 600, 800, 1000, 1200]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("filters")
    photos = folder / "given"
    photos.mkdir()
    for number, width in enumerate(WIDTHS):
        out = io.BytesIO()
        exif = Image.Exif()
        exif[0x010F], exif[0x8769] = "Canon", {0x9003: f"202{number}:05:31 14:02:09"}
        Image.new("RGB", (width, 300), (40 * number, 90, 200)).save(out, "JPEG", exif=exif.tobytes())
        (photos / f"wide-{width}.jpg").write_bytes(out.getvalue())
    with served_with(folder, photos, models_dir) as address:
        yield address


def cards(page) -> list[str]:
    return page.locator(CARD).evaluate_all("(all) => all.map((one) => one.innerText)")


def widths(page) -> list[int]:
    return sorted(int(found[1]) for text in cards(page) if (found := re.search(r"wide-(\d+)", text)))


def test_a_filter_by_a_number(page, server, browser):
    page.goto(f"{server}/Search?q=blue&collection=photos")
    becomes(page, lambda: widths(page), WIDTHS)
    page.get_by_role("button", name="Filters").click()
    pick(page, page.get_by_label("Column"), page.get_by_role("option", name="width_px"))
    low = page.get_by_label("From")
    low.fill("700")
    low.press("Enter")
    add = page.get_by_role("button", name="Add the filter")
    expect(add).to_be_enabled()
    add.click()
    becomes(page, lambda: widths(page), [800, 1000, 1200])
    becomes(page, lambda: page.url, lambda url: "where=width_px%3E%3D700" in url)
    with tab_of(browser) as other:  # the link opens what was seen
        other.goto(page.url)
        becomes(other, lambda: widths(other), [800, 1000, 1200])
        other.get_by_role("button", name="width_px>=700").click()
        becomes(other, lambda: widths(other), WIDTHS)
        assert "where=" not in other.url


def test_a_question_that_means_nothing_carries_one_note(page, server):
    page.goto(f"{server}/Search?q=%3F%3F%3F&collection=photos")
    becomes(page, lambda: widths(page), WIDTHS)
    expect(page.get_by_text("There is no word here that Pocket knows")).to_have_count(1)
    page.goto(f"{server}/Search?q=a+red+car+without+a+roof&collection=photos")
    becomes(page, lambda: widths(page), WIDTHS)
    expect(page.get_by_text("“without”")).to_have_count(1)


def test_the_large_view_by_keyboard(page, server):
    page.goto(f"{server}/Search?q=blue&collection=photos&sort=taken+%E2%86%91")
    becomes(page, lambda: [re.search(r"wide-(\d+)", one)[1] for one in cards(page)], [str(w) for w in WIDTHS])
    page.wait_for_selector(READY)
    page.locator('[class*="st-key-open_hit"] button').first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("1 of 6").wait_for()
    dialog.locator("img").wait_for()
    for key, place in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        page.wait_for_selector(READY)
        page.keyboard.press(key)
        dialog.get_by_text(f"{place} of 6").wait_for()
    expect(dialog.get_by_role("button", name="Previous")).to_be_enabled()
    expect(dialog.get_by_text("2021-05-31T14:02:09")).to_be_visible()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def test_the_large_view_gives_the_file_back(page, server):
    page.goto(f"{server}/Search?q=blue&collection=photos&where=width_px%3D400")
    becomes(page, lambda: widths(page), [400])
    page.wait_for_selector(READY)
    page.locator('[class*="st-key-open_hit"] button').first.click()
    dialog = page.get_by_role("dialog")
    with page.expect_download() as saved:
        dialog.get_by_role("button", name="Save the file").click()
    assert saved.value.suggested_filename == "wide-400.jpg"
    with Image.open(saved.value.path()) as picture:
        assert picture.size == (400, 300)


@pytest.mark.parametrize("size", ["Small", "Medium", "Large"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_size_of_thumbnails_overflows(page, server, width, size):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{server}/Search?q=blue&collection=photos&size={size}&where=width_px>=300")
    becomes(page, lambda: len(widths(page)), 5)
    assert steady(page, lambda: overflow(page)) == 0
