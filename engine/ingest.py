"""Flow 1, files to stored vectors, as a job that can be stopped and run again at any time.

Three stages overlap: the next batch is read and decoded while this one is embedded and the last one
is written. An item's id is the SHA-256 of its bytes (a caption's also covers what it captions), so
running the same ingest again stores nothing twice and completes what was cut short.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import CollectionError, MediaError, StoreFailedError
from engine.ledger import Ledger
from engine.library import Library, check_space
from engine.media.decode import Probe, captions_of, decode, probe
from engine.media.images import THUMBNAIL_PX, thumbnail
from engine.media.sources import Source, SourceList
from engine.models.base import Embedder
from engine.settings import Settings
from engine.store import Store, check_name
from engine.types import (
    Failure,
    IngestReport,
    Item,
    MediaItem,
    Modality,
    Progress,
    VectorTable,
)

_Rows = list[tuple[Modality, list[Item], VectorTable]]
_IN_FLIGHT = 2  # batches being embedded: one alone leaves a core idle whenever it ends
_REPAIRS = 3
_CHECKED = 1_024  # rows held in memory at once while they are checked


@dataclass
class _Ready:
    """One item on its way: what will be stored, and what the embedder will read."""

    item: Item
    prepared: Any = field(repr=False)


@dataclass
class _Batch:
    """What came of a batch of files; the order of files does not matter from here on, ids do."""

    files: int
    ready: list[_Ready] = field(default_factory=list)
    restored: _Rows = field(default_factory=list)
    skipped: int = 0
    failed: list[Failure] = field(default_factory=list)


class Ingest:
    """One run over a list of sources into one collection."""

    def __init__(
        self,
        collection: str,
        *,
        store: Store,
        ledger: Ledger,
        library: Library,
        embedder: Embedder,
        settings: Settings,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.collection = check_name(collection)
        self._store, self._ledger, self._library = store, ledger, library
        self._embedder, self._settings = embedder, settings
        self._on_progress, self._cancelled = on_progress, cancelled
        self._made_by = embedder.spec.provenance
        self._seen: set[str] = set()
        self._refused: dict[str, str] = {}
        self._written: dict[Modality, list[str]] = {}
        self._saved: set[str] = set()
        self._progress = Progress("Reading", 0, 0)
        self._writing: Future[None] | None = None
        self._started = time.monotonic()

    def run(self, found: SourceList) -> IngestReport:
        """Ingest every source; a file that fails is named with its reason and costs no other.

        Raises CollectionModelError before anything is read, and a StoreError or FolderError when
        the store or the disk fails; what was stored until then stays stored.
        """
        self._store.check_model(self.collection, self._made_by)
        self._ledger.set_provenance(self.collection, self._made_by)
        try:
            return self._run(found)
        finally:
            for media in list(self._saved):  # read ahead, but cancelled or failed before it was stored
                self._release(media)
                if not self._ledger.is_used(media):
                    self._library.delete(media)

    def _run(self, found: SourceList) -> IngestReport:
        self._report(Progress("Reading", 0, len(found.sources), failed=found.failed))
        with (
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(_IN_FLIGHT) as encoders,
            ThreadPoolExecutor(1) as writer,
        ):
            in_flight: deque[tuple[_Batch, Future[_Rows]]] = deque()
            for batch in self._read_ahead(reader, found.sources):
                in_flight.append((batch, encoders.submit(self._encode, batch)))
                if len(in_flight) == _IN_FLIGHT:
                    self._pass_on(*in_flight.popleft(), writer)
            while in_flight:
                self._pass_on(*in_flight.popleft(), writer)
            if self._writing:
                self._writing.result()
        self._report(replace(self._progress, stage="Checking the index"))
        self._verify()
        return IngestReport(
            collection=self.collection,
            model=self._embedder.spec.id,
            stored=self._progress.stored,
            skipped=self._progress.skipped,
            failed=self._progress.failed,
            seconds=time.monotonic() - self._started,
            cancelled=self._progress.done < self._progress.total,
        )

    def _pass_on(self, batch: _Batch, encoded: Future[_Rows], writer: ThreadPoolExecutor) -> None:
        """Hand a batch from the embedder to the writer, which works at one batch at a time."""
        rows = encoded.result()
        if self._writing:
            self._writing.result()
        self._writing = writer.submit(self._write, rows)
        before = self._progress
        self._report(
            replace(
                before,
                stage="Embedding",
                done=before.done + batch.files,
                stored=before.stored + sum(len(items) for _, items, _ in rows),
                skipped=before.skipped + batch.skipped,
                failed=(*before.failed, *batch.failed),
            )
        )

    def _report(self, progress: Progress) -> None:
        self._progress = replace(progress, elapsed_seconds=time.monotonic() - self._started)
        self._on_progress(self._progress)

    def _read_ahead(self, reader: ThreadPoolExecutor, sources: Sequence[Source]) -> Iterator[_Batch]:
        """Yield batches while the next one is already being read; stop when cancelled."""
        size = self._settings.batch_files
        with ThreadPoolExecutor(self._settings.threads) as decoders:
            following: Future[_Batch] | None = None
            for start in range(0, len(sources), size):
                current = following
                following = reader.submit(self._read, decoders, sources[start : start + size])
                if current:
                    yield current.result()
                if self._cancelled():
                    following.result()
                    return
            if following:
                yield following.result()

    def _read(self, decoders: ThreadPoolExecutor, sources: Sequence[Source]) -> _Batch:
        check_space(self._library.data_dir, min_free_bytes=int(self._settings.min_free_disk_mb * 1e6))
        batch = _Batch(len(sources))
        probes: list[Probe] = []
        for source, result in zip(sources, decoders.map(_tried(probe), sources), strict=True):
            if isinstance(result, MediaError):
                batch.failed.append(Failure(source.name, result.reason))
            else:
                probes.append(result)
        known = self._known(probes)
        wanted, repeated = self._sorted(probes, known)
        for probed, media in zip(wanted, decoders.map(_tried(self._decode), wanted), strict=True):
            if isinstance(media, MediaError):
                self._refused[probed.sha256] = media.reason
                batch.failed.append(Failure(probed.source.name, media.reason))
            else:
                batch.ready.append(media)
                self._add_captions(probed, known, batch)
        for probed in repeated:
            self._add_repeated(probed, known, batch)
        self._restore(batch)
        return batch

    def _known(self, probes: Sequence[Probe]) -> set[str]:
        """Return the ids of these files and their captions that are in the store already."""
        by_modality: dict[Modality, list[str]] = {"text": [], "image": []}
        for probed in probes:
            by_modality[probed.modality].append(probed.sha256)  # type: ignore[index]
            by_modality["text"] += [caption.item.id for caption in captions_of(probed)]
        return {
            id_
            for modality, ids in by_modality.items()
            for id_ in self._store.existing(self.collection, modality, ids)
        }

    def _sorted(self, probes: Sequence[Probe], known: set[str]) -> tuple[list[Probe], list[Probe]]:
        """Split the files into new ones and those that are stored or were seen in this run."""
        new, repeated = [], []
        for probed in probes:
            fresh = probed.sha256 not in known and probed.sha256 not in self._seen
            (new if fresh else repeated).append(probed)
            self._seen.add(probed.sha256)
        return new, repeated

    def _add_repeated(self, probed: Probe, known: set[str], batch: _Batch) -> None:
        """Take only a new caption of a file whose bytes are here already."""
        if probed.sha256 in self._refused:
            batch.failed.append(Failure(probed.source.name, self._refused[probed.sha256]))
            return
        batch.skipped += 1
        self._add_captions(probed, known, batch)

    def _add_captions(self, probed: Probe, known: set[str], batch: _Batch) -> None:
        for caption in captions_of(probed):
            if caption.item.id in known or caption.item.id in self._seen:
                batch.skipped += 1
            else:
                self._seen.add(caption.item.id)
                batch.ready.append(self._prepared(caption))

    def _decode(self, probed: Probe) -> _Ready:
        side = max(self._embedder.image_side_px, THUMBNAIL_PX)
        media = decode(probed, max_pixels=self._settings.max_image_pixels, side_px=side)
        if media.item.media:
            self._saved.add(media.item.media)
            self._library.pin(media.item.media)
            self._library.save(media.item.media, media.item.mime, probed.data, thumbnail(media.content))
        return self._prepared(media)

    def _prepared(self, media: MediaItem) -> _Ready:
        return _Ready(media.item, self._embedder.prepare(media.item.modality, media.content))

    def _restore(self, batch: _Batch) -> None:
        """Take vectors from the ledger where an earlier run was cut off before the store had them."""
        for modality in {ready.item.modality for ready in batch.ready}:
            ids = [ready.item.id for ready in batch.ready if ready.item.modality == modality]
            items, table = self._ledger.get(self.collection, modality, ids)
            if items:
                batch.restored.append((modality, items, table))
                batch.ready = [ready for ready in batch.ready if ready.item.id not in table.ids]

    def _encode(self, batch: _Batch) -> _Rows:
        rows = list(batch.restored)
        for modality in ("image", "text"):
            ready = [one for one in batch.ready if one.item.modality == modality]
            if ready:
                vectors = self._embedder.encode_document(modality, [one.prepared for one in ready])
                items = [one.item for one in ready]
                rows.append((modality, items, VectorTable(tuple(i.id for i in items), vectors)))
        return rows

    def _write(self, rows: _Rows) -> None:
        step = self._settings.store_batch_rows
        for modality, items, table in rows:
            if self._ledger.provenance(self.collection) != self._made_by:
                raise CollectionError(
                    f"The collection {self.collection!r} was deleted while files were added to it. "
                    f"Add them again if you want them."
                )
            self._ledger.put(self.collection, items, table)
            for item in items:
                self._release(item.media)
            for start in range(0, len(items), step):
                part = items[start : start + step]
                chosen = table.take(item.id for item in part)
                self._store.upsert(self.collection, self._made_by, modality, part, chosen)
            self._written.setdefault(modality, []).extend(table.ids)

    def _release(self, media: str | None) -> None:
        if media in self._saved:
            self._saved.discard(media)
            self._library.release(media)

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


def restore(collection: str, modality: Modality, store: Store, ledger: Ledger) -> int:
    """Put back what the ledger holds and the store has lost, without embedding; returns how many.

    Takes nothing away: other processes may keep rows of their own in the same collection of a server.
    """
    made_by = ledger.provenance(collection)
    total = 0
    for items, table in ledger.pages(collection, modality, rows=256) if made_by else ():
        stored = store.existing(collection, modality, table.ids)
        lost = [item for item in items if item.id not in stored]
        store.upsert(collection, made_by, modality, lost, table.take(item.id for item in lost))
        total += len(lost)
    return total


def rebuild(collection: str, modality: Modality, store: Store, ledger: Ledger) -> int:
    """Make the index of one modality again from the ledger, without embedding; returns its size."""
    made_by = ledger.provenance(collection)
    if made_by is None:
        return 0
    store.delete_part(collection, modality)
    total = 0
    for items, table in ledger.pages(collection, modality, rows=256):
        store.upsert(collection, made_by, modality, items, table)
        total += len(items)
    return total


def _tried(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the step with a MediaError as its result, so that one file's error stays its own."""

    def run(value: Any) -> Any:
        try:
            return step(value)
        except MediaError as error:
            return error

    return run
