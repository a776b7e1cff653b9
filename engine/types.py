"""The types that travel between rooms; arrays only ever travel inside a table with their ids."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

Modality = Literal["text", "image", "audio", "video"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
PLURAL: dict[Modality, str] = {"text": "texts", "image": "pictures", "audio": "sounds", "video": "videos"}
# How a mixed list is ordered: `search/balance.py`.
Balance = Literal["raw", "centred", "standardised", "interleaved"]
BALANCES: tuple[Balance, ...] = get_args(Balance)
# How a column may be compared with a value; "~" is contains.
Operator = Literal["=", "!=", ">=", "<=", ">", "<", "~"]
# Names with their values, sorted by name; what is allowed in it: `media/metadata.py`.
Metadata = tuple[tuple[str, str | int | float | bool], ...]
# A kind of note (`media/notes.py`) with what it is about; nothing for some kinds.
Noted = tuple[str, str]


@dataclass(frozen=True)
class Item:
    """What is stored about one item; `pair` joins a picture and its captions.

    `id` is 64 hexadecimal digits derived from the content (see `ingest/files.py`); `media` is the
    SHA-256 of the media file in the library, or None for text. Sizes are in bytes and pixels,
    `added_at` in Unix seconds, `start_seconds` from the start of the medium. `given_id` and `given_pair`
    are what an imported row was called by whoever made its vector (`ingest/vectors.py`). `metadata` is
    what other columns of the data say of it. `place` tells captions of one file apart by their order: it
    counts those before it, and the first has none.
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
    given_id: str = ""
    given_pair: str = ""
    metadata: Metadata = ()
    place: int | None = None


@dataclass(frozen=True)
class MediaItem:
    """An item with its decoded content, ready for an embedder.

    `content` is a `str` for text, an upright RGB `PIL.Image.Image` for a picture, a `Sound` or `Frames`.
    `notes` are what must be said of it although it was taken.
    """

    item: Item
    content: Any = field(repr=False)
    notes: tuple[Noted, ...] = ()


@dataclass(frozen=True)
class Sound:
    """A mono recording: samples (n,) float32 in [-1, 1], n > 0, at `rate_hz` samples per second.

    Raises ValueError where the samples are not that; `Sound.of` takes stereo and integers too.
    """

    samples: np.ndarray = field(repr=False)
    rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or not len(self.samples) or self.samples.dtype != np.float32:
            raise ValueError(f"samples must be (n,) float32, not {self.samples.shape} {self.samples.dtype}")
        if not np.isfinite(self.samples).all():
            raise ValueError("samples must be finite")
        if self.rate_hz <= 0:
            raise ValueError(f"the rate must be positive, not {self.rate_hz}")

    @classmethod
    def of(cls, samples: np.ndarray, rate_hz: int) -> Sound:
        """Make a sound of samples (n,), (channels, n) or (n, channels); channels are averaged.

        Floats of any dtype are taken as they are, integers scaled by their range to [-1, 1]. The shorter
        axis counts as the channels. Raises ValueError for no samples, more axes, or what is not finite.
        """
        samples = np.asarray(samples)
        if np.issubdtype(samples.dtype, np.integer):
            limits = np.iinfo(samples.dtype)
            middle, half = (limits.max // 2 + 1, limits.max // 2 + 1) if limits.min == 0 else (0, -limits.min)
            samples = (samples.astype(np.float64) - middle) / half  # 8-bit sound is silent at 128
        if samples.ndim == 2:
            samples = samples.mean(axis=int(np.argmin(samples.shape)))
        return cls(np.ascontiguousarray(samples, np.float32), rate_hz)

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class Frames:
    """Frames of a video in order: pixels (n, height, width, 3) uint8 RGB, n > 0, `fps` frames per second."""

    pixels: np.ndarray = field(repr=False)
    fps: float

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or not all(shape):
            raise ValueError(f"frames must be (n, height, width, 3) uint8, not {shape} {self.pixels.dtype}")
        if not self.fps > 0:
            raise ValueError(f"frames per second must be positive, not {self.fps}")


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
class Projection:
    """Places of items on a map: row i of `places` belongs to `ids[i]`.

    places: (n, 2 or 3) float32, finite; placed: (n,) bool, True where the item was not fitted but put
    among its nearest fitted neighbours; added: (n,) bool, those of them that came after the fit (None:
    none); shared: (n,) int32, a number that items of the same vector have in common, -1 where there is no
    other (None: of all). `method` is what fitted it, and `note` says what was not done as asked. Raises
    ValueError if shapes, types or ids (unique) do not agree. Distances on it are no gap.
    """

    ids: tuple[str, ...]
    places: np.ndarray = field(repr=False)
    placed: np.ndarray = field(repr=False)
    method: str
    note: str = ""
    added: np.ndarray = field(repr=False, default=None)  # type: ignore[arg-type]  # an array once it is made
    shared: np.ndarray = field(repr=False, default=None)  # type: ignore[arg-type]  # likewise

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.places.ndim != 2 or len(self.places) != n or self.places.shape[1] not in (2, 3):
            raise ValueError(f"{n} ids do not fit places of {self.places.shape}")
        if self.places.dtype != np.float32 or not np.isfinite(self.places).all():
            raise ValueError("places must be finite float32")
        if self.added is None:
            object.__setattr__(self, "added", np.zeros(n, bool))
        if self.shared is None:
            object.__setattr__(self, "shared", np.full(n, -1, np.int32))
        if self.shared.shape != (n,) or self.shared.dtype != np.int32:
            raise ValueError(f"shared must be ({n},) int32, not {self.shared.shape} {self.shared.dtype}")
        for name, column in (("placed", self.placed), ("added", self.added)):
            if column.shape != (n,) or column.dtype != np.bool_:
                raise ValueError(f"{name} must be ({n},) bool, not {column.shape} {column.dtype}")
        if len(set(self.ids)) != n:
            raise ValueError("ids must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fitted_ids(self) -> tuple[str, ...]:
        """Return the ids of the items that were fitted and not placed."""
        return tuple(self.ids[row] for row in np.flatnonzero(~self.placed))

    def take(self, ids: Iterable[str]) -> Projection:
        """Return the rows of these ids, in their order; KeyError for an id that is not here."""
        row = {id_: index for index, id_ in enumerate(self.ids)}
        wanted = tuple(ids)
        rows = [row[id_] for id_ in wanted]
        arrays = {name: getattr(self, name)[rows] for name in ("places", "placed", "added", "shared")}
        return replace(self, ids=wanted, **arrays)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return in words what was not done as asked, and how many identical vectors share a place."""
        _, counts = np.unique(self.shared[self.shared >= 0], return_counts=True)
        several = counts[counts > 1]
        where = "a place" if len(several) == 1 else f"{len(several):,} places"
        copies = f"{several.sum():,} identical vectors share {where}." if len(several) else ""
        return tuple(filter(None, (self.note, copies)))


_IMPORTED = "imported: "  # in front of the label, where a model's id stands otherwise


@dataclass(frozen=True)
class Provenance:
    """What made the vectors of a collection; vectors of two provenances are never compared.

    `revision` is resolved: a commit of the hub, or a hash of a local folder's files. `min_pixels` and
    `max_pixels` bound a picture's width times height; None is the model's own. `libraries` are the
    releases that ran the model and `fingerprint` are the vectors of one fixed sentence and picture: a
    release that makes others is found by that, not by its number. `training` says on what a model of this
    data folder was trained, and how; of any other it is empty.
    """

    model: str
    revision: str
    dim: int
    dtype: str = "float32"
    query_prompt: str = ""
    document_prompt: str = ""
    min_pixels: int | None = None
    max_pixels: int | None = None
    libraries: str = field(default="", compare=False)
    training: str = field(default="", compare=False)
    fingerprint: str = field(default="", compare=False, repr=False)

    @classmethod
    def of_import(cls, label: str, dim: int) -> Provenance:
        """Return the provenance of vectors that came from outside, by what their maker is called."""
        return cls(f"{_IMPORTED}{label}", hashlib.sha256(label.encode()).hexdigest()[:12], dim)

    @property
    def imported(self) -> str:
        """Return the label of imported vectors; empty where a model here made them."""
        return self.model.removeprefix(_IMPORTED) if self.model.startswith(_IMPORTED) else ""

    def agrees_with(self, other: Provenance) -> bool:
        """Tell whether vectors of the two may be compared."""
        return not self.differences(other)

    def __str__(self) -> str:
        revision = "" if self.imported else f" {self.revision[:12]}"
        return f"{self.model}{revision} ({self.dim} dimensions)"

    def differences(self, other: Provenance) -> list[str]:
        """Return in words what differs: "dtype float32, not bfloat16"."""
        found = [
            f"{one.name.replace('_', ' ')} {_shown(getattr(self, one.name))}, "
            f"not {_shown(getattr(other, one.name))}"
            for one in fields(self)
            if one.compare and getattr(self, one.name) != getattr(other, one.name)
        ]
        if not found and not same_fingerprint(self.fingerprint, other.fingerprint):
            found.append(f"other vectors of the same things: {self.libraries}, not {other.libraries}")
        return found


_SAME_FINGERPRINT = 0.99  # rounding to 8 bits and another kind of processor cost less than 0.001


def _shown(value: object) -> str:
    return "the model's own" if value is None else repr(value) if isinstance(value, str) else str(value)


def to_fingerprint(vector: np.ndarray) -> str:
    """Return the first 256 numbers of a vector (d,), any float dtype, at 8 bits.

    Base64 text of at most 344 characters; the vector must not begin with 256 zeros.
    """
    head = np.asarray(vector[:256], np.float32)
    return base64.b64encode(np.round(head / np.abs(head).max() * 127).astype(np.int8).tobytes()).decode()


def same_fingerprint(one: str, other: str) -> bool:
    """Tell whether two fingerprints (parts joined by dots) agree, or one of them was never taken."""
    if not one or not other:
        return True
    parts, others = one.split("."), other.split(".")
    return len(parts) == len(others) and all(map(_same_part, parts, others))


def _same_part(one: str, other: str) -> bool:
    a, b = (np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32) for text in (one, other))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return len(a) == len(b) and float(a @ b) >= _SAME_FINGERPRINT * lengths


@dataclass(frozen=True)
class Condition:
    """What a column of an item must say: its name, how it is compared, and with what, as it was written.

    How it is read, and what a column allows: `storage/conditions.py`.
    """

    column: str
    operator: Operator
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"


@dataclass(frozen=True)
class Filters:
    """What a search is limited to; an empty filter lets everything through.

    An item has any of the modalities and any of the labels, and fulfils all conditions; but several that
    want one column to equal something are alternatives.
    """

    modalities: tuple[Modality, ...] = ()
    labels: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def allows(self, modality: Modality) -> bool:
        """Tell whether items of this modality may appear."""
        return not self.modalities or modality in self.modalities

    @property
    def of_columns(self) -> tuple[Condition, ...]:
        """Return all that is asked of columns, labels among them."""
        return (*(Condition("label", "=", label) for label in self.labels), *self.conditions)


@dataclass(frozen=True)
class Hit:
    """One found item. `score` is a cosine in [-1, 1]; ranks start at 1.

    Scores of two modalities are not comparable with each other (the modality gap).
    `retrieval_rank` is the rank within the item's own modality; `balanced` what a treatment made of the
    score, where it ordered by that: comparable within one list only.
    """

    rank: int
    item: Item
    score: float
    retrieval_rank: int
    rerank_score: float | None = None
    balanced: float | None = None

    def ranked(self, rank: int) -> Hit:
        """Return this hit at another place of a merged list."""
        return replace(self, rank=rank)


@dataclass(frozen=True)
class Reranked:
    """A result list in the order of a reranker, ranks from 1.

    The first `scored` of `hits` have a `rerank_score`; then come those of the head that got none (in
    `failed`, by the item's id, with the reason) and what was not reranked, both as they were retrieved.
    `by_caption` are the ids of items that were read by their captions; `fresh` counts the documents that
    were prepared for the first time. `timings_ms`: "open" is files and preparing, "score" the model.
    """

    model: str
    hits: tuple[Hit, ...]
    scored: int
    by_caption: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    fresh: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crowding:
    """How far one modality crowds out another in the first k places of a mixed list.

    `share` is each modality's share of those places and `of_all` its share of what was searched; both sum
    to 1. `outranked` is the probability, in [0, 1], that an unrelated item of the question's own modality
    stands above the true partner of this modality, over so many `pairs` of the collection; a modality
    without pairs, or without a score to compare, is left out.
    """

    k: int
    share: dict[Modality, float]
    of_all: dict[Modality, float]
    outranked: dict[Modality, float] = field(default_factory=dict)
    pairs: dict[Modality, int] = field(default_factory=dict)

    @property
    def exposure(self) -> dict[Modality, float]:
        """Return each modality's share of the places over its share of what was searched; 1 is neutral."""
        return {one: self.share[one] / of_all for one, of_all in self.of_all.items()}


@dataclass(frozen=True)
class SearchTrace:
    """A search with every stage kept.

    `retrieved` holds one list per modality, best first (centred: of what is in the merged list);
    `retrieval` the list merged in the order that `balance` names, which is raw where another could not be
    had (`notes` say why); `results` what is shown, reranked where that was asked for; `searched` how many
    items of each modality were searched, which are those that the filters let through; `crowding` is None
    where that was one modality, or nothing was found; `timings_ms` the stages. `copies` has what was hidden
    as a copy of a better hit, by the id of that hit, and is part of neither `retrieval` nor `results`;
    `doubt` is the one of the notes that says why the answer may mean nothing, or is empty.
    """

    collection: str
    model: str
    query: str
    query_modality: Modality
    retrieved: dict[Modality, tuple[Hit, ...]]
    retrieval: tuple[Hit, ...]
    results: tuple[Hit, ...]
    searched: dict[Modality, int]
    timings_ms: dict[str, float]
    notes: tuple[str, ...] = ()
    balance: Balance = "raw"
    crowding: Crowding | None = None
    doubt: str = ""
    copies: dict[str, tuple[Hit, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A file that was not stored, and why, in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """Files or rows that are not taken, counted by reason: a sentence, how many, and a few of their names."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class IngestReport:
    """What an ingest or an import did. `stored` and `skipped` count items: a captioned picture is two.

    `failed` may be the first of more: `failed_count` is how many, `failed_kinds` counts them by kind. What
    was left out on purpose is in `left_out`.
    """

    collection: str
    model: str
    stored: int
    skipped: int
    failed: tuple[Failure, ...]
    seconds: float
    cancelled: bool = False
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed_kinds: tuple[LeftOut, ...] = ()

    @property
    def failed_count(self) -> int:
        """Return how many files or rows failed, also those that are not kept one by one."""
        return sum(kind.count for kind in self.failed_kinds) or len(self.failed)

    @property
    def per_second(self) -> float:
        """Items handled (stored or skipped) per second."""
        return (self.stored + self.skipped) / self.seconds if self.seconds > 0 else 0.0
