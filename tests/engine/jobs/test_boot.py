"""Proves what is there when the app says that it is open."""

import subprocess
import sys

import pytest

from tests.helpers.data import ROOT
from tests.helpers.workspaces import cli_env, without_samples

_OPENED = """
import sys, time
from engine.jobs.boot import Boot

boot = Boot().start()
while not boot.workspace:
    assert not boot.error, boot.error
    time.sleep(.001)
print(hasattr(sys.modules.get("pandas"), "Series"))
boot.workspace.close()
"""


@pytest.mark.slow
def test_nothing_can_be_drawn_before_pandas_is_whole(tmp_path, models_dir):
    (tmp_path / "models").symlink_to(models_dir)
    without_samples(tmp_path)  # nothing else is to be done
    ran = subprocess.run(
        [sys.executable, "-c", _OPENED],
        cwd=ROOT,
        env=cli_env(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.stdout.startswith("True"), ran.stdout + ran.stderr
