"""What every model looks like to the rest of the engine; imports no model library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from engine.errors import ImportedVectorsError
from engine.media.formats import decoded_modalities
from engine.types import Modality, Provenance

Kind = Literal["embedder", "reranker", "multi-vector"]
INGESTED = decoded_modalities()
EncodingTask = Literal["query", "document"]
Runner = Literal["pocket", "towers", "sentence-transformers"]


@dataclass(frozen=True)
class ModelSpec:
    """A model as the catalog describes it; what is None is read from the model when it is loaded.

    `revision` is what is asked of the hub (None: its main branch); `dim` the full width of its
    vectors and `dims` the narrower Matryoshka widths it was trained for; `parameters` a count;
    `memory_gb` what it needs resident at `gpu_dtype` (10^9 bytes, from its card or its parameters);
    `min_pixels` and `max_pixels` bound width times height of a picture before it is cut into patches.
    `images_by` names the model that embeds the pictures of a text-only member of its space. `languages` are
    all that it reads, by their codes of two letters; empty where they are many, or not known.
    """

    id: str
    kind: Kind
    modalities: tuple[Modality, ...]
    licence: str
    note: str
    runner: Runner = "sentence-transformers"
    revision: str | None = None
    dim: int | None = None
    dims: tuple[int, ...] = ()
    parameters: int | None = None
    memory_gb: float | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    gpu_dtype: str = "bfloat16"
    cpu_dtype: str = "float32"
    gpu_attention: str | None = None
    remote_code: bool = False
    packages: tuple[str, ...] = ()
    images_by: str | None = None
    languages: tuple[str, ...] = ()

    @property
    def from_hub(self) -> bool:
        """Tell whether it is of the hub; what is not runs on the CPU, by packages that are installed."""
        return self.runner == "sentence-transformers"


@dataclass(frozen=True)
class ModelChoice:
    """A model as somebody wants it; None leaves the model's own default.

    `id` is a catalog id, a hub id or a local folder. Choices that differ only in `dim`, the prompts
    and the pixel limits share one copy of the weights.
    """

    id: str
    revision: str | None = None
    dim: int | None = None
    dtype: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None

    @classmethod
    def of(cls, made_by: Provenance) -> ModelChoice:
        """Return the choice that embeds as the vectors of a collection were embedded.

        Raises ImportedVectorsError where no model here made them: every way to a model goes through this.
        """
        if made_by.imported:
            raise ImportedVectorsError(made_by.imported)
        return cls(
            id=made_by.model,
            **{one.name: getattr(made_by, one.name) for one in fields(cls) if one.name != "id"},
        )

    @property
    def weights(self) -> ModelChoice:
        """Return the part of the choice that needs a copy of the weights of its own."""
        return ModelChoice(self.id, revision=self.revision, dtype=self.dtype)


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory as the pages show it.

    `memory_bytes` is what its weights occupy on `device`; `load_seconds` the time from asking to
    ready; `seconds_per_item` maps a modality to the time one item took right after loading.
    """

    choice: ModelChoice
    kind: Kind
    provenance: Provenance
    modalities: tuple[Modality, ...]
    device: str
    memory_bytes: int
    load_seconds: float
    seconds_per_item: Mapping[Modality, float] = field(default_factory=dict)
    in_use: int = 0


def slowest_ingested(seconds_per_item: Mapping[Modality, float]) -> float:
    """Return the most seconds an item takes of the kinds that files become."""
    return max((value for key, value in seconds_per_item.items() if key in INGESTED), default=0.0)


class DocumentEmbedder(Protocol):
    """Turns what is stored into unit vectors: all that an ingest asks of a model.

    Content is a str for text, an upright RGB `PIL.Image.Image` for a picture, a `types.Sound` and
    a `types.Frames` for audio and video.
    """

    @property
    def spec(self) -> ModelSpec:
        """Return the model as the catalog describes it."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Return what a collection records of the vectors this embedder makes."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Return what it embeds."""
        ...

    @property
    def image_side_px(self) -> int | None:
        """Return the shorter side below which a picture loses detail; None: any detail counts."""
        ...

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Do the CPU work that may overlap the forward pass of an earlier batch; keeps memory small.

        Raises ModalityError for a modality the model does not embed.
        """
        ...

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Embed n prepared inputs for storing: (n, dim) float32, rows of unit length, order kept.

        Raises ModalityError for a modality the model does not embed.
        """
        ...

    def spread(self, items: int) -> AbstractContextManager[int]:
        """Encode so many documents on every device while it lasts, where that pays; yields how many."""
        ...


class Embedder(DocumentEmbedder, Protocol):
    """Turns content of one modality into unit vectors; safe to call from several threads."""

    def encode_query(self, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
        """Embed n questions, content as it is: (n, dim) float32, rows of unit length, order kept.

        Goes ahead of documents that wait. Raises ModalityError for a modality it does not embed.
        """
        ...

    def encode_mixed(
        self, task: EncodingTask, contents: Sequence[Sequence[tuple[Modality, Any]]]
    ) -> np.ndarray:
        """Embed n inputs of several parts each, such as a picture with its caption: (n, dim) float32.

        Raises ModalityError where the model takes no such mixture.
        """
        ...


@runtime_checkable
class ReadsWords(Protocol):
    """An embedder that can tell how it reads words; of others it is not known."""

    def pieces(self, words: Sequence[str]) -> list[int | None]:
        """Return into how many pieces each word falls; None for one that it has no pieces for."""
        ...


class EvidenceCodec(Protocol):
    """How a reranker's prepared documents are kept between questions.

    `revision` changes whenever what is prepared does.
    """

    revision: str

    def pack(self, prepared: Any) -> bytes:
        """Return a prepared document as bytes."""
        ...

    def unpack(self, data: bytes) -> Any:
        """Return what `pack` was given. Raises ValueError for bytes it did not make."""
        ...


class Reranker(Protocol):
    """Scores pairs of a question and a document with a joint model; safe to call from several threads."""

    spec: ModelSpec
    provenance: Provenance
    modalities: tuple[Modality, ...]

    @property
    def codec(self) -> EvidenceCodec | None:
        """Return how prepared documents are kept; None where they cost nothing, or are too large for that."""
        ...

    def can_read(self, query: Modality, document: Modality) -> bool:
        """Tell whether the model reads a question of one modality against a document of another."""
        ...

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Do the part of the work on a document that no question changes. Raises ModalityError."""
        ...

    def score(self, query: tuple[Modality, Any], documents: Sequence[tuple[Modality, Any]]) -> np.ndarray:
        """Score n documents, as they are or prepared, against one question: (n,) float32, order kept.

        Higher is better. The scale is the model's own (often raw logits, also negative) and shares
        nothing with a cosine. Raises ModalityError for a pair it cannot read.
        """
        ...
