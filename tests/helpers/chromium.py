"""A real Chromium and a real server for the browser tests, and how they wait for each other.

No assertion reads the page at once after an action: the page is drawn piece by piece, by another process. It
waits, by playwright's `expect`, `becomes`, or `steady`, and with a patience that no slow machine uses up.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

from playwright.sync_api import Error as PageError
from playwright.sync_api import TimeoutError as TooLong
from playwright.sync_api import expect, sync_playwright

from tests.helpers.data import ROOT
from tests.helpers.workspaces import cli_env, fill, without_samples

T = TypeVar("T")
PATIENCE_MS = 90_000  # of every wait and expectation; nothing takes so long where all is well
JOB_MS = 120_000  # of what a job, a fit or a fresh start of the app may take
LOAD_MS = 280_000  # of a model: on a busy machine torch takes a minute to import
expect.set_options(timeout=PATIENCE_MS)
_DRIVERS: list[Any] = []

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
    "--force-prefers-reduced-motion",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A spinner that moves is drawn sixty times a second by the processor, and says nothing to a test.
_STILL = """
addEventListener("DOMContentLoaded", () => {
    const still = document.createElement("style");
    still.textContent = "*, *::before, *::after {animation-duration: 1ms !important; "
        + "animation-iteration-count: 1 !important; transition-duration: 1ms !important}";
    document.head.append(still);
});
"""
READY = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@contextmanager
def served(folder: Path, models_dir: Path, **env: str) -> Iterator[str]:
    """Run the app on a data folder, and yield its address; the log must end without a traceback."""
    if not (folder / "models").exists():
        (folder / "models").symlink_to(models_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)],
        cwd=ROOT,
        env=cli_env(folder, **env),
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(120)
        log.close()
    _, raised, where = (folder / "server.log").read_text().partition("Traceback")
    assert not raised, where[-4_000:]


@contextmanager
def served_empty(folder: Path, models_dir: Path) -> Iterator[str]:
    """Run the app on an empty data folder, without the samples, which an upload would wait for."""
    without_samples(folder)
    with served(folder, models_dir) as address:
        yield address


@contextmanager
def served_with(folder: Path, photos: Path, models_dir: Path, **env: str) -> Iterator[str]:
    """Run the app on a data folder with these photographs in 'photos', and without the samples."""
    (folder / "models").symlink_to(models_dir)
    fill(folder, photos)
    without_samples(folder)
    with served(folder, models_dir, **env) as address:
        yield address


@contextmanager
def chromium(profile: Path) -> Iterator[object]:
    """Start Chromium with a profile of its own."""
    with _driver() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            args=list(FLAGS),
            headless=True,
            viewport={"width": 1280, "height": 900},
        )
        context.add_init_script(_STILL)
        yield context
        context.close()


@contextmanager
def _driver() -> Iterator[Any]:
    """Give playwright's driver, of which a process can have but one at a time."""
    if _DRIVERS:
        yield _DRIVERS[0]
        return
    with sync_playwright() as playwright:
        _DRIVERS.append(playwright)
        try:
            yield playwright
        finally:
            _DRIVERS.clear()


@contextmanager
def tab_of(browser: object) -> Iterator[object]:
    """Open a tab; the test fails if the browser's console had an error."""
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield tab
    finally:
        tab.close()
    assert errors == []


def becomes(page: object, read: Callable[[], T], wanted: T | Callable[[T], bool]) -> T:
    """Wait until what is read is what is wanted, or fulfils it; the failure shows what was read last."""
    ends = time.monotonic() + PATIENCE_MS / 1000
    while True:
        try:
            found = read()
            done = wanted(found) if callable(wanted) else found == wanted
        except PageError as error:  # what is asked for is not there yet, or the page is just leaving
            found, done = error, False
        if done or time.monotonic() > ends:
            assert done, f"read {found!r}, wanted {wanted!r}"
            return found
        page.wait_for_timeout(100)


def steady(page: object, read: Callable[[], T]) -> T:
    """Return what is read once it is no longer None and stays the same for half a second."""
    ends, last, same = time.monotonic() + PATIENCE_MS / 1000, None, 0
    while same < 5:
        assert time.monotonic() < ends, f"does not come to rest: {last!r}"
        page.wait_for_timeout(100)
        found = read()
        same = same + 1 if found == last and found is not None else 0
        last = found
    return last


def pick(page: object, box: Any, option: Any, *, typed: str = "") -> None:
    """Choose an option of a list; one that is opened while the page is drawn closes again, so try anew."""
    for _ in range(12):
        box.click()
        if typed:
            box.fill(typed)
        try:
            option.click(timeout=10_000)
            break
        except TooLong:
            page.keyboard.press("Escape")
    else:
        raise AssertionError("the option did not appear")
    page.wait_for_selector(READY)


def press(page: object, button: Any, began: Any) -> None:
    """Press a button until a sign of what it begins; one that is redrawn under the pointer hears no click."""
    for _ in range(12):
        if button.count() and button.is_enabled():  # it goes where what it begins takes its place
            button.click()
        try:
            return began.first.wait_for(timeout=20_000)
        except TooLong:
            continue
    raise AssertionError("nothing began")


def give_files(page: object, files: list[str], *, key: str = "upload_") -> None:
    """Give files to the uploader whose key begins so, until it shows one.

    A page that is drawn anew meanwhile loses them, and of two uploaders on a page either may be drawn first.
    """
    uploader = f'[class*="st-key-{key}"]'
    chip = page.locator(f'{uploader} [data-testid="stFileChip"]')
    for _ in range(12):
        page.set_input_files(f'{uploader} input[type="file"]', files)
        try:
            return chip.first.wait_for(state="attached", timeout=20_000)
        except TooLong:
            continue
    raise AssertionError("the files were not taken")


def overflow(page: object) -> int:
    """Return by how many pixels the page is wider than its window."""
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


def _wait_for(address: str, process: subprocess.Popen) -> None:
    ends = time.monotonic() + JOB_MS / 1000
    while time.monotonic() < ends:
        assert process.poll() is None, "the server ended"
        try:
            urlopen(f"{address}/_stcore/health", timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer")
