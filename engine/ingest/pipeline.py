"""Items on their way to stored vectors, in three stages that overlap; where they come from is a subclass's.

The next batch is read and decoded while this one is embedded and the last one is written. Every
vector is in the ledger before it is in the store, and at the end is searched for by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from engine.disk import check_space
from engine.errors import CollectionError, MediaError, StoreFailedError
from engine.ingest.failures import with_failed
from engine.media.decoder import Decoder
from engine.media.images import THUMBNAIL_PX
from engine.media.notes import Tally
from engine.media.parts import Limits
from engine.models.base import DocumentEmbedder
from engine.progress import CancelledError, Hooks, Progress
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder
from engine.storage.repair import rebuild
from engine.types import MODALITIES, Failure, Item, MediaItem, Modality, Noted, VectorTable

Rows = list[tuple[Modality, list[Item], VectorTable]]
_IN_FLIGHT = 2  # batches being embedded: one alone leaves a core idle whenever it ends
_REPAIRS = 3
_CHECKED = 1_024  # rows held in memory at once while they are checked


@dataclass
class Ready:
    """One item on its way: what will be stored, and what the embedder will read."""

    item: Item
    prepared: Any = field(repr=False)


@dataclass
class Batch:
    """What came of a batch of inputs; their order does not matter from here on, ids do."""

    inputs: int
    ready: list[Ready] = field(default_factory=list)
    restored: Rows = field(default_factory=list)
    skipped: int = 0
    failed: list[Failure] = field(default_factory=list)
    noted: list[tuple[str, tuple[Noted, ...]]] = field(default_factory=list)  # by the file's name

    def add(self, other: Batch) -> None:
        """Take in what came of other inputs."""
        self.inputs += other.inputs
        self.ready += other.ready
        self.restored += other.restored
        self.skipped += other.skipped
        self.failed += other.failed
        self.noted += other.noted


class Pipeline:
    """One run of inputs into one collection; a subclass reads them in `_read`."""

    _stage = "Embedding"

    def __init__(
        self,
        collection: str,
        folder: DataFolder,
        embedder: DocumentEmbedder,
        hooks: Hooks,
    ) -> None:
        self.collection = check_name(collection)
        self._folder, self._settings = folder, folder.settings
        self._store, self._ledger, self._library = folder.store, folder.ledger, folder.library
        self._embedder = embedder
        self._on_progress, self._cancelled = hooks.on_progress, hooks.cancelled
        self._made_by = embedder.provenance
        self._written: dict[Modality, list[str]] = {}
        self._progress = Progress("Reading", 0, 0)
        self._tally = Tally()
        self._writing: Future[None] | None = None
        self._started = time.monotonic()

    def _read(self, decoder: Decoder, inputs: Sequence[Any]) -> Batch:
        """Turn a batch of inputs into items ready to be embedded; an input that fails costs no other."""
        raise NotImplementedError

    def _stored(self, item: Item) -> None:
        """Hear that the ledger refers to an item now."""

    def _deleted_error(self) -> CollectionError:
        """Return the error of a collection that was deleted, or embedded again, under this run."""
        return CollectionError(
            f"The collection {self.collection!r} was deleted or re-embedded with another model while "
            f"files were added to it. Add them again if you want them."
        )

    def _run(self, batches: Iterable[Sequence[Any]]) -> None:
        """Read, embed and write every batch of inputs, or those until it is cancelled."""
        left = self._progress.total - self._progress.done
        with (
            self._embedder.spread(left) as workers,
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(_IN_FLIGHT) as encoders,
            ThreadPoolExecutor(1) as writer,
        ):
            in_flight: deque[tuple[Batch, Future[Rows]]] = deque()
            for batch in self._read_ahead(reader, _merged(batches, workers)):
                in_flight.append((batch, encoders.submit(self._encode, batch)))
                if len(in_flight) == _IN_FLIGHT:
                    self._pass_on(*in_flight.popleft(), writer)
            while in_flight:
                self._pass_on(*in_flight.popleft(), writer)
            if self._writing:
                self._writing.result()

    def _pass_on(self, batch: Batch, encoded: Future[Rows], writer: ThreadPoolExecutor) -> None:
        """Hand a batch from the embedder to the writer, which works at one batch at a time."""
        rows = encoded.result()
        if self._writing:
            self._writing.result()
        self._writing = writer.submit(self._write, rows)
        before = self._progress
        for name, notes in batch.noted:
            self._tally.add(name, notes)
        self._report(
            replace(
                with_failed(before, batch.failed),
                stage=self._stage,
                done=before.done + batch.inputs,
                stored=before.stored + sum(len(items) for _, items, _ in rows),
                skipped=before.skipped + batch.skipped,
            )
        )

    def _report(self, progress: Progress) -> None:
        self._progress = replace(progress, elapsed_seconds=time.monotonic() - self._started)
        self._on_progress(self._progress)

    def _read_ahead(self, reader: ThreadPoolExecutor, batches: Iterable[Sequence[Any]]) -> Iterator[Batch]:
        """Yield batches while the next one is already being read; stop when cancelled, also in the middle."""
        with self._decoder() as decoder, suppress(CancelledError):
            following: Future[Batch] | None = None
            for inputs in batches:
                current = following
                following = reader.submit(self._read_checked, decoder, inputs)
                if current:
                    yield current.result()
                if self._cancelled():
                    following.result()
                    return
            if following:
                yield following.result()

    def _decoder(self) -> Decoder:
        limits = Limits.of(self._settings, self._side_px)
        return Decoder(limits, threads=self._settings.threads, cancelled=self._cancelled)

    def _read_checked(self, decoder: Decoder, inputs: Sequence[Any]) -> Batch:
        check_space(self._library.data_dir, min_free_bytes=int(self._settings.min_free_disk_mb * 1e6))
        return self._read(decoder, inputs)

    @property
    def _side_px(self) -> int | None:
        """Return the shorter side down to which a picture may be decoded, for model and thumbnail."""
        side = self._embedder.image_side_px
        return None if side is None else max(side, THUMBNAIL_PX)

    def _prepared(self, media: MediaItem) -> Ready:
        """Prepare an item for the embedder. Raises MediaError, which may stand in the content's place."""
        if isinstance(media.content, MediaError):
            raise media.content
        return Ready(media.item, self._embedder.prepare(media.item.modality, media.content))

    def _encode(self, batch: Batch) -> Rows:
        rows = list(batch.restored)
        for modality in reversed(MODALITIES):  # a picture before its captions
            ready = [one for one in batch.ready if one.item.modality == modality]
            if ready:
                vectors = self._embedder.encode_document(modality, [one.prepared for one in ready])
                items = [one.item for one in ready]
                rows.append((modality, items, VectorTable(tuple(i.id for i in items), vectors)))
        return rows

    def _write(self, rows: Rows) -> None:
        for modality, items, table in rows:
            if not self._ledger.put(self.collection, items, table, made_by=self._made_by):
                raise self._deleted_error()
            for item in items:
                self._stored(item)
            self._upsert(modality, items, table)
            self._written.setdefault(modality, []).extend(table.ids)

    def _upsert(self, modality: Modality, items: list[Item], table: VectorTable) -> None:
        step = self._settings.store_batch_rows
        try:
            for start in range(0, len(items), step):
                part = items[start : start + step]
                chosen = table.take(item.id for item in part)
                self._store.upsert(self.collection, self._made_by, modality, part, chosen)
        except StoreFailedError as error:
            if self._ledger.provenance(self.collection) is None:  # deleted under the store's hands
                raise self._deleted_error() from error
            raise

    def _verify(self) -> None:
        """Search for everything this run wrote, and write anew what is not found by its own vector."""
        for modality, written in self._written.items():
            try:
                for _ in range(_REPAIRS):
                    written = self._repaired(modality, written)
            except StoreFailedError:
                written = written[:1]
            if written:
                rebuild(self.collection, modality, self._store, self._ledger)

    def _repaired(self, modality: Modality, ids: list[str]) -> list[str]:
        lost: list[str] = []
        for start in range(0, len(ids), _CHECKED):
            _, table = self._ledger.get(self.collection, modality, ids[start : start + _CHECKED])
            lost += self._store.unfound(self.collection, modality, table)
        items, table = self._ledger.get(self.collection, modality, lost)
        if items:
            self._store.delete_items(self.collection, lost)
            self._store.upsert(self.collection, self._made_by, modality, items, table)
        return lost


def _merged(batches: Iterable[Sequence[Any]], count: int) -> Iterator[Sequence[Any]]:
    """Yield every `count` batches as one: so many devices share it."""
    waiting = iter(batches)
    while some := list(islice(waiting, count)):
        yield [one for batch in some for one in batch]
