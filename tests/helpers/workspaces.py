"""Data folders to test on: their settings, their environment, and Pocket's models, loaded once."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from engine.models.base import ModelChoice
from engine.models.catalog import POCKET, POCKET_RERANKER
from engine.models.pocket.embedder import Pocket
from engine.models.pocket.reranker.reranker import PocketReranker, PocketRerankerWeights
from engine.models.single_view import SingleView
from engine.settings import Settings, load_settings
from engine.types import Item
from engine.workspace import Workspace
from tests.helpers.data import sources


def load_pocket(models_dir: Path) -> Pocket:
    """Return the Pocket of this process; the first call loads it, and converts it where it must be."""
    return _pocket_in(models_dir.resolve())


@functools.cache
def _pocket_in(models_dir: Path) -> Pocket:
    return Pocket.load(POCKET, models_dir, 2, lambda stage: None)


class Shared(SingleView):
    """Pocket as workspaces keep it, measured once: it outlives each of them."""

    def close(self) -> None:
        pass


class SharedReranker(PocketRerankerWeights):
    """Pocket's reranker in the same way."""

    def close(self) -> None:
        pass


@functools.cache
def shared_view(pocket: Pocket) -> Shared:
    return Shared(pocket)


@functools.cache
def shared_reranker(models_dir: Path) -> PocketRerankerWeights:
    """Return Pocket's reranker as workspaces keep it, loaded and measured once."""
    return SharedReranker(PocketReranker.load(POCKET_RERANKER, models_dir, 2, lambda stage: None))


def make_settings(data_dir: Path, models_dir: Path, **overrides: object) -> Settings:
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "models").exists():
        (data_dir / "models").symlink_to(models_dir)
    return load_settings(**{"data_dir": data_dir, "threads": 2, "min_free_disk_mb": 1, **overrides})


def give_model(workspace: Workspace, pocket: object) -> Workspace:
    """Let a workspace use the session's Pocket instead of loading its own."""
    load = workspace.models.loaded._load

    def given(choice, device, on_stage):
        if choice.id != "pocket":
            return load(choice, device, on_stage)
        return shared_view(pocket) if isinstance(pocket, Pocket) else SingleView(pocket)

    workspace.models.loaded._load = given
    return workspace


def cli_env(data_dir: Path, **extra: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GAPSCOPE_")}
    return {
        **clean,
        "GAPSCOPE_DATA_DIR": str(data_dir),
        "GAPSCOPE_THREADS": "2",
        "GAPSCOPE_MIN_FREE_DISK_MB": "1",
        "GAPSCOPE_WARM_UP": "false",  # half a minute of compiling in each of many servers
        **extra,
    }


def listed(workspace: Workspace, modality: str, name: str = "photos") -> list[Item]:
    return list(workspace.store.all_items(name, modality))


def fill(folder: Path, photos: Path, name: str = "photos", choice: ModelChoice | None = None) -> None:
    """Ingest photographs into a data folder that nobody has open, and that has its `models`."""
    opened = Workspace.open(make_settings(folder, folder / "models"))
    try:
        give_model(opened, load_pocket(folder / "models"))
        assert opened.ingest(name, sources([photos]), choice=choice).failed == ()
    finally:
        opened.close()
