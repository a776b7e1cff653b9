"""A real Chromium and a real server for the browser tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import ROOT, cli_env

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
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"
    ),
]
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
    _wait_for(address, process)
    yield address
    process.terminate()
    process.wait(20)
    assert "Traceback" not in (folder / "server.log").read_text()


@contextmanager
def chromium(profile: Path) -> Iterator[object]:
    """Start Chromium with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            args=list(FLAGS),
            headless=True,
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@contextmanager
def tab_of(browser: object) -> Iterator[object]:
    """Open a tab; the test fails if the browser's console had an error."""
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
