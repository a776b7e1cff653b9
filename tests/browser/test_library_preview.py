"""A real Chromium drops a folder, reads what was understood of it, and chooses the columns by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, READY, becomes, overflow, pick, press, served_empty
from tests.helpers.data import jpeg

WORDS = ("ein Hund", "eine Katze", "ein Haus", "ein Baum")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app on an empty folder, and without the samples, which an upload would wait for."""
    folder = tmp_path_factory.mktemp("app")
    with served_empty(folder, models_dir) as address:
        yield address


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """Make a folder of pictures with a table of which only the column of files can be recognised."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for number in range(len(WORDS)):
        (folder / f"images/{number}.jpg").write_bytes(jpeg(number))
    rows = [f"{number}.jpg;{words};{'tier' if number < 2 else 'ding'}" for number, words in enumerate(WORDS)]
    (folder / "liste.csv").write_text("\n".join(["bild;satz;art", *rows]))
    (folder / "README.md").write_text("about")
    return folder


def choose(page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=False).first
    pick(page, box, page.get_by_role("option", name=option, exact=True))
    page.keyboard.press("Tab")  # Escape would take the choice back


def test_a_folder_is_understood_before_it_is_added_and_its_columns_are_chosen(page, server, dropped):
    page.goto(f"{server}/Library")
    page.wait_for_selector(READY)
    uploader = page.locator('[class*="st-key-folder_"] input[type="file"]')
    press(page, page.get_by_text("A whole folder"), page.get_by_text("A folder with all that is in it"))
    page.wait_for_selector(READY)
    uploader.set_input_files(str(dropped))
    page.get_by_text("Understood: 4 files, 0 captions").wait_for()
    expect(page.get_by_text("column bild names the file")).to_be_visible()
    expect(page.get_by_text("1 left out")).to_be_visible()
    press(page, page.get_by_text("Choose the columns by hand"), page.get_by_role("combobox", name="Captions"))
    choose(page, "Captions", "satz")
    page.get_by_text("Understood: 4 files, 4 captions").wait_for()
    choose(page, "Labels", "art")
    page.get_by_text("Understood: 4 files, 4 captions, 4 with one of 2 labels").wait_for()
    cells = page.locator(".st-key-upload_preview_sample td")
    becomes(page, cells.all_text_contents, lambda found: found[:4] == ["0.jpg", "ein Hund", "tier", ""])
    page.set_viewport_size({"width": 390, "height": 844})
    becomes(page, lambda: overflow(page), 0)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Add to the collection").click()
    page.get_by_text("Done: 8 items stored, 0 were already there, 1 left out").wait_for(timeout=JOB_MS)
