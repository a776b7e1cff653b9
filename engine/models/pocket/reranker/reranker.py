"""The embedded reranker behind the protocol: pictures are examined once, then scored by learned weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from engine.errors import ModalityError, ModelOptionError, WeightsError
from engine.models.base import Kind, ModelChoice, ModelSpec
from engine.models.pocket.convert import ensure_converted, ensure_regions
from engine.models.pocket.reranker.evidence import Evidence, NpzEvidence, examine
from engine.models.pocket.reranker.features import FEATURES, features
from engine.models.pocket.reranker.question import ParsedQuestion, parse
from engine.models.pocket.reranker.reading import Reader
from engine.models.pocket.reranker.recipe import PROVENANCE, RECIPE
from engine.models.pocket.reranker.regions import RegionNetwork
from engine.models.pocket.text import TextTower
from engine.models.probes import probe
from engine.types import Modality

_QUESTIONS = 16  # taken apart and kept: one question is asked of the hits in portions
_OPTIONS = ("dim", "query_prompt", "document_prompt", "min_pixels", "max_pixels")


class PocketReranker:
    """Scores pictures for a question in words; see CARD.md for what it was trained on and where it loses."""

    codec = NpzEvidence()
    provenance = PROVENANCE

    def __init__(self, spec: ModelSpec, text: TextTower, network: RegionNetwork, reader: Reader) -> None:
        self.spec, self.modalities = spec, spec.modalities
        self._text, self._network, self._reader = text, network, reader
        self._weights = np.array([RECIPE.weights[name] for name in FEATURES], np.float32)
        self._parse = lru_cache(_QUESTIONS)(self._taken_apart)

    @classmethod
    def load(
        cls, spec: ModelSpec, models_dir: Path, threads: int, on_stage: Callable[[str], None]
    ) -> PocketReranker:
        """Open the converted weights, converting them on first use. Raises ModelError, FolderError."""
        towers, regions = ensure_converted(models_dir, on_stage), ensure_regions(models_dir, on_stage)
        on_stage("Loading Pocket's reranker")
        try:
            anchors = np.load(towers / "anchors.npy")
            network = RegionNetwork(regions, anchors, threads)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise WeightsError(
                f"The converted weights in {regions} cannot be read ({error}). Delete that folder; it is "
                f"built again when the reranker is next loaded."
            ) from error
        return cls(spec, TextTower(towers, threads), network, Reader())

    def can_read(self, query: Modality, document: Modality) -> bool:
        """Words against pictures, and nothing else."""
        return (query, document) == ("text", "image")

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Read from a picture what no question changes: `evidence.Evidence`; anything else stays."""
        return examine(content, self._network, self._reader) if modality == "image" else content

    def score(self, query: tuple[Modality, Any], documents: Sequence[tuple[Modality, Any]]) -> np.ndarray:
        """Score n pictures, as they are or prepared: (n,) float32, higher is better, order kept.

        The scale is log-odds within one question. Raises ModalityError for other pairs.
        """
        for modality, _ in documents:
            if not self.can_read(query[0], modality):
                raise ModalityError(self.spec.id, f"{query[0]} against {modality}", self.modalities)
        rows = self.features(query[1], [content for _, content in documents])
        return (rows * self._weights).sum(axis=1)  # row by row, so that no score depends on its batch

    def features(self, text: str, pictures: Sequence[Any]) -> np.ndarray:
        """Return the named features of n pictures: (n, len(FEATURES)) float32, what the weights weigh."""
        read = [one if isinstance(one, Evidence) else self.prepare("image", one) for one in pictures]
        return features(self._parse(text), read, self._network.kinds)

    def _taken_apart(self, text: str) -> ParsedQuestion:
        return parse(text, self._text.encode, self._network.middle)


class PocketRerankerWeights:
    """The reranker as `loaded.LoadedModels` keeps it: there is nothing to choose."""

    kind: Kind = "reranker"

    def __init__(self, model: PocketReranker) -> None:
        self._model, self.spec = model, model.spec
        self.memory_bytes = int((model.spec.memory_gb or 0) * 1e9)
        self.seconds_per_item: Mapping[Modality, float] = {"image": _seconds(model)}

    def view(self, choice: ModelChoice) -> PocketReranker:
        """Return the reranker. Raises ModelOptionError for a width, a prompt or a pixel limit."""
        for option in _OPTIONS:
            if (wanted := getattr(choice, option)) is not None and wanted != getattr(PROVENANCE, option):
                raise ModelOptionError(self.spec.id, option, repr(wanted), repr(getattr(PROVENANCE, option)))
        return self._model

    def close(self) -> None:
        """Let go of the networks."""
        del self._model


def _seconds(model: PocketReranker) -> float:
    """Return the seconds a picture takes that was never examined, after a first one that warms up."""
    for _ in range(2):
        started = time.perf_counter()
        model.score(("text", probe("text")), [("image", probe("image"))])
    return time.perf_counter() - started
