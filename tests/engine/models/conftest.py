"""The model itself, where it is what is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.workspaces import load_pocket


@pytest.fixture(scope="session")
def pocket(models_dir: Path):
    """Return Pocket as everybody loads it, which embeds what it is given every time."""
    return load_pocket(models_dir)
