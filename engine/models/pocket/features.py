"""What Pocket's networks say of texts and pictures before anything puts them into one space.

Pictures are read by EfficientNet-Lite2 before its classifier, the mean over all places; texts by
all-MiniLM-L6-v2. The two cannot be compared until something has learned to: `analysis/two_towers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModalityError
from engine.models.pocket import image
from engine.models.pocket.convert import ensure_converted, ensure_regions
from engine.models.pocket.reranker.regions import FILES
from engine.models.pocket.runtime import Runner
from engine.models.pocket.text import TextTower
from engine.types import Modality

MODALITIES: tuple[Modality, ...] = ("text", "image")
_CHUNK = 2  # as in Pocket's picture tower: it is the same network


class PocketFeatures:
    """Texts to 384 and pictures to 1,280 numbers, without torch; safe to share between threads."""

    def __init__(self, text: TextTower, images: Runner) -> None:
        self._text, self._images = text, images

    @classmethod
    def load(cls, models_dir: Path, threads: int, on_stage: Callable[[str], None]) -> PocketFeatures:
        """Open the converted weights, converting them on first use. Raises ModelError, FolderError."""
        towers, regions = ensure_converted(models_dir, on_stage), ensure_regions(models_dir, on_stage)
        on_stage("Loading Pocket's networks")
        return cls(TextTower(towers, threads), Runner(regions / FILES[0], threads))

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Text stays text; a picture becomes (260, 260, 3) uint8 RGB. Raises ModalityError."""
        if modality not in MODALITIES:
            raise ModalityError("Pocket", modality, MODALITIES)
        return content if modality == "text" else image.prepare(content)

    def pieces(self, words: Sequence[str]) -> list[int | None]:
        """Return into how many word pieces each word falls; None for one that it has no pieces for."""
        return self._text.pieces(words)

    def encode(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Return the features of n >= 1 prepared inputs, order kept: (n, 384) or (n, 1280) float32.

        Of a text a row is of unit length; of a picture its numbers are 0 or more. Raises ModalityError.
        """
        if modality == "text":
            return self._text.encode(prepared)
        if modality != "image":
            raise ModalityError("Pocket", modality, MODALITIES)
        chunks = [
            {"pixels": np.stack(prepared[start : start + _CHUNK])}
            for start in range(0, len(prepared), _CHUNK)
        ]
        places = self._images.run(chunks)  # of each chunk (b, 1280, 9, 9)
        return np.concatenate([chunk.mean(axis=(2, 3)) for chunk in places])
