"""A real Chromium against the real app: first start, search, upload, reload, jobs, hostile names."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import ROOT, SAMPLES, cli_env, jpeg

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"
    ),
]
READY = '[data-testid="stApp"][data-test-script-state="notRunning"]'
CARD = '[class*="st-key-grid_hit"] .gs-card'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "models").symlink_to(models_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)],
        cwd=ROOT,
        env=cli_env(folder),
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    _wait_for(address, process)
    yield address
    process.terminate()
    process.wait(20)
    assert "Traceback" not in (folder / "server.log").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            args=list(FLAGS),
            headless=True,
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture
def page(browser, server) -> Iterator[object]:
    """Return a page of the app; fails the test if the browser's console had an error."""
    tab = browser.new_page()
    tab.set_default_timeout(30_000)
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    tab.close()
    assert errors == []


def _wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(200):
        assert process.poll() is None, "the server ended"
        try:
            urlopen(f"{address}/_stcore/health", timeout=1).read()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer")


def samples_ready(page, server) -> None:
    """Wait on Home until the sample photographs are indexed."""
    page.goto(server)
    page.wait_for_selector("h1")
    page.wait_for_selector(".gs-facts")
    total = len(list((SAMPLES / "photos").glob("*.jpg")))
    page.wait_for_function(
        f"document.querySelector('.gs-facts').innerText.includes('{total}')", timeout=90_000
    )
    page.wait_for_selector('[data-testid="stProgress"]', state="detached")


def name_new_collection(page, name: str) -> None:
    """Choose a new collection as the target of an upload, and name it."""
    if not page.get_by_label("Its name").count():
        page.get_by_label("Into").click()
        page.get_by_role("option", name="New collection …").click()
    page.get_by_label("Its name").fill(name)
    page.get_by_label("Its name").press("Enter")


def first_row(page, count: int = 4) -> list[str]:
    page.wait_for_selector(CARD)
    page.wait_for_selector(READY)
    return [card.inner_text() for card in page.query_selector_all(CARD)[:count]]


def test_the_first_start_fills_the_samples_while_one_looks_around(page, server):
    samples_ready(page, server)
    assert page.locator(".gs-strip img").count() == 12


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
    samples_ready(page, server)
    page.get_by_label("Ask the sample photographs").fill(question)
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/Search?*")
    assert re.search(wanted, " ".join(first_row(page)))


def test_a_reload_keeps_the_question_and_another_visitor_sees_the_same(page, server, browser):
    samples_ready(page, server)
    page.goto(f"{server}/Search")
    box = page.get_by_label("What are you looking for?")
    box.fill("a lighthouse by the sea")
    box.press("Enter")
    before = first_row(page)
    assert "q=a+lighthouse" in page.url or "q=a%20lighthouse" in page.url
    page.reload()
    assert first_row(page) == before
    assert page.get_by_label("What are you looking for?").input_value() == "a lighthouse by the sea"
    other = browser.new_page()
    other.goto(page.url)
    assert first_row(other) == before
    other.close()


def test_more_like_this_and_back(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=butterfly")
    first_row(page)
    page.locator(CARD).first.wait_for()
    page.get_by_role("button", name="Similar").first.click()
    page.wait_for_url("**like=*")
    page.get_by_text("More like this item").wait_for()
    assert re.search("butterfly|bee|caterpillar|ladybird", " ".join(first_row(page)))
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("More like this item").wait_for(state="detached")
    assert "butterfly" in first_row(page)[0]


def test_more_like_this_from_the_library_after_a_search(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=castle")
    first_row(page)
    page.get_by_role("link", name="Library").click()
    page.wait_for_selector('[class*="st-key-grid_item"] .gs-card')
    page.get_by_role("button", name="Similar").first.click()
    page.wait_for_url("**/Search?*like=*")
    page.get_by_text("More like this item").wait_for()


def test_texts_and_the_raw_mixture_can_be_shown(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search?q=a+castle&show=Texts")
    assert "castle" in first_row(page)[0]
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
    page.set_input_files('input[type="file"]', [str(photo), str(bad)])
    page.get_by_role("button", name="Add to the collection").click()
    page.get_by_text("Done: 1 items stored").wait_for(timeout=60_000)
    page.get_by_text("1 failed").last.click()
    page.goto(f"{server}/Search?q=a+kitten&collection=my-photos")
    [card] = first_row(page)
    assert "<img src=x onerror=alert(1)>" in card
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
    page.set_input_files('input[type="file"]', files)
    name_new_collection(page, "many")
    page.get_by_role("button", name="Add to the collection").click()
    page.locator('[data-testid="stProgress"]').first.wait_for()
    page.get_by_role("link", name="Home").click()
    page.wait_for_function(
        "(document.querySelector('.gs-facts')?.innerText ?? '').includes('346')",
        timeout=90_000,
    )


def test_a_picture_can_ask_and_stays_in_the_address(page, server):
    samples_ready(page, server)
    page.goto(f"{server}/Search")
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Picture", exact=False).first.click()
    page.set_input_files('input[type="file"]', str(SAMPLES / "photos" / "colosseum.jpg"))
    page.wait_for_url("**picture=*")
    assert "amphitheatre" in first_row(page)[0] or "colosseum" in first_row(page)[0].lower()
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
    page.set_input_files('input[type="file"]', str(photo))
    name_new_collection(page, "short-lived")
    page.get_by_role("button", name="Add to the collection").click()
    job = page.locator('[class*="st-key-job_"]').filter(has_text="short-lived")
    job.get_by_text("Done: 1 items stored").wait_for(timeout=60_000)
    page.goto(f"{server}/Library?browse=short-lived")
    page.locator('[class*="st-key-open_item"] button').click()
    page.get_by_role("button", name="Delete this item").click()
    page.get_by_text("This collection is empty").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", ["/", "/Search?q=a+boat", "/Library"])
def test_nothing_overflows(page, server, path, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(server + path)
    page.wait_for_selector(READY)
    page.wait_for_timeout(500)
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0
