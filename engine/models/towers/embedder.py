"""A kept pair of heads behind the embedder protocol: Pocket's features, then the head of their modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from engine.errors import ModalityError, WeightsError
from engine.models.base import EncodingTask, ModelSpec
from engine.models.pocket import image
from engine.models.pocket.features import PocketFeatures
from engine.models.pocket.recipe import FEATURES
from engine.models.towers.kept import Heads, read
from engine.types import Modality
from engine.vectors import normalise


class TowersEmbedder:
    """Text and pictures in the space that two heads were trained to share; safe to share between threads."""

    image_side_px = image.RESIZE_PX

    def __init__(self, spec: ModelSpec, features: PocketFeatures, heads: Heads) -> None:
        self.spec, self.modalities = spec, spec.modalities
        self.provenance = heads.provenance(spec.id)
        self._features = features
        self._heads = {
            "text": (heads.text_weights, heads.text_bias),
            "image": (heads.image_weights, heads.image_bias),
        }

    @classmethod
    def load(
        cls, spec: ModelSpec, revision: str, data_dir: Path, threads: int, on_stage: Callable[[str], None]
    ) -> TowersEmbedder:
        """Open kept heads and Pocket's networks. Raises ModelError, FolderError."""
        heads = read(data_dir, spec.id, revision)
        if heads.trained_on.features != FEATURES:
            raise WeightsError(
                f"{spec.id} was trained on features of {heads.trained_on.features}, and this is {FEATURES}. "
                f"Train it again, or re-embed with another model what it had made."
            )
        return cls(spec, PocketFeatures.load(data_dir / "models", threads, on_stage), heads)

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Text stays text; a picture becomes (260, 260, 3) uint8 RGB. Raises ModalityError."""
        self._check(modality)
        return self._features.prepare(modality, content)

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Embed prepared inputs: (n, dim) float32, rows of unit length. Raises ModalityError."""
        self._check(modality)
        weights, bias = self._heads[modality]
        if not len(prepared):
            return np.zeros((0, len(bias)), np.float32)
        return normalise(self._features.encode(modality, prepared) @ weights + bias)

    def encode_query(self, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
        """Embed n questions: (n, dim) float32, rows of unit length. Raises ModalityError."""
        return self.encode_document(modality, [self.prepare(modality, one) for one in contents])

    def pieces(self, words: Sequence[str]) -> list[int | None]:
        """Return into how many word pieces each word falls; None for one that it has no pieces for."""
        return self._features.pieces(words)

    def encode_mixed(
        self, task: EncodingTask, contents: Sequence[Sequence[tuple[Modality, Any]]]
    ) -> NoReturn:
        """Raise ModalityError: a head takes one modality."""
        raise ModalityError(self.spec.id, "several modalities in one input", self.modalities)

    def spread(self, items: int) -> AbstractContextManager[int]:
        """It runs on the cores of the CPU, all of them already."""
        return nullcontext(1)

    def _check(self, modality: Modality) -> None:
        if modality not in self.modalities:
            raise ModalityError(self.spec.id, modality, self.modalities)
