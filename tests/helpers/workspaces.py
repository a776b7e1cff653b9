"""Data folders to test on: their settings, their environment, and Pocket's models, loaded once."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.models.base import ModelChoice, ModelSpec
from engine.models.catalog import POCKET, POCKET_RERANKER
from engine.models.load import Loader
from engine.models.pocket.embedder import Pocket
from engine.models.pocket.reranker.reranker import PocketReranker, PocketRerankerWeights
from engine.models.single_view import SingleView
from engine.settings import Settings, load_settings
from engine.storage.ledger import Ledger
from engine.types import Item
from engine.workspace import Workspace
from tests.helpers.data import sources


def load_pocket(models_dir: Path) -> Pocket:
    """Return the Pocket of this process; the first call loads it, and converts it where it must be."""
    return _pocket_in(models_dir.resolve())


@functools.cache
def _pocket_in(models_dir: Path) -> Pocket:
    return Pocket.load(POCKET, models_dir, 2, lambda stage: None)


class Recalled(Pocket):
    """Pocket that embeds nothing twice: most tests embed the same few pictures, at 50 ms each.

    It may, as no vector depends on what is embedded beside it, which `test_pocket.py` holds of Pocket.
    """

    def __init__(self, pocket: Pocket) -> None:
        super().__init__(pocket.spec, pocket._text, pocket._images)
        self._known: dict[object, np.ndarray] = {}

    def encode_document(self, modality: str, prepared: Sequence[Any]) -> np.ndarray:
        keys = [(modality, _same(one)) for one in prepared]
        new = {key: one for key, one in zip(keys, prepared, strict=True) if key not in self._known}
        if not new and keys:
            return np.stack([self._known[key] for key in keys])
        made = super().encode_document(modality, list(new.values()))
        self._known.update(zip(new, made, strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else made


class RecalledReranker(PocketReranker):
    """Pocket's reranker that examines no picture twice; the caller gets the very same evidence."""

    def prepare(self, modality: str, content: Any) -> Any:
        if modality != "image":
            return super().prepare(modality, content)
        known = self.__dict__.setdefault("_known", {})
        key = (content.size, _same(np.asarray(content)))
        if key not in known:
            known[key] = super().prepare(modality, content)
        return known[key]


def _same(content: Any) -> object:
    return content if isinstance(content, str) else hashlib.sha256(content.tobytes()).digest()


@functools.cache
def recalled(models_dir: Path) -> Recalled:
    """Return the Pocket of this process for tests of whatever uses it: it embeds nothing twice."""
    return Recalled(load_pocket(models_dir))


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
    return SharedReranker(RecalledReranker.load(POCKET_RERANKER, models_dir, 2, lambda stage: None))


def loaded_once(pocket: Pocket, models_dir: Path) -> Callable[..., object]:
    """Return what to put in the place of `Loader._load_pocket`: it gives Pocket's models of this process."""
    load = Loader._load_pocket
    given = {POCKET.id: lambda: shared_view(pocket), POCKET_RERANKER.id: lambda: shared_reranker(models_dir)}

    def loaded(self: Loader, spec: ModelSpec, choice: ModelChoice, on_stage: object) -> object:
        return given[spec.id]() if spec.id in given else load(self, spec, choice, on_stage)

    return loaded


def make_settings(data_dir: Path, models_dir: Path, **overrides: object) -> Settings:
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "models").exists():
        (data_dir / "models").symlink_to(models_dir)
    return load_settings(**{"data_dir": data_dir, "threads": 2, "min_free_disk_mb": 1, **overrides})


def give_model(workspace: Workspace, pocket: object) -> Workspace:
    """Let a workspace use the session's Pocket, and its reranker, instead of loading its own."""
    load, models_dir = workspace.models.loaded._load, workspace.settings.data_dir / "models"

    def given(choice, device, on_stage):
        if choice.id == POCKET_RERANKER.id:
            return shared_reranker(models_dir.resolve())
        if choice.id != POCKET.id:
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


def without_samples(folder: Path) -> None:
    """Let the app make no samples in a data folder, as if a person had deleted them."""
    ledger = Ledger(folder / "ledger.sqlite3")
    ledger.set_state("samples", "deleted by a person")
    ledger.close()


def listed(workspace: Workspace, modality: str, name: str = "photos") -> list[Item]:
    return list(workspace.store.all_items(name, modality))


def fill(folder: Path, photos: Path, name: str = "photos", choice: ModelChoice | None = None) -> None:
    """Ingest photographs into a data folder that nobody has open, and that has its `models`.

    The first collection of a folder is copied from one that was made of the same files before.
    """
    models_dir = (folder / "models").resolve()
    if (folder / "ledger.sqlite3").exists():
        _ingest(folder, models_dir, photos, name, choice)
        return
    files = [(path.name, path.read_bytes()) for path in sorted(photos.iterdir())]
    key = (hashlib.sha256(repr(files).encode()).digest(), models_dir, name, choice)
    if key not in _filled:
        _filled[key] = tempfile.TemporaryDirectory()
        _ingest(Path(_filled[key].name), models_dir, photos, name, choice)
    shutil.copytree(
        _filled[key].name, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("models", "*.lock")
    )


_filled: dict[object, tempfile.TemporaryDirectory] = {}


def _ingest(folder: Path, models_dir: Path, photos: Path, name: str, choice: ModelChoice | None) -> None:
    opened = Workspace.open(make_settings(folder, models_dir))
    try:
        give_model(opened, recalled(models_dir))
        assert opened.ingest(name, sources([photos]), choice=choice).failed == ()
    finally:
        opened.close()
