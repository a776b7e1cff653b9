"""One opened data folder: settings, store, ledger, library and models, wired together.

The pages and the command line both stand on this; it holds no logic of its own but what must be done
in order (open, mend, delete).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from engine.ingest import Ingest, restore
from engine.ledger import Ledger
from engine.library import Library, folder_error
from engine.media.sources import SourceList
from engine.models.base import Embedder
from engine.models.catalog import DEFAULT_MODEL, load_embedder
from engine.search import Query, search
from engine.settings import Settings
from engine.store import Store, check_name
from engine.types import Filters, IngestReport, Progress, SearchTrace


class Workspace:
    """Everything one process needs to ingest and search; safe to share between threads."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, library: Library) -> None:
        self.settings, self.store, self.ledger, self.library = settings, store, ledger, library
        self._embedders: dict[str, Embedder] = {}
        self._loading = threading.Lock()

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
            workspace._mend(on_stage)
            opened.pop_all()
        return workspace

    def close(self) -> None:
        """Close the store and the ledger, and let another process open them."""
        self.ledger.close()
        self.store.close()

    def embedder(
        self, model: str = DEFAULT_MODEL, on_stage: Callable[[str], None] = lambda stage: None
    ) -> Embedder:
        """Return a model, loaded once per process; a second caller waits. Raises ModelError."""
        with self._loading:
            if model not in self._embedders:
                self._embedders[model] = load_embedder(model, self.settings, on_stage)
            return self._embedders[model]

    def is_loaded(self, model: str) -> bool:
        """Tell whether a model is in memory, without waiting for one that is being loaded."""
        return model in self._embedders

    def ingest(
        self,
        collection: str,
        found: SourceList,
        *,
        model: str = DEFAULT_MODEL,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> IngestReport:
        """Ingest sources into a collection; see `ingest.Ingest.run`."""
        check_name(collection)
        total = len(found.sources)
        embedder = self.embedder(model, lambda stage: on_progress(Progress(stage, 0, total)))
        job = Ingest(
            collection,
            store=self.store,
            ledger=self.ledger,
            library=self.library,
            embedder=embedder,
            settings=self.settings,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        return job.run(found)

    def search(
        self, query: Query, *, collection: str, k: int = 10, filters: Filters | None = None
    ) -> SearchTrace:
        """Search a collection with the model that made it; see `search.search`."""
        return search(
            query,
            collection=collection,
            store=self.store,
            embedder=lambda: self.embedder(self.store.made_by(collection).model),
            k=k,
            filters=filters,
        )

    def delete_items(self, collection: str, ids: Iterable[str]) -> None:
        """Delete items, and media that nothing refers to any more.

        The ledger goes first: an item cut off half-way is still listed and can be deleted again,
        where the other order would bring it back on the next mending.
        """
        wanted = list(ids)
        media = self.ledger.delete(collection, wanted)
        self.store.delete_items(collection, wanted)
        self._delete_media(media)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection and the media only it used. Raises CollectionNotFoundError."""
        self.store.info(collection)
        media = self.ledger.forget(collection)
        self.store.delete_collection(collection)
        self._delete_media(media)

    def _delete_media(self, media: Iterable[str]) -> None:
        for one in media:
            if not self.ledger.is_used(one):  # another visitor may have stored it again meanwhile
                self.library.delete(one)

    def _mend(self, on_stage: Callable[[str], None]) -> None:
        """Complete the index where it holds less than the ledger (a crash, a damaged folder).

        A collection that another model has made since, on a shared server, is left as it is.
        """
        stored = {info.name: info for info in self.store.collections()}
        for (collection, modality), count in self.ledger.counts().items():
            info = stored.get(collection)
            if info and info.made_by != self.ledger.provenance(collection):
                continue
            if (info.counts.get(modality, 0) if info else 0) < count:
                on_stage(f"Rebuilding the index of {collection} ({count:,} {modality} items)")
                restore(collection, modality, self.store, self.ledger)
