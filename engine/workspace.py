"""One opened data folder: settings, store, ledger, library and models, wired together.

The pages and the command line both stand on this; it holds no logic of its own but what must be done
in order (open, mend, delete).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.disk import folder_error
from engine.errors import MediaError, SlowModelError
from engine.evaluation.archive import Evaluations
from engine.evaluation.results import Evaluation, Plan
from engine.ingest.files import Ingest
from engine.ingest.reembed import Remake, check_remake, missing_content
from engine.maps.kept import Maps
from engine.media.images import open_image
from engine.media.sources import SourceList
from engine.models.background_loads import BackgroundLoads
from engine.models.base import Embedder, ModelChoice, Reranker, slowest_ingested
from engine.models.catalog import DEFAULT_MODEL
from engine.models.hub.download import Downloads
from engine.models.in_memory import LoadedModels
from engine.models.load import Loader
from engine.progress import Progress
from engine.search.rerank import Opened, rerank
from engine.search.search import Query, Reranking, query_content, search
from engine.settings import Settings
from engine.storage.chroma import Store, check_name
from engine.storage.ledger import Ledger
from engine.storage.library import Library
from engine.storage.repair import delete_unused, drop_staging, finish_swaps, mend
from engine.storage.staging import Stagings
from engine.types import MODALITIES, Filters, Hit, IngestReport, Item, Reranked, SearchTrace

if TYPE_CHECKING:
    from engine.vector_files.export import ExportReport

SLOW_SECONDS = 30 * 60
_LABELLED_AT_ONCE = 256  # writers block readers of the store: 0.2 s with so many rows


class Workspace:
    """Everything one process needs to ingest and search; safe to share between threads."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, library: Library) -> None:
        self.settings, self.store, self.ledger, self.library = settings, store, ledger, library
        loader = self.loader = Loader(settings)
        self.models = LoadedModels(settings, loader.load, loader.needs, loader.would_fit, loader.device_of)
        self.loads = BackgroundLoads(self.models, loader.resolve)
        self.downloads = Downloads()
        self.evaluations = Evaluations(settings.data_dir)
        self.maps = Maps(settings.data_dir)

    @classmethod
    def open(cls, settings: Settings, on_stage: Callable[[str], None] = lambda stage: None) -> Workspace:
        """Open the data folder, and bring the index up to what the ledger holds.

        Raises StoreLockedError before anything is written where another process has it open,
        StoreUnreachableError, or FolderError.
        """
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise folder_error(settings.data_dir, error) from error
        on_stage("Opening the store")
        if settings.chroma_url:
            store = Store.open_server(settings.chroma_url)
        else:
            store = Store.open_embedded(settings.data_dir)
        with ExitStack() as opened:
            opened.callback(store.close)
            ledger = Ledger(settings.data_dir / "ledger.sqlite3")
            opened.callback(ledger.close)
            workspace = cls(settings, store, ledger, Library(settings.data_dir))
            mend(store, ledger, workspace.library, on_stage)
            opened.pop_all()
        return workspace

    def close(self) -> None:
        """Unload the models, close the store and the ledger, and let another process open them."""
        self.downloads.close()
        self.models.close()
        self.ledger.close()
        self.store.close()

    @contextmanager
    def embedder(
        self, choice: ModelChoice | None = None, on_stage: Callable[[str], None] = lambda stage: None
    ) -> Iterator[Embedder]:
        """Lend an embedder (Pocket where no choice is given), loaded once per process.

        A second caller waits for the first one's load. Raises ModelError.
        """
        resolved = self.loader.resolve(choice or ModelChoice(DEFAULT_MODEL))
        with self.models.use(resolved, "embedder", on_stage) as model:
            yield model

    @contextmanager
    def reranker(
        self, choice: ModelChoice, on_stage: Callable[[str], None] = lambda stage: None
    ) -> Iterator[Reranker]:
        """Lend a reranker, loaded once per process. Raises ModelError."""
        with self.models.use(self.loader.resolve(choice), "reranker", on_stage) as model:
            yield model

    def choice_of(self, collection: str) -> ModelChoice:
        """Return the choice that made a collection, or Pocket's where there is none yet."""
        made_by = self.ledger.provenance(collection)
        if made_by is None:  # on a shared server another data folder may have made it
            infos = {info.name: info for info in self.store.collections()}
            made_by = infos[collection].made_by if collection in infos else None
        return ModelChoice.of(made_by) if made_by else ModelChoice(DEFAULT_MODEL)

    def ingest(
        self,
        collection: str,
        found: SourceList,
        *,
        choice: ModelChoice | None = None,
        accept_slow: bool = False,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> IngestReport:
        """Ingest sources into a collection, by default with what made it; see `ingest.Ingest.run`.

        Raises SlowModelError before anything is embedded where the model would take more than half
        an hour, unless that was accepted.
        """
        check_name(collection)
        self.finish_swaps()
        total = len(found.sources)
        choice = choice or self.choice_of(collection)
        with self.embedder(choice, lambda stage: on_progress(Progress(stage, 0, total))) as embedder:
            if not accept_slow:
                self.check_speed(choice, total)
            return Ingest(collection, **self._parts(embedder, on_progress, cancelled)).run(found)

    def import_vectors(self, collection: str, path: Path, **options: Any) -> IngestReport:
        """Store vectors of a Parquet or NPZ file; options and errors: `ingest.vectors.import_vectors`."""
        from engine.ingest.vectors import import_vectors

        return import_vectors(self, collection, path, **options)

    def export_vectors(self, collection: str, path: Path, **options: Any) -> ExportReport | None:
        """Write a collection's vectors into a file; see `vector_files.export.export_vectors`."""
        from engine.vector_files.export import export_vectors

        return export_vectors(self, collection, path, **options)

    def remake(
        self,
        collection: str,
        choice: ModelChoice,
        *,
        into: str | None = None,
        accept_slow: bool = False,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        done_as: str | None = None,
    ) -> IngestReport:
        """Make a collection again with another model, in its place or under a new name.

        Raises ModelError (SlowModelError as `ingest` does), and what `remake.Remake.run` raises, which
        also tells what done_as is.
        """
        self.finish_swaps()
        check_remake(collection, into, self.store, self.ledger)
        total = self.store.info(collection).total
        with self.embedder(choice, lambda stage: on_progress(Progress(stage, 0, total))) as embedder:
            if not accept_slow:
                self.check_speed(choice, total)
            job = Remake(collection, into, **self._parts(embedder, on_progress, cancelled))
            return job.run(done_as)

    def discard_remake(self, target: str) -> None:
        """Delete what an unfinished remake has made of `target` so far; the collection itself stays."""
        staging = Stagings(self.ledger).find(target)
        if staging:
            drop_staging(staging, self.store, self.ledger, self.library)

    def finish_swaps(self) -> None:
        """Go on where the store failed, or was out of reach, just as a remake was put in place."""
        finish_swaps(self.store, self.ledger, self.library)

    def _parts(
        self, embedder: Embedder, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> dict[str, Any]:
        return {
            "store": self.store,
            "ledger": self.ledger,
            "library": self.library,
            "embedder": embedder,
            "settings": self.settings,
            "on_progress": on_progress,
            "cancelled": cancelled,
        }

    def check_speed(self, choice: ModelChoice, items: int) -> None:
        """Raise SlowModelError where a loaded model would take more than half an hour for so many items."""
        key = self.loader.resolve(choice).weights
        for model in self.models.list():
            slowest = slowest_ingested(model.seconds_per_item)
            if model.choice == key and slowest * items > SLOW_SECONDS:
                raise SlowModelError(key.id, model.device, seconds_per_item=slowest, items=items)

    def search(
        self,
        query: Query,
        *,
        collection: str,
        k: int = 10,
        filters: Filters | None = None,
        reranker: ModelChoice | None = None,
        rerank_top: int = 50,
    ) -> SearchTrace:
        """Search a collection with the model that made it, and rerank the head; see `search.search`."""
        reranking = None
        if reranker:
            reranking = Reranking(lambda: self.reranker(reranker), self.open_for, rerank_top)
        return search(
            query,
            collection=collection,
            store=self.store,
            embedder=lambda: self.embedder(ModelChoice.of(self.store.made_by(collection))),
            k=k,
            filters=filters,
            reranking=reranking,
        )

    def rerank(self, query: Query, hits: Sequence[Hit], choice: ModelChoice, *, top: int = 50) -> Reranked:
        """Reorder the first `top` of what was found for a question; see `rerank.rerank`.

        Raises QueryError, ModelError.
        """
        with self.reranker(choice) as model:
            return rerank(query_content(query), hits, model, top=top, open_item=partial(self.open_for, model))

    def evaluate(
        self,
        plan: Plan,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """Measure a collection; None where that was cancelled. See `evaluate.evaluate`."""
        from engine.evaluation.run import evaluate

        started = time.monotonic()

        def report(done: int, total: int) -> None:
            elapsed = time.monotonic() - started
            on_progress(Progress("Asking", done, total, elapsed_seconds=elapsed, unit="questions"))

        return evaluate(plan, self, on_progress=report, cancelled=cancelled)

    def open_for(self, reranker: Reranker, item: Item) -> Opened:
        """Return an item's content, prepared for a reranker, or as it was kept from the last time.

        Raises MediaError, ModelError.
        """
        if reranker.codec is None or item.media is None:
            return Opened(reranker.prepare(item.modality, self.open_item(item)))
        return Opened(
            *self.library.evidence(
                item.media, reranker.codec, lambda: reranker.prepare(item.modality, self.open_item(item))
            )
        )

    def open_item(self, item: Item) -> Any:
        """Return an item's content as a model reads it: its text, or its picture upright in RGB.

        Raises MediaError where the file is gone or cannot be read, or it was imported without.
        """
        if missing := missing_content(item):
            raise MediaError(missing)
        if item.modality == "text":
            return item.caption
        try:
            data = self.library.media_path(item.media or "", item.mime).read_bytes()
        except OSError as error:
            raise MediaError(f"The file of {item.name} cannot be read: {error.strerror}.") from error
        return open_image(data, max_pixels=self.settings.max_image_pixels)[0]

    def open_question(self, name: str) -> Any:
        """Return a picture that somebody asked with, upright in RGB. Raises MediaError where it is gone."""
        try:
            data = self.library.question_path(name).read_bytes()
        except OSError as error:
            raise MediaError("The picture that was asked with is no longer kept.") from error
        return open_image(data, max_pixels=self.settings.max_image_pixels)[0]

    def delete_items(self, collection: str, ids: Iterable[str]) -> None:
        """Delete items, and media that nothing refers to any more.

        The ledger goes first: an item cut off half-way is still listed and can be deleted again,
        where the other order would bring it back on the next mending.
        """
        wanted = list(ids)
        # Also where a remake has them already: its media would stay, and they could come back with it.
        names = [collection, *(staging.name for staging in Stagings(self.ledger).of(collection))]
        media = [one for name in names for one in self.ledger.delete(name, wanted)]
        self.finish_swaps()  # after the ledger: none of it may be in what a swap still brings
        for name in names:
            self.store.delete_items(name, wanted)
        self.maps.drop_items(collection, wanted)
        self.ledger.set_state(_deletions(collection), str(self.deletions(collection) + 1))
        delete_unused(media, self.ledger, self.library)

    def deletions(self, collection: str) -> int:
        """Return how often items were deleted: an id may have come back with another vector since."""
        return int(self.ledger.get_state(_deletions(collection)) or 0)

    def label_items(
        self,
        collection: str,
        ids: Iterable[str],
        label: str,
        *,
        remove: bool = False,
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> int:
        """Give items a label, or take it from them; returns how many that changed.

        The ledger goes first: what is cut off half-way is mended from it. Raises QueryError for a label
        that is empty or long, CollectionNotFoundError, StoreError, FolderError.
        """
        from engine.storage.columns import check_label, relabelled

        label, wanted = check_label(label), list(ids)
        self.finish_swaps()
        made_by = {collection: self.store.info(collection).made_by}
        for staging in Stagings(self.ledger).of(collection):  # or a remake brings the old labels back
            if recorded := self.ledger.provenance(staging.name):
                made_by[staging.name] = recorded
        steps = [
            (name, modality, wanted[start : start + _LABELLED_AT_ONCE])
            for name in made_by
            for modality in MODALITIES
            for start in range(0, len(wanted), _LABELLED_AT_ONCE)
        ]
        changed: set[str] = set()
        for done, (name, modality, some) in enumerate(steps, 1):
            items, table = self.ledger.get(name, modality, some)
            if new := relabelled(items, label, remove=remove):
                rows = table.take(item.id for item in new)
                self.ledger.put(name, new, rows)
                self.store.upsert(name, made_by[name], modality, new, rows)
                changed |= {item.id for item in new}
            on_progress(done / len(steps))
        return len(changed)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection, the media only it used, and unfinished remakes from it or into it.

        Raises CollectionNotFoundError.
        """
        self.finish_swaps()
        stagings = Stagings(self.ledger).of(collection)
        if collection not in [staging.target for staging in stagings]:
            self.store.info(collection)
        for staging in stagings:
            drop_staging(staging, self.store, self.ledger, self.library)
        media = self.ledger.forget(collection)
        self.store.drop(collection)
        self.evaluations.forget(collection)
        self.maps.forget(collection)
        delete_unused(media, self.ledger, self.library)


def _deletions(collection: str) -> str:
    return f"deletions in {collection}"
