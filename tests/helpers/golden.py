"""Real CLIP embeddings and what was measured on them, where they lie beside this checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.analysis.gap import (
    unit,
)
from engine.types import VectorTable
from tests.helpers.data import ROOT

GOLDEN = ROOT.parent / "shared" / "golden"
CLIP = GOLDEN / "features_clip.npy"  # (2, 500, 512): 500 pictures and their captions


def golden(name: str) -> tuple[np.ndarray, np.ndarray]:
    path: Path = GOLDEN / name
    if not path.exists():
        pytest.skip(
            f"{name} (real CLIP embeddings, test data that is not shipped) is not beside this checkout"
        )
    both = np.load(path).astype(np.float64)
    return unit(both[0]), unit(both[1])


def clip() -> tuple[VectorTable, list[str]]:
    x, y = golden("features_clip.npy")
    rows = np.concatenate([x, y]).astype(np.float32)
    return VectorTable(tuple(f"{n}" for n in range(1000)), rows), ["image"] * 500 + ["text"] * 500
