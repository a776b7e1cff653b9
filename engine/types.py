"""The types that travel between rooms; arrays only ever travel inside a table with their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

Modality = Literal["text", "image", "audio", "video"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class Item:
    """What is stored about one item; `pair` joins a picture and its captions.

    `id` is 64 hexadecimal digits derived from the content (see `ingest.py`); `media` is the
    SHA-256 of the media file in the library, or None for text. Sizes are in bytes and pixels,
    `added_at` in Unix seconds, `start_seconds` from the start of the medium.
    """

    id: str
    modality: Modality
    name: str
    mime: str
    pair: str
    caption: str = ""
    labels: tuple[str, ...] = ()
    media: str | None = None
    size_bytes: int = 0
    width_px: int | None = None
    height_px: int | None = None
    start_seconds: float | None = None
    added_at: int = 0


@dataclass(frozen=True)
class MediaItem:
    """An item with its decoded content, ready for an embedder.

    `content` is a `str` for text and an upright RGB `PIL.Image.Image` for a picture.
    """

    item: Item
    content: Any = field(repr=False)


@dataclass(frozen=True)
class VectorTable:
    """Vectors with their ids: row i of `vectors` belongs to `ids[i]`.

    vectors: (n, d) float32, finite. Raises ValueError if the shapes, the dtype or the ids
    (unique, one per row) do not agree.
    """

    ids: tuple[str, ...]
    vectors: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.ids) != len(self.vectors):
            raise ValueError(f"{len(self.ids)} ids do not fit vectors of {self.vectors.shape}")
        if self.vectors.dtype != np.float32:
            raise ValueError(f"vectors must be float32, not {self.vectors.dtype}")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("ids must be unique")
        if not np.isfinite(self.vectors).all():
            raise ValueError("vectors must be finite")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, ids: Iterable[str]) -> VectorTable:
        """Return the rows of these ids, in their order; KeyError for an id that is not here."""
        row = {id_: index for index, id_ in enumerate(self.ids)}
        wanted = tuple(ids)
        return VectorTable(wanted, self.vectors[[row[id_] for id_ in wanted]])


@dataclass(frozen=True)
class Provenance:
    """What made the vectors of a collection; vectors of two provenances are never compared."""

    model: str
    revision: str
    dim: int

    def __str__(self) -> str:
        return f"{self.model} {self.revision} ({self.dim} dimensions)"


@dataclass(frozen=True)
class Filters:
    """What a search or a listing is limited to; an empty filter lets everything through."""

    modalities: tuple[Modality, ...] = ()
    labels: tuple[str, ...] = ()
    equal: tuple[tuple[str, str], ...] = ()

    def allows(self, modality: Modality) -> bool:
        """Tell whether items of this modality may appear."""
        return not self.modalities or modality in self.modalities


@dataclass(frozen=True)
class Hit:
    """One found item. `score` is a cosine in [-1, 1]; ranks start at 1.

    Scores of two modalities are not comparable with each other (the modality gap).
    `retrieval_rank` is the rank within the item's own modality.
    """

    rank: int
    item: Item
    score: float
    retrieval_rank: int
    rerank_score: float | None = None

    def ranked(self, rank: int) -> Hit:
        """Return this hit at another place of a merged list."""
        return replace(self, rank=rank)


@dataclass(frozen=True)
class SearchTrace:
    """A search with every stage kept.

    `retrieved` holds one list per modality as Chroma answered it, best first; `results` the merged
    list; `searched` how many items of each modality were searched; `timings_ms` the stages.
    """

    collection: str
    model: str
    query: str
    query_modality: Modality
    retrieved: dict[Modality, tuple[Hit, ...]]
    results: tuple[Hit, ...]
    searched: dict[Modality, int]
    timings_ms: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A file that was not stored, and why, in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did. `stored` and `skipped` count items: a captioned picture is two."""

    collection: str
    model: str
    stored: int
    skipped: int
    failed: tuple[Failure, ...]
    seconds: float
    cancelled: bool = False

    @property
    def per_second(self) -> float:
        """Items handled (stored or skipped) per second."""
        return (self.stored + self.skipped) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Progress:
    """How far a job is. Counts are files, `stored`/`skipped` items; times in seconds."""

    stage: str
    done: int
    total: int
    stored: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()
    elapsed_seconds: float = 0.0

    @property
    def share(self) -> float:
        """Return the finished share in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def files_per_second(self) -> float:
        """Return the mean rate since the job began."""
        return self.done / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Return the time left at the mean rate, or None before the first file is done."""
        if not self.done or self.elapsed_seconds <= 0:
            return None
        return (self.total - self.done) / self.files_per_second
