"""A collection of two modalities with a gap between them, stored as an import does: no model, no files."""

from __future__ import annotations

import numpy as np

from engine.types import Item, Provenance, VectorTable
from engine.workspace import Workspace

COUNT, DIM = 60, 16


def rows(modality: str, count: int = COUNT, seed: int = 0) -> np.ndarray:
    """Return unit rows (count, DIM) float32: row n of one modality is nearest, of the other, to its row n.

    Texts lie closer together than pictures, so that any two texts are nearer than a text to its picture.
    """
    shared = np.random.default_rng(seed).normal(size=(count, DIM)) / np.sqrt(DIM)
    shared[:, :2] = 0  # what sets the modalities apart says nothing of the items
    away = np.zeros(DIM)
    away[0 if modality == "text" else 1] = 2.0 if modality == "text" else 1.2
    noise = np.random.default_rng([seed, len(modality)]).normal(size=(count, DIM)) * 0.05
    found = shared + away + noise
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def store(workspace: Workspace, count: int = COUNT, *, name: str = "gapped", modalities=("text", "image")):
    """Store the rows; the n-th text belongs to the n-th picture. Returns a table of each modality."""
    made_by = Provenance.of_import("test", DIM)
    if workspace.ledger.provenance(name) is None:
        workspace.ledger.set_provenance(name, made_by)
    tables = {}
    for modality in modalities:
        start = {"text": 1_000, "audio": 2_000}.get(modality, 0)
        table = VectorTable(tuple(f"{start + n:064x}" for n in range(count)), rows(modality, count))
        items = [
            Item(id_, modality, f"{modality} {n}", "", f"{n:064x}", caption=f"caption {n}")
            for n, id_ in enumerate(table.ids)
        ]
        workspace.ledger.put(name, items, table)
        workspace.store.upsert(name, made_by, modality, items, table)
        tables[modality] = table
    return tables
