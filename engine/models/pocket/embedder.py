"""Pocket behind the embedder protocol: routes each modality to its tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from engine.errors import ModalityError
from engine.models.base import EncodingTask, ModelSpec
from engine.models.pocket import image
from engine.models.pocket.convert import ensure_converted
from engine.models.pocket.recipe import PROVENANCE
from engine.models.pocket.text import TextTower
from engine.types import Modality


class Pocket:
    """Text and pictures in one space of 384 numbers, without torch (see recipe.json for sources)."""

    image_side_px = image.RESIZE_PX

    def __init__(self, spec: ModelSpec, text: TextTower, images: image.ImageTower) -> None:
        self.spec, self.modalities = spec, spec.modalities
        self.provenance = PROVENANCE
        self._text = text
        self._images = images

    @classmethod
    def load(cls, spec: ModelSpec, models_dir: Path, threads: int, on_stage: Callable[[str], None]) -> Pocket:
        """Open the converted weights, converting them on first use. Raises ModelError, FolderError."""
        folder = ensure_converted(models_dir, on_stage)
        on_stage("Loading Pocket")
        return cls(spec, TextTower(folder, threads), image.ImageTower(folder, threads))

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Text stays text; a picture becomes (260, 260, 3) uint8 RGB. Raises ModalityError."""
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
        """Embed n questions: (n, 384) float32, rows of unit length. Raises ModalityError.

        Pocket has no prompts, so they meet documents on the same terms.
        """
        return self.encode_document(modality, [self.prepare(modality, one) for one in contents])

    def pieces(self, words: Sequence[str]) -> list[int | None]:
        """Return into how many word pieces each word falls; None for one that it has no pieces for."""
        return self._text.pieces(words)

    def encode_mixed(
        self, task: EncodingTask, contents: Sequence[Sequence[tuple[Modality, Any]]]
    ) -> NoReturn:
        """Raise ModalityError: Pocket embeds one modality at a time."""
        raise ModalityError(self.spec.id, "several modalities in one input", self.modalities)

    def spread(self, items: int) -> AbstractContextManager[int]:
        """Pocket runs on the cores of the CPU, all of them already."""
        return nullcontext(1)

    def _check(self, modality: Modality) -> None:
        if modality not in self.spec.modalities:
            raise ModalityError(self.spec.id, modality, self.spec.modalities)
