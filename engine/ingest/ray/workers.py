"""What the workers of a Ray cluster do in an ingest: decode files, and embed what came out; imports no Ray.

Everything that travels between machines is here too, and always carries its id.
"""

from __future__ import annotations

import pickle
import socket
from asyncio import Future, Queue, ensure_future, shield
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import GapscopeError, MediaError, ModelError
from engine.media.decode import Probe, thumbnail_of
from engine.media.decoder import parts_of
from engine.media.parts import Limits
from engine.models.base import Embedder, ModelChoice, ModelSpec
from engine.models.in_memory import LoadedModels
from engine.models.load import Loader
from engine.settings import Settings
from engine.types import Item, Modality, Noted, Provenance

if TYPE_CHECKING:
    import pyarrow as pa

_PACKET_BYTES = 64_000_000  # decoded content per row, so that a parcel of huge pictures becomes several
_CACHE = Path(".cache") / "gapscope"  # below the home folder of a machine without the data folder


@dataclass(frozen=True)
class Parcel:
    """What goes to the workers: recognised files with their bytes, and captions as (id, text)."""

    files: list[Probe]
    captions: list[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One item on its way; `reason` is set where it failed.

    `file` is the SHA-256 of its file, or a caption's id; `place` tells which of the `parts` of the file it
    is, from 0. `content` is what decoding gave, then what the model prepared of it, then nothing; `vector`
    is (dim,) float32 from the actor on. Captions have no `item`, as the driver knows it, nor has a file
    that failed as a whole. The thumbnail of a file is with its first part.
    """

    file: str
    modality: Modality
    content: Any = field(default=None, repr=False)
    item: Item | None = None
    place: int = 0
    parts: int = 1
    thumbnail: bytes = field(default=b"", repr=False)
    vector: np.ndarray | None = field(default=None, repr=False)
    reason: str = ""
    notes: tuple[Noted, ...] = ()


@dataclass(frozen=True)
class FarEmbedder:
    """Stands on the driver for the model on the workers; what is "prepared" here is a finished vector."""

    spec: ModelSpec
    provenance: Provenance
    modalities: tuple[Modality, ...]
    image_side_px: int | None
    seconds_per_item: Mapping[Modality, float]

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Return the vector as it is."""
        return content

    def encode_document(self, modality: Modality, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Return the n prepared vectors, (dim,) float32 each, as one matrix (n, dim) float32."""
        return np.stack(prepared)

    def spread(self, items: int) -> AbstractContextManager[int]:
        """Ray spreads the work already."""
        return nullcontext(1)


class Desk:
    """Where read tasks fetch their parcels: each in the order of asking, the same again for a retry."""

    def __init__(self) -> None:
        self._waiting: Queue[int] = Queue()
        self._parcels: dict[int, list[Any]] = {}
        self._numbers: dict[int, Future[int]] = {}

    async def give(self, number: int, reference: list[Any]) -> None:
        """Take a parcel in: a list of its one object reference, which keeps Ray from resolving it."""
        self._parcels[number] = reference
        self._waiting.put_nowait(number)

    async def take(self, ticket: int) -> list[Any]:
        """Wait for a parcel; a ticket gets the same one however often it asks, or nothing once dropped."""
        if ticket not in self._numbers:
            self._numbers[ticket] = ensure_future(self._waiting.get())
        return self._parcels.get(await shield(self._numbers[ticket]), [])

    async def drop(self, number: int) -> None:
        """Forget a parcel that is done."""
        self._parcels.pop(number, None)


def decoded(parcel: Parcel, limits: Limits) -> Iterator[Row]:
    """Decode the files of a parcel, a row a part; what fails is a row with its reason and costs no other."""
    for probed in parcel.files:
        try:
            parts = parts_of(probed, limits)
        except MediaError as error:
            yield Row(probed.sha256, "text", reason=error.reason)
            continue
        small = thumbnail_of(parts)
        for place, part in enumerate(parts):
            row = Row(probed.sha256, part.item.modality, None, part.item, place, len(parts))
            row = replace(row, thumbnail=b"" if place else small, notes=part.notes)
            if isinstance(part.content, MediaError):
                yield replace(row, reason=part.content.reason)
            else:
                yield replace(row, content=part.content)
    for id_, text in parcel.captions:
        yield Row(id_, "text", text)


def packets(rows: Iterable[Row], limit: int = _PACKET_BYTES) -> Iterator[list[bytes]]:
    """Yield the rows, pickled one by one, in lists that end once they hold `limit` bytes."""
    packet: list[bytes] = []
    for row in rows:
        packet.append(pickle.dumps(row))
        if sum(map(len, packet)) >= limit:
            yield packet
            packet = []
    if packet:
        yield packet


class Encoder:
    """An actor with a copy of the model; it tells its errors as rows of text, not as Ray's tracebacks."""

    def __init__(self, settings: Settings, choice: ModelChoice, made_by: Provenance) -> None:
        self._lent, self._trouble = ExitStack(), ""
        try:
            self._model, _ = self._lent.enter_context(_model(settings, choice))
            if not self._model.provenance.agrees_with(made_by):
                raise ModelError(_other_model(self._model.provenance, made_by))
        except GapscopeError as error:
            self._trouble = str(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Embed a table of packets: a list of rows for each, or the sentence that says what is wrong."""
        return to_table([self._answer(pickle.loads(packed.as_buffer())) for packed in table["packed"]])

    def _answer(self, packet: Sequence[bytes]) -> list[Row] | str:
        if self._trouble:
            return self._trouble
        try:
            rows = [self._prepared(pickle.loads(one)) for one in packet]
            return [row for row in rows if row.reason] + self._embedded(
                [row for row in rows if not row.reason]
            )
        except GapscopeError as error:
            return str(error)

    def _prepared(self, row: Row) -> Row:
        try:
            content = None if row.reason else self._model.prepare(row.modality, row.content)
        except MediaError as error:
            return replace(row, content=None, reason=error.reason)
        return replace(row, content=content)

    def _embedded(self, rows: Sequence[Row]) -> list[Row]:
        done: list[Row] = []
        for modality in dict.fromkeys(row.modality for row in rows):
            part = [row for row in rows if row.modality == modality]
            vectors = self._model.encode_document(modality, [row.content for row in part])
            done += [
                replace(row, content=None, vector=vector) for row, vector in zip(part, vectors, strict=True)
            ]
        return done


def described(settings: Settings, choice: ModelChoice) -> FarEmbedder | str:
    """Load a model where this runs and tell what it is, or what is wrong with it."""
    try:
        with _model(settings, choice) as (model, seconds):
            return FarEmbedder(model.spec, model.provenance, model.modalities, model.image_side_px, seconds)
    except GapscopeError as error:
        return str(error)


@contextmanager
def _model(settings: Settings, choice: ModelChoice) -> Iterator[tuple[Embedder, Mapping[Modality, float]]]:
    """Lend a model of this machine, and the seconds one item takes it."""
    settings = local_settings(settings)
    loader = Loader(settings)
    models = LoadedModels(settings, loader.load, loader.needs, loader.would_fit, loader.device_of)
    with models.use(loader.resolve(choice), "embedder") as model:
        yield model, models.list()[0].seconds_per_item


def local_settings(settings: Settings) -> Settings:
    """Return the driver's settings as they do for this machine: Pocket's converted weights need a folder."""
    if settings.data_dir.is_dir():  # the driver's machine, or a disk that they share
        return settings
    return settings.model_copy(update={"data_dir": Path.home() / _CACHE})


def _other_model(found: Provenance, wanted: Provenance) -> str:
    differences = "; ".join(found.differences(wanted))
    return (
        f"The machine {socket.gethostname()} has another {wanted.model} than the first one asked "
        f"({differences}). Give all machines of the cluster the same files."
    )


def to_table(values: Sequence[Any]) -> pa.Table:
    """Return a table of one row per value, pickled: Ray Data carries tables, not Python objects."""
    import pyarrow as pa

    return pa.table({"packed": pa.array([pickle.dumps(one) for one in values], pa.large_binary())})
