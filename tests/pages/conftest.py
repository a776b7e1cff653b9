"""The data folder of the app's pages, in Streamlit's own test harness."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.jobs.boot import Boot
from engine.models.load import Loader
from engine.models.pocket.embedder import Pocket
from tests.helpers.workspaces import cli_env, loaded_once


@pytest.fixture(scope="session", autouse=True)
def _packages_read_once() -> Iterator[None]:
    """Look for Streamlit components among the installed packages once: every `AppTest` reads all of them."""
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture
def app_folder(tmp_path: Path, models_dir: Path, pocket: Pocket, monkeypatch: pytest.MonkeyPatch):
    """Give the pages a data folder of their own, and close it afterwards."""
    from pages.ui import resources

    (tmp_path / "models").symlink_to(models_dir)
    for key, value in cli_env(tmp_path).items():
        if key.startswith("GAPSCOPE_"):
            monkeypatch.setenv(key, value)
    monkeypatch.setattr(Loader, "_load_pocket", loaded_once(pocket, models_dir.resolve()))
    monkeypatch.setattr("engine.jobs.queue.Jobs.ingest_samples", lambda self: None)
    begun: list[Boot] = []
    start = Boot.start
    monkeypatch.setattr(Boot, "start", lambda self: begun.append(self) or start(self))
    resources.boot.clear()
    resources.works.clear()
    yield tmp_path
    for work in list(resources.works()._works.values()):  # or it reads a store that is closed
        work.cancel()
        work.ended.wait(240)
    for state in begun:
        ended(state)
    resources.boot.clear()


def ended(state: Boot) -> None:
    """Close what a test has opened, with nothing left that still works on it."""
    state.wait(240)
    for thread in threading.enumerate():
        if thread.name == "Warm up":  # it would load a Pocket of its own, and be cut off in it at the end
            thread.join(240)
    for job in state.jobs.list() if state.jobs else ():  # the Map page begins a fit by itself
        if job.active:
            state.jobs.cancel(job.spec.id)
    ends = time.monotonic() + 240
    while state.jobs and state.jobs.active() and time.monotonic() < ends:
        time.sleep(0.05)
    if state.workspace:
        state.workspace.close()
