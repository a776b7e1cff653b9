"""Pocket behind the embedder protocol: routes each modality to its tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModalityError
from engine.models.base import ModelSpec
from engine.models.pocket import image
from engine.models.pocket.convert import ensure_converted
from engine.models.pocket.text import TextTower
from engine.types import Modality


class Pocket:
    """Text and pictures in one space of 384 numbers, without torch (see recipe.json for sources)."""

    image_side_px = image.RESIZE_PX

    def __init__(self, spec: ModelSpec, text: TextTower, images: image.ImageTower) -> None:
        self.spec = spec
        self._text = text
        self._images = images

    @classmethod
    def load(cls, spec: ModelSpec, models_dir: Path, threads: int, on_stage: Callable[[str], None]) -> Pocket:
        """Open the converted weights, converting them on first use. Raises ModelError, FolderError."""
        folder = ensure_converted(models_dir, on_stage)
        on_stage("Loading Pocket")
        return cls(spec, TextTower(folder, threads), image.ImageTower(folder, threads))

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Text stays text; a picture becomes (260, 260, 3) uint8."""
        if modality == "text":
            return content
        self._check(modality)
        return image.prepare(content)

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Embed prepared inputs: (n, 384) float32, rows of unit length. Raises ModalityError."""
        self._check(modality)
        tower = self._text if modality == "text" else self._images
        return tower.encode(prepared)

    def encode_query(self, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
        """Embed questions; Pocket has no prompts, so they meet documents on the same terms."""
        return self.encode_document(modality, [self.prepare(modality, one) for one in contents])

    def _check(self, modality: Modality) -> None:
        if modality not in self.spec.modalities:
            raise ModalityError(self.spec.id, modality, self.spec.modalities)
