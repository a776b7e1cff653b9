"""Rerankers through sentence-transformers' CrossEncoder: one joint score per question and document."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ModalityError, ModelError
from engine.media.pixels import within_aspect
from engine.models.base import Kind, ModelChoice, ModelSpec
from engine.models.device import Device
from engine.models.hub.batches import Batches
from engine.models.hub.embedder import WORDS, alike, tensor_bytes
from engine.models.hub.inputs import at_least_two, check_aspect, clean_words, shrunk, to_input, video_options
from engine.models.hub.limits import marks, model_pixel_limits
from engine.models.probes import probe
from engine.types import MODALITIES, Modality, Provenance

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_CHEAP_SECONDS = 5.0
_EDGES = ("shortest_edge", "longest_edge")  # what Qwen's processors call the least and the most pixels


class RerankerWeights:
    """One loaded reranker: the owner of its memory and of who may use it next."""

    kind: Kind = "reranker"

    def __init__(
        self, spec: ModelSpec, made_by: Provenance, model: CrossEncoder, device: Device, *, batch_items: int
    ) -> None:
        self.spec, self.made_by, self.device = spec, made_by, device
        self.modalities: tuple[Modality, ...] = tuple(one for one in MODALITIES if one in model.modalities)
        self._model: CrossEncoder | None = model
        self._joint = "message" in model.modalities
        # Only a model of nothing but text takes a bare string for words, whatever it looks like.
        self._bare = tuple(model.modalities) == ("text",)
        self._batches = Batches(spec.id, device, batch_items)
        limits = model_pixel_limits(model) if "image" in self.modalities else None
        self._limits = (spec.min_pixels or limits[0], spec.max_pixels or limits[1]) if limits else None
        self._side_px = int(self._limits[1] ** 0.5) if self._limits else None
        self._marks = marks(model)
        self.memory_bytes = tensor_bytes(model)
        self.seconds_per_item: Mapping[Modality, float] = {one: self._measure(one) for one in self.modalities}
        self._check_words()

    def view(self, choice: ModelChoice) -> SentenceReranker:
        """Return the reranker; width and prompts are an embedder's choices."""
        return SentenceReranker(self)

    def close(self) -> None:
        """Let go of the model; views of it cannot be used afterwards."""
        self._model = None

    def can_read(self, query: Modality, document: Modality) -> bool:
        """Tell whether the model reads this pair of modalities."""
        known = query in self.modalities and document in self.modalities
        return known and (query == document == "text" or self._joint)

    def score(self, query: tuple[Modality, Any], documents: Sequence[tuple[Modality, Any]]) -> np.ndarray:
        """Score n documents: (n,) float32 on the model's own scale, order kept.

        Raises ModalityError for a pair that it does not read, ModelError where the model fails.
        """
        for modality, _ in documents:
            if not self.can_read(query[0], modality):
                raise ModalityError(self.spec.id, f"{query[0]} against {modality}", self.modalities)
        # One kind at a time: a batch of pictures and words would be padded to the longest.
        scores = np.zeros(len(documents), np.float32)
        for modality in dict.fromkeys(modality for modality, _ in documents):
            rows = [row for row, document in enumerate(documents) if document[0] == modality]
            scores[rows] = self._predict(query, [documents[row] for row in rows])
        return scores

    def _predict(self, query: tuple[Modality, Any], documents: list[tuple[Modality, Any]]) -> np.ndarray:
        """Score n >= 1 documents of one modality, a batch at a time: (n,) float32.

        Videos go one by one, each with its times.
        """
        asked, modality = self._prepared(*query), documents[0][0]
        alone = "video" in (query[0], modality)
        parts = self._batches.run(
            "query", modality, documents, lambda batch: self._forward(asked, batch), most=1 if alone else None
        )
        return np.concatenate(parts)

    def _prepared(self, modality: Modality, content: Any) -> tuple[Modality, Any]:
        if modality == "text":
            return modality, clean_words(content, self._marks)
        if modality == "image":
            if self._side_px:
                check_aspect(content)
            else:
                content = within_aspect(content)
            return modality, shrunk(content, self._side_px)
        return modality, at_least_two(content) if modality == "video" else content

    def _pair(self, query: tuple[Modality, Any], document: tuple[Modality, Any]) -> tuple[Any, Any]:
        """Return a pair as the model takes it: a text-only model opens no string, and takes only those."""
        if self._bare:
            return query[1], document[1]
        return to_input(*query), to_input(*document)

    def _forward(self, query: tuple[Modality, Any], batch: list[tuple[Modality, Any]]) -> np.ndarray:
        """Score a batch of b documents of one modality: (b,) float32. Raises ModelError."""
        if self._model is None:
            raise ModelError(f"{self.spec.id} was unloaded; ask again.")
        prepared = [self._prepared(*document) for document in batch]
        pairs = [self._pair(query, document) for document in prepared]
        videos = [content for kind, content in (query, *prepared) if kind == "video"]
        options = {"video": video_options(videos)} if videos else {}
        if self._limits and "image" in (query[0], batch[0][0]):
            options["image"] = {"size": dict(zip(_EDGES, self._limits, strict=True))}
        scores = self._model.predict(
            pairs, batch_size=len(pairs), show_progress_bar=False, processing_kwargs=options
        )
        return self._checked(scores)

    def _checked(self, scores: Any) -> np.ndarray:
        """Return a model's scores as (b,) float32, finite. Raises ModelError where they are not that."""
        scores = np.asarray(scores, np.float32)
        if scores.ndim != 1 or not np.isfinite(scores).all():
            raise ModelError(
                f"{self.spec.id} does not give one finite score per pair (it gave {scores.shape}); "
                f"it is not a reranker, needs float32, or its files are damaged."
            )
        return scores

    def _measure(self, modality: Modality) -> float:
        """Return the seconds one pair of words and this modality takes, warmed up where that is cheap."""
        asking: Modality = "text" if self.can_read("text", modality) else modality
        if not self.can_read(asking, modality):
            return 0.0
        for _ in range(2):
            started = time.perf_counter()
            self.score((asking, probe(asking)), [(modality, probe(modality))])
            seconds = time.perf_counter() - started
            if seconds > _CHEAP_SECONDS:
                break
        return seconds

    def _check_words(self) -> None:
        """Raise WeightsError where all words score alike: transformers makes up a missing tokenizer."""
        if self.can_read("text", "text"):
            scores = self.score(("text", WORDS[0]), [("text", word) for word in WORDS])
            if np.ptp(scores) == 0:
                raise alike(self.spec.id)


class SentenceReranker:
    """A `base.Reranker` over loaded weights."""

    codec = None

    def __init__(self, weights: RerankerWeights) -> None:
        self._weights, self.spec, self.modalities = weights, weights.spec, weights.modalities
        self.provenance = weights.made_by

    def can_read(self, query: Modality, document: Modality) -> bool:
        """Tell whether the model reads a question of one modality against a document of another."""
        return self._weights.can_read(query, document)

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Return the content: a joint model reads question and document together, or not at all."""
        return content

    def score(self, query: tuple[Modality, Any], documents: Sequence[tuple[Modality, Any]]) -> np.ndarray:
        """Score n documents against one question: (n,) float32, higher is better, order kept.

        The scale is the model's own (Qwen3-VL's are raw logits). Raises ModelError.
        """
        return self._weights.score(query, documents)
