"""A collection embedded again with another model, from the ledger's items and the library's media.

It is made hidden, and takes its place in one step when it is whole; until then the old one is there,
whatever happens. Stopped anywhere, it goes on from what it had embedded.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from engine.disk import check_space
from engine.errors import CollectionError, MediaError, ModalityError, UnreadableMediaError
from engine.ingest.pipeline import Batch, Pipeline, Ready
from engine.media.decode import content_of, probe_stored
from engine.media.decoder import Decoder
from engine.models.base import Embedder, ModelChoice
from engine.models.lender import Models
from engine.progress import Hooks, Progress
from engine.storage.chroma import Store, check_name
from engine.storage.data_folder import DataFolder, missing_content
from engine.storage.ledger import Ledger
from engine.storage.repair import by_modality, delete_unused, drop_staging, finish_swaps, restore
from engine.storage.staging import Key, Staging, Stagings, dropped_error
from engine.types import MODALITIES, Failure, IngestReport, Item, MediaItem, Modality, Provenance

_NAMED = 3  # failures that an error names


def check_reembedding(source: str, into: str | None, store: Store, ledger: Ledger) -> None:
    """Refuse a re-embedding that cannot be, before a model is loaded for it.

    Raises CollectionNameError, CollectionNotFoundError, or CollectionError where the new name is
    taken or the source holds nothing that is recorded here.
    """
    store.info(source)
    if not _modalities(source, ledger):
        raise CollectionError(
            f"{source!r} cannot be re-embedded here: this data folder records no items of it. "
            f"Re-embed it where its files were added."
        )
    if into is None or into == source:
        return
    check_name(into)
    if into in {info.name for info in store.collections()} or _modalities(into, ledger):
        raise CollectionError(
            f"There is a collection {into!r} already: choose another name, or delete that one first."
        )


class Reembedding(Pipeline):
    """One run that makes a collection again with another embedder, under its own or a new name."""

    def __init__(
        self, source: str, into: str | None, folder: DataFolder, embedder: Embedder, hooks: Hooks
    ) -> None:
        super().__init__(into or source, folder, embedder, hooks)
        self.source, self.target = check_name(source), self.collection
        self._in_place = self.source == self.target
        self._stagings = Stagings(self._ledger)
        self._staging: Staging  # from `_begin` on
        self._swapped = False
        self._unmade: dict[Key, Failure] = {}
        self._unrecorded: tuple[Failure, ...] = ()

    def run(self, done_as: str | None = None) -> IngestReport:
        """Embed everything again, and put it in place when it is whole; cancelled, it goes on next time.

        An item that cannot be embedded again leaves the old collection as it is; under a new name it is
        left out and reported. What is added to the source on the way comes along, what is deleted
        does not. done_as: a key of the ledger's state that holds the report once the swap is made.
        Raises ModalityError or CollectionError before anything is embedded, CollectionError where
        items could not be embedded again, and StoreError or FolderError.
        """
        finish_swaps(self._store, self._ledger, self._library)
        check_reembedding(self.source, None if self._in_place else self.target, self._store, self._ledger)
        self._check_modalities()
        self._check_recorded()
        self._begin()
        try:
            return self._made(done_as)
        finally:
            if not self._swapped and self._stagings.find(self.target) != self._staging:
                self._store.drop(self._staging.name)  # dropped from elsewhere while a batch was written

    def _made(self, done_as: str | None) -> IngestReport:
        self._look_for_media()
        while not self._cancelled():
            self._embed()
            if not self._cancelled():
                self._report(replace(self._progress, stage="Checking the index", done=self._progress.total))
                self._verify()
                self._written.clear()
            if not self._cancelled() and self._swap(done_as):
                return self._ended(cancelled=False)
        return self._ended(cancelled=True)

    def _check_modalities(self) -> None:
        for modality in _modalities(self.source, self._ledger):
            if modality not in self._embedder.modalities:
                raise ModalityError(self._embedder.spec.id, modality, self._embedder.modalities)

    def _check_recorded(self) -> None:
        """Refuse to replace what this data folder cannot make again, as another one stored it."""
        unknown = 0
        for modality in MODALITIES:
            for ids in self._store.id_pages(self.source, modality):
                unknown += len(ids) - len(self._ledger.known(self.source, modality, ids))
        if not unknown:
            return
        words = f"{unknown:,} items of {self.source!r} are not recorded in this data folder"
        if self._in_place:
            raise CollectionError(
                f"{words}: another one has added them, or they are being deleted. The collection is left "
                f"as it is. Re-embed it under a new name, without them, or wait for the deletion."
            )
        self._unrecorded = (Failure(f"{unknown:,} items", f"{words}."),)

    def _begin(self) -> None:
        """Go on with what an earlier run left, where it was the same; delete it where it was not."""
        found = self._stagings.find(self.target)
        if found and not self._continues(found):
            drop_staging(found, self._store, self._ledger, self._library)
            found = None
        self._staging = found or self._stagings.begin(self.target, self.source, self._made_by)
        self.collection = self._staging.name
        for modality in MODALITIES:
            restore(self.collection, modality, self._store, self._ledger)
            self._written[modality] = self._ledger.ids(self.collection, modality)
        self._report(replace(self._progress, skipped=sum(map(len, self._written.values()))))

    def _continues(self, found: Staging) -> bool:
        """Tell whether an earlier run was making the same with the same, down to the libraries' releases."""
        before, now = self._ledger.provenance(found.name), self._made_by
        if found.source != self.source or before is None:
            return False
        return before.agrees_with(now) and before.libraries == now.libraries

    def _look_for_media(self) -> None:
        """Notice lost files at once, not after hours of embedding."""
        self._report(replace(self._progress, stage="Looking for the media files"))
        for item in self._missing():
            if missing := missing_content(item):
                self._fail(item, missing)
            elif item.media and not self._path(item).exists():
                self._fail(item, "Its media file is missing.")
        self._report(replace(self._progress, failed=tuple(self._unmade.values())))
        self._refuse_unmade()

    def _embed(self) -> None:
        """Embed what the source holds and nobody has embedded yet, until there is no more of it."""
        while todo := self._stagings.count_missing(self._staging) - len(self._left()):
            self._report(replace(self._progress, stage="Reading", total=self._progress.done + todo))
            self._run(self._batches())
            if self._cancelled():
                return

    def _missing(self) -> Iterator[Item]:
        """Yield the items of the source that are not staged."""
        size, after = self._settings.store_batch_rows, ("", "")
        while page := self._stagings.missing(self._staging, after=after, limit=size):
            yield from page
            after = page[-1].modality, page[-1].id

    def _batches(self) -> Iterator[list[Item]]:
        batch: list[Item] = []
        for item in self._missing():
            if (item.modality, item.id) not in self._unmade:
                batch.append(item)
            if len(batch) == self._settings.batch_files:
                yield batch
                batch = []
        if batch:
            yield batch

    def _read(self, decoder: Decoder, inputs: Sequence[Item]) -> Batch:
        batch, opened = Batch(len(inputs)), decoder.each(partial(self._opened, decoder), inputs)
        for item, result in zip(inputs, opened, strict=True):
            if isinstance(result, MediaError):
                batch.failed.append(self._fail(item, result.reason))
            else:
                batch.ready.append(result)
        return batch

    def _opened(self, decoder: Decoder, item: Item) -> Ready:
        return self._prepared(MediaItem(item, self._content(decoder, item)))

    def _content(self, decoder: Decoder, item: Item) -> Any:
        """Return what the embedder reads of a stored item, as its ingest gave it to the first one."""
        if item.modality == "text":
            return item.caption
        try:
            data = self._path(item).read_bytes()
        except OSError as error:
            raise UnreadableMediaError(f"Its media file cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != item.media:
            raise UnreadableMediaError("Its media file has changed since it was stored.")
        return content_of(item, decoder.parts(probe_stored(item, data)))

    def _path(self, item: Item) -> Any:
        return self._library.media_path(item.media or "", item.mime)

    def _fail(self, item: Item, reason: str) -> Failure:
        failure = self._unmade[item.modality, item.id] = Failure(item.name, reason)
        return failure

    def _left(self) -> list[Failure]:
        """Return the failures of items that the source still holds."""
        held = {
            (modality, id_)
            for modality, ids in by_modality(self._unmade).items()
            for id_ in self._ledger.known(self.source, modality, ids)
        }
        return [failure for key, failure in self._unmade.items() if key in held]

    def _refuse_unmade(self) -> None:
        left = self._left()
        none_left = bool(left) and len(left) == self._held()
        if not left or not (self._in_place or none_left):
            return
        named = "; ".join(f"{failure.name}: {failure.reason.rstrip('.')}" for failure in left[:_NAMED])
        more = f"; and {len(left) - _NAMED:,} more" if len(left) > _NAMED else ""
        words = (
            f"{self.source!r} was left as it is: {len(left):,} of its items cannot be re-embedded "
            f"({named}{more})."
        )
        if none_left:
            raise CollectionError(
                f"{words} These are all there are: add their texts and files again instead."
            )
        raise CollectionError(
            f"{words} Delete those items and try again (what was embedded until now is kept), or "
            f"re-embed it under a new name, without them."
        )

    def _held(self) -> int:
        """Return how many items of the source are recorded."""
        return sum(count for (name, _), count in self._ledger.counts().items() if name == self.source)

    def _swap(self, done_as: str | None) -> bool:
        """Put what is staged in place; False where the source has got more meanwhile."""
        self._refuse_unmade()
        self._prune()
        if not _modalities(self.source, self._ledger):
            raise dropped_error(self._staging)
        if self._in_place and self._store.is_shared:
            self._check_recorded()
        self._check_space_twice()
        self._report(replace(self._progress, stage="Putting it in place"))
        note = json.dumps(asdict(self._ended(cancelled=False)))
        self._swapped = self._stagings.swap(
            self._staging,
            self._replaced(),
            leave_out=() if self._in_place else self._unmade,
            note=(done_as, note) if done_as else None,
        )
        if self._swapped:
            finish_swaps(self._store, self._ledger, self._library)
        return self._swapped

    def _check_space_twice(self) -> None:
        """Make sure that the ledger can write all that is staged once more, in one step."""
        rows = sum(count for (name, _), count in self._ledger.counts().items() if name == self.collection)
        needed = rows * self._made_by.dim * 4 + int(self._settings.min_free_disk_mb * 1e6)
        check_space(self._library.data_dir, min_free_bytes=needed)

    def _replaced(self) -> Provenance | None:
        return self._store.made_by(self.target) if self._in_place else None

    def _prune(self) -> None:
        """Take out of the staging what was deleted from the source, wherever a deletion left it."""
        for modality in MODALITIES:
            pages = list(self._store.id_pages(self.collection, modality))
            kept = [self._ledger.known(self.source, modality, ids) for ids in pages]
            gone = [id_ for ids, known in zip(pages, kept, strict=True) for id_ in ids if id_ not in known]
            media = self._ledger.delete(self.collection, gone)
            self._store.delete_items(self.collection, gone)
            delete_unused(media, self._ledger, self._library)

    def _ended(self, *, cancelled: bool) -> IngestReport:
        failed = self._progress.failed if cancelled else (*self._left(), *self._unrecorded)
        return IngestReport(
            collection=self.target,
            model=self._embedder.spec.id,
            stored=self._progress.stored,
            skipped=self._progress.skipped,
            failed=failed,
            seconds=time.monotonic() - self._started,
            cancelled=cancelled,
        )

    def _deleted_error(self) -> CollectionError:
        return dropped_error(self._staging)


def _modalities(collection: str, ledger: Ledger) -> list[Modality]:
    """Return the modalities of the items that the ledger holds of a collection."""
    held = {modality for name, modality in ledger.counts() if name == collection}
    return [modality for modality in MODALITIES if modality in held]


def reembed(
    folder: DataFolder,
    models: Models,
    collection: str,
    choice: ModelChoice,
    *,
    into: str | None = None,
    accept_slow: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
    done_as: str | None = None,
) -> IngestReport:
    """Embed a collection again with another model, in its place or under a new name.

    Raises ModelError (SlowModelError as `ingest_files` does), and what `Reembedding.run` raises, which
    also tells what done_as is.
    """
    folder.finish_swaps()
    check_reembedding(collection, into, folder.store, folder.ledger)
    total = folder.store.info(collection).total
    with models.embedder(choice, lambda stage: on_progress(Progress(stage, 0, total))) as embedder:
        if not accept_slow:
            models.check_speed(choice, total)
        hooks = Hooks(on_progress, cancelled)
        return Reembedding(collection, into, folder, embedder, hooks).run(done_as)
