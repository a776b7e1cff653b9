"""Flow 1, files to stored vectors, as a job that can be stopped and run again at any time.

An item's id is the SHA-256 of its file's bytes (that of a caption, or of a part among others, is made from
it), so running the same ingest again stores nothing twice and completes what was cut short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import MediaError
from engine.ingest.budget import BATCH_BYTES, batches, within
from engine.ingest.failures import with_failed
from engine.ingest.pipeline import Batch, Pipeline
from engine.media.decode import Probe, captions_of, thumbnail_of
from engine.media.decoder import Decoder
from engine.media.metadata import disagreement, metadata_of
from engine.media.sources import Source, SourceList
from engine.models.base import DocumentEmbedder, ModelChoice
from engine.models.lender import Models
from engine.progress import Hooks, Progress
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder
from engine.types import MODALITIES, Failure, IngestReport, Item, MediaItem, Modality


@dataclass
class Found:
    """Files that were read and recognised: which of them, and of their captions, the store knows."""

    batch: Batch
    known: set[str]
    wanted: list[Probe]
    repeated: list[Probe]


class FileIngest(Pipeline):
    """One run over a list of sources into one collection."""

    def __init__(self, collection: str, folder: DataFolder, embedder: DocumentEmbedder, hooks: Hooks) -> None:
        super().__init__(collection, folder, embedder, hooks)
        self._seen: set[str] = set()
        self._refused: dict[str, str] = {}
        self._parts: dict[str, int] = {}  # of the files of this run: how many are stored, by hash
        self._saved: list[str] = []  # media that are pinned, once for every item that waits to be stored
        self._cut: list[Sequence[Source]] = []
        self._before: set[str] = set()  # of the files of this run: those that were stored already, by hash
        self._first: dict[str, Source] = {}  # by the hash of its bytes, of this run
        self._copies: dict[str, list[Source]] = {}  # others with the same bytes, which say more

    def run(self, found: SourceList) -> IngestReport:
        """Ingest every source; a file that fails is named with its reason and costs no other.

        Raises CollectionModelError before anything is read, and a StoreError or FolderError when
        the store or the disk fails; what was stored until then stays stored.
        """
        self._store.check_model(self.collection, self._made_by)
        self._ledger.set_provenance(self.collection, self._made_by)
        found = within(found, self._settings.max_run_bytes)
        self._report(with_failed(replace(self._progress, total=len(found.sources)), found.failed))
        self._cut = batches(found.sources, files=self._settings.batch_files, max_bytes=BATCH_BYTES)
        report = self._whole(self._cut)
        return replace(report, left_out=found.left_out, notes=(*report.notes, *found.notes))

    def _whole(self, batches: Iterable[Sequence[Any]]) -> IngestReport:
        """Take in every batch of inputs and check what was written; leave no media that nothing refers to."""
        try:
            self._run(batches)
            self._report(replace(self._progress, stage="Checking the index"))
            self._verify()
            self._complete()
        finally:
            for media in list(self._saved):  # read ahead, but cancelled or failed before it was stored
                self._release(media)
                if not self._ledger.is_used(media):
                    self._library.delete(media)
        return IngestReport(
            collection=self.collection,
            model=self._embedder.spec.id,
            stored=self._progress.stored,
            skipped=self._progress.skipped,
            failed=self._progress.failed,
            failed_kinds=self._progress.failed_kinds,
            seconds=time.monotonic() - self._started,
            cancelled=self._progress.done < self._progress.total,
            notes=tuple(self._tally.sentences()),
        )

    def _read(self, decoder: Decoder, inputs: Sequence[Any]) -> Batch:
        found = self._look(decoder, inputs)
        return self._take(found, decoder.decode(found.wanted, self._decoded))

    def _look(self, decoder: Decoder, inputs: Sequence[Source]) -> Found:
        """Read and recognise files, and tell which of them must be decoded."""
        batch = Batch(len(inputs))
        probes: list[Probe] = []
        for source, result in zip(inputs, decoder.probe(inputs), strict=True):
            if isinstance(result, MediaError):
                batch.failed.append(Failure(source.name, result.reason))
            else:
                probes.append(result)
        known = self._known(probes)
        return Found(batch, known, *self._sorted(probes, known))

    def _take(self, found: Found, taken: Iterable[Batch | MediaError]) -> Batch:
        """Complete the batch with what became of the wanted files, in their order, and all captions."""
        batch = found.batch
        for probed, parts in zip(found.wanted, taken, strict=True):
            if isinstance(parts, MediaError):
                parts = Batch(1, failed=[Failure(probed.source.name, parts.reason)])
            batch.add(replace(parts, inputs=0))
            if parts.failed and not parts.ready and not parts.skipped:
                self._refused[probed.sha256] = parts.failed[0].reason
                continue
            self._parts[probed.sha256] = len(parts.ready) + parts.skipped
            self._add_captions(probed, found.known, batch)
        stored = self._stored_before(found.repeated)
        for probed in found.repeated:
            self._add_repeated(probed, found.known, batch)
            self._compare(probed, stored, batch)
        self._restore(batch)
        return batch

    def _known(self, probes: Sequence[Probe]) -> set[str]:
        """Return the ids of these files and their captions that are in the store already."""
        keys = [(probed.modality, probed.sha256) for probed in probes]
        captions = [caption.item for probed in probes for caption in captions_of(probed)]
        return self._existing([*keys, *((caption.modality, caption.id) for caption in captions)])

    def _existing(self, keys: Iterable[tuple[Modality, str]]) -> set[str]:
        """Return the ids of those that are in the store already."""
        by_modality: dict[Modality, list[str]] = {modality: [] for modality in MODALITIES}
        for modality, id_ in keys:
            by_modality[modality].append(id_)
        return {
            id_
            for modality, ids in by_modality.items()
            if ids
            for id_ in self._store.existing(self.collection, modality, ids)
        }

    def _sorted(self, probes: Sequence[Probe], known: set[str]) -> tuple[list[Probe], list[Probe]]:
        """Split the files into new ones and those that are stored or were seen in this run."""
        new: list[Probe] = []
        repeated: list[Probe] = []
        for probed in probes:
            fresh = probed.sha256 not in known and probed.sha256 not in self._seen
            (new if fresh else repeated).append(probed)
            if probed.sha256 in known and probed.sha256 not in self._seen:
                self._before.add(probed.sha256)
            self._seen.add(probed.sha256)
            self._first.setdefault(probed.sha256, probed.source)
        return new, repeated

    def _add_repeated(self, probed: Probe, known: set[str], batch: Batch) -> None:
        """Take only a new caption of a file whose bytes are here already."""
        if probed.sha256 in self._refused:
            batch.failed.append(Failure(probed.source.name, self._refused[probed.sha256]))
            return
        batch.skipped += self._parts.get(probed.sha256, 1)
        name, first = probed.source.name, self._first[probed.sha256]
        if first is not probed.source and probed.sha256 not in self._before:
            batch.noted.append((name, (("same", first.name if first.name != name else ""),)))
        self._add_captions(probed, known, batch)

    def _stored_before(self, probes: Sequence[Probe]) -> dict[str, Item]:
        """Return the items that an earlier run stored of those files that have labels or columns."""
        ids: dict[Modality, list[str]] = {}
        for probed in probes:
            source = probed.source
            if self._first[probed.sha256] is source and (source.labels or source.metadata):
                ids.setdefault(probed.modality, []).append(probed.sha256)
        return {
            item.id: item
            for modality, some in ids.items()
            for item in self._ledger.get(self.collection, modality, some)[0]
        }

    def _compare(self, probed: Probe, stored: Mapping[str, Item], batch: Batch) -> None:
        """Remember what a copy says that the first one does not, and note what differs from a stored one."""
        source, first = probed.source, self._first[probed.sha256]
        item = stored.get(probed.sha256)
        if source is first and item and _says_other(source, item):
            batch.noted.append((source.name, (("known", item.name if item.name != source.name else ""),)))
        elif source is not first and _says_other(source, first):
            self._copies.setdefault(probed.sha256, []).append(source)

    def _complete(self) -> None:
        """Add to stored items the labels and columns of files with the same bytes; the first column stays."""
        said = {}
        for sha256, copies in self._copies.items():
            first, *others = copies
            for other in others:
                first = _merged(first, other)
            said[sha256] = first.labels, first.metadata
            columns = _merged(self._first[sha256], first).metadata
            for one in copies:
                if disagreement(one.metadata, columns):
                    self._tally.add(one.name, [("known", self._first[sha256].name)])
        for sha256 in self._folder.complete_items(self.collection, said) if said else ():
            for one in self._copies[sha256]:
                if _says_more(one, self._first[sha256]):
                    self._tally.add(one.name, [("copy", self._first[sha256].name)])

    def _add_captions(self, probed: Probe, known: set[str], batch: Batch) -> None:
        for caption in captions_of(probed):
            if caption.item.id in known or caption.item.id in self._seen:
                batch.skipped += 1
            else:
                self._seen.add(caption.item.id)
                batch.ready.append(self._prepared(caption))

    def _decoded(self, probed: Probe, parts: Sequence[MediaItem]) -> Batch:
        return self._parts_ready(probed, parts, thumbnail_of(parts))

    def _parts_ready(self, probed: Probe, parts: Sequence[MediaItem], small: bytes) -> Batch:
        """Save a decoded file and prepare its parts, but those that are stored; each fails alone."""
        # What has the file's own hash was looked for before it was decoded.
        others = [part.item for part in parts if part.item.id != probed.sha256]
        known = self._existing((item.modality, item.id) for item in others)
        batch, first = Batch(1, skipped=len(known)), parts[0].item
        if first.media and len(known) < len(parts):
            self._save(first, probed.data, small)
        for part in parts:
            try:
                if part.item.id not in known:
                    batch.ready.append(self._prepared(part))
                    batch.noted.append((part.item.name, part.notes))
            except MediaError as error:
                batch.failed.append(Failure(part.item.name, error.reason))
        return batch

    def _save(self, item: Item, data: bytes, small: bytes) -> None:
        """Save a medium and its thumbnail, and keep others from deleting it until it is stored."""
        media = item.media or ""
        self._saved.append(media)
        self._library.pin(media)
        self._library.save(media, item.mime, data, small)

    def _restore(self, batch: Batch) -> None:
        """Take vectors from the ledger where an earlier run was cut off before the store had them."""
        for modality in {ready.item.modality for ready in batch.ready}:
            ids = [ready.item.id for ready in batch.ready if ready.item.modality == modality]
            items, table = self._ledger.get(self.collection, modality, ids)
            if items:
                batch.restored.append((modality, items, table))
                batch.ready = [ready for ready in batch.ready if ready.item.id not in table.ids]

    def _stored(self, item: Item) -> None:
        self._release(item.media)

    def _release(self, media: str | None) -> None:
        with suppress(ValueError):  # of a file of several parts it is released with the first
            self._saved.remove(media or "")
            self._library.release(media or "")


def _says_other(source: Source, other: Source | Item) -> bool:
    """Tell whether a file has labels or columns that another one with the same bytes has not, or not so."""
    return _says_more(source, other) or disagreement(source.metadata, other.metadata)


def _says_more(source: Source, other: Source | Item) -> bool:
    """Tell whether a file has labels or columns that another one with the same bytes has not."""
    columns = dict(source.metadata).keys() - dict(other.metadata).keys()
    return bool(set(source.labels) - set(other.labels) or columns)


def _merged(one: Source, other: Source) -> Source:
    """Return a file with the labels and columns of both; the first of two columns with one name."""
    labels = tuple(dict.fromkeys((*one.labels, *other.labels)))
    return replace(one, labels=labels, metadata=metadata_of((*one.metadata, *other.metadata)))


def ingest_files(
    folder: DataFolder,
    models: Models,
    collection: str,
    found: SourceList,
    *,
    choice: ModelChoice | None = None,
    accept_slow: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Ingest sources into a collection, by default with what made it; see `FileIngest.run`.

    Raises CollectionNameError, ModelError, and SlowModelError before anything is embedded where the
    model would take more than half an hour, unless that was accepted.
    """
    check_name(collection)
    folder.finish_swaps()
    total = len(found.sources)
    choice = choice or folder.choice_of(collection)
    with models.embedder(choice, lambda stage: on_progress(Progress(stage, 0, total))) as embedder:
        if not accept_slow:
            models.check_speed(choice, total)
        return FileIngest(collection, folder, embedder, Hooks(on_progress, cancelled)).run(found)
