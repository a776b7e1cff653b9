"""The data folder that most tests of the commands read: made once, by a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command_line import INGEST, document, run_apart
from tests.helpers.data import real_photos
from tests.helpers.workspaces import make_settings


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """Return a data folder with 12 real photographs in 'photos', ingested by a process of its own."""
    settings = make_settings(tmp_path_factory.mktemp("cli"), models_dir)
    folder = real_photos(tmp_path_factory.mktemp("photos"), 12)
    done = run_apart(settings.data_dir, "ingest", folder, "--collection", "photos", "--json")
    report = document(done)
    assert set(report) == INGEST
    assert (report["collection"], report["model"], report["failed"]) == ("photos", "pocket", [])
    assert (report["stored"], report["skipped"]) == (24, 0)
    assert report["per_second"] == pytest.approx(24 / report["seconds"], rel=0.01)
    return settings.data_dir
