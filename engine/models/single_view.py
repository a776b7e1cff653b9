"""Weights that have one view: an embedder with one width and no prompts, such as Pocket and kept towers."""

from __future__ import annotations

import time
from collections.abc import Mapping

from engine.errors import ModelOptionError
from engine.models.base import Embedder, Kind, ModelChoice
from engine.models.probes import probe
from engine.types import Modality

_OPTIONS = ("dim", "query_prompt", "document_prompt", "min_pixels", "max_pixels")


class SingleView:
    """An embedder as `in_memory.LoadedModels` keeps it; how long an item takes is measured here."""

    kind: Kind = "embedder"

    def __init__(self, model: Embedder) -> None:
        self._model, self.spec = model, model.spec
        self.memory_bytes = int((model.spec.memory_gb or 0) * 1e9)
        self.seconds_per_item: Mapping[Modality, float] = {
            modality: _seconds(model, modality) for modality in model.modalities
        }

    def view(self, choice: ModelChoice) -> Embedder:
        """Return the model. Raises ModelOptionError for a width, a prompt or a pixel limit it has not."""
        for option in _OPTIONS:
            wanted, only = getattr(choice, option), getattr(self._model.provenance, option)
            if wanted is not None and wanted != only:
                raise ModelOptionError(self.spec.id, option, repr(wanted), repr(only))
        return self._model

    def close(self) -> None:
        """Let go of the networks."""
        del self._model


def _seconds(model: Embedder, modality: Modality) -> float:
    """Return the seconds one item takes, after a first one that warms up."""
    for _ in range(2):
        started = time.perf_counter()
        model.encode_query(modality, [probe(modality)])
    return time.perf_counter() - started
