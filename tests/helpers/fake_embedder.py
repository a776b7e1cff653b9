"""An embedder that costs nothing, of any width, and workspaces that lend it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from engine.errors import (
    ModalityError,
)
from engine.models.base import ModelChoice
from engine.settings import load_settings
from engine.types import Provenance
from engine.workspace import Workspace

MODALITIES = ("text", "image")


class Fake:
    """An embedder of any width whose vectors depend on the content only; counts what it embeds."""

    image_side_px = 64

    def __init__(self, name: str, dim: int, modalities: tuple[str, ...] = MODALITIES) -> None:
        self.provenance = Provenance(name, "1", dim)
        self.spec, self.modalities = SimpleNamespace(id=name), modalities
        self.embedded = 0
        self.on_encode: Callable[[], None] = lambda: None
        self._space = np.random.default_rng(dim).normal(size=(48, dim))

    def prepare(self, modality, content):
        if modality not in self.modalities:
            raise ModalityError(self.spec.id, modality, self.modalities)
        return content if modality == "text" else np.asarray(content.resize((4, 4)), float).ravel()

    def encode_document(self, modality, prepared):
        self.embedded += len(prepared)
        self.on_encode()
        rows = [self._pixels(one) if modality == "text" else one / 255 - 0.5 for one in prepared]
        vectors = np.stack(rows) @ self._space
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def encode_query(self, modality, contents):
        return self.encode_document(modality, [self.prepare(modality, one) for one in contents])

    def spread(self, items, *devices):
        return nullcontext(1)

    def _pixels(self, text: str) -> np.ndarray:
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.default_rng(list(digest)).normal(size=48)


OLD, NEW = ModelChoice("old"), ModelChoice("new")


def lend(workspace: Workspace, *embedders: Fake) -> Workspace:
    """Let a workspace lend fakes by their names, 'old' (8 wide) and 'new' (12 wide) where none is given."""
    known = {one.spec.id: one for one in (Fake("old", 8), Fake("new", 12), *embedders)}

    @contextmanager
    def embedder(choice=None, on_stage=lambda stage: None):
        yield known[choice.id]

    workspace.models.embedder, workspace.models.check_speed = embedder, lambda choice, items: None
    return workspace


def opened(data_dir: Path, *embedders: Fake, **overrides: object) -> Workspace:
    data_dir.mkdir(parents=True, exist_ok=True)
    given = {"threads": 2, "min_free_disk_mb": 1, "batch_files": 4, **overrides}
    return lend(Workspace.open(load_settings(data_dir=data_dir, **given)), *embedders)


def hidden(workspace: Workspace) -> list[str]:
    """Return the Chroma collections and ledger names that people are not shown."""
    shown = {info.name for info in workspace.store.collections()}
    names = [one.name for one in workspace.store._client.list_collections()]
    wanted = {f"gapscope.{name}.{modality}" for name in shown for modality in MODALITIES}
    rows = [name for name, _ in workspace.ledger.counts() if name not in shown]
    records = workspace.ledger.states("remake ") + workspace.ledger.states("swap ")
    return [*(set(names) - wanted), *rows, *(key for key, _ in records)]
