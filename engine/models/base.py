"""What every embedder looks like to the rest of the engine; imports no model library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.types import Modality, Provenance


@dataclass(frozen=True)
class ModelSpec:
    """A model as the catalog describes it.

    `dim` is the width of its vectors, `parameters` a count, `memory_gb` what it needs resident
    (10^9 bytes, measured or from its model card), `revision` what exactly made the vectors.
    """

    id: str
    kind: str
    revision: str
    modalities: tuple[Modality, ...]
    dim: int
    parameters: int
    memory_gb: float
    licence: str
    note: str

    @property
    def provenance(self) -> Provenance:
        """Return what a collection records of the model that made it."""
        return Provenance(self.id, self.revision, self.dim)


class Embedder(Protocol):
    """Turns content of one modality into unit vectors; safe to call from several threads.

    Content is a str for text and an upright RGB `PIL.Image.Image` for pictures.
    """

    spec: ModelSpec
    image_side_px: int  # the shorter side below which a picture would lose detail for this model

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Do the CPU work that may overlap the forward pass of an earlier batch; keeps memory small."""
        ...

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Embed n prepared inputs for storing: (n, dim) float32, rows of unit length.

        Raises ModalityError for a modality the model does not embed.
        """
        ...

    def encode_query(self, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
        """Embed n questions, content as it is: (n, dim) float32, rows of unit length.

        Raises ModalityError for a modality the model does not embed.
        """
        ...
