"""A data folder, the models, the maps and the evaluations: what pages, jobs and the command line stand on.

Only the verbs that they share, each handed on to the feature that does it; no feature takes a workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.exported import Exports
from engine.evaluation.archive import Evaluations
from engine.evaluation.results import Evaluation, Plan
from engine.ingest.files import ingest_files
from engine.ingest.reembed import reembed
from engine.maps.kept import Maps
from engine.media.sources import SourceList
from engine.models.base import ModelChoice
from engine.models.lender import Models
from engine.search.rerank import opener, rerank
from engine.search.search import Balancing, Query, Reranking, query_content, search
from engine.search.unrelated import PATIENCE_SECONDS, UnrelatedScores
from engine.settings import Settings
from engine.storage.calibration import calibration, forget_calibration
from engine.storage.chroma import Store
from engine.storage.data_folder import DataFolder
from engine.storage.ledger import Ledger
from engine.storage.library import Library
from engine.storage.repair import delete_unused, drop_staging
from engine.storage.staging import Stagings
from engine.towers import features
from engine.types import Balance, Filters, Hit, IngestReport, Reranked, SearchTrace

if TYPE_CHECKING:
    from engine.analysis.two_towers import TowerSettings
    from engine.datasets.export import MediaExport
    from engine.towers.train import TrainedTowers
    from engine.vector_files.export import ExportReport


class Workspace:
    """Everything one process needs to ingest and search; safe to share between threads."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.models = Models(folder.settings)
        self.evaluations = Evaluations(folder.settings.data_dir)
        self.maps = Maps(folder)
        self.exports = Exports(folder)
        self.unrelated = UnrelatedScores(folder, self.models)

    @classmethod
    def open(cls, settings: Settings, on_stage: Callable[[str], None] = lambda stage: None) -> Workspace:
        """Open a data folder; raises as `DataFolder.open` does."""
        return cls(DataFolder.open(settings, on_stage))

    def close(self) -> None:
        """Unload the models and close the data folder, so that another process may open it."""
        self.unrelated.close()
        self.models.close()
        self.folder.close()

    @property
    def settings(self) -> Settings:
        """Return the settings that the data folder was opened with."""
        return self.folder.settings

    @property
    def store(self) -> Store:
        """Return the index of vectors."""
        return self.folder.store

    @property
    def ledger(self) -> Ledger:
        """Return the record from which the index can be made again."""
        return self.folder.ledger

    @property
    def library(self) -> Library:
        """Return the media files."""
        return self.folder.library

    def ingest(self, collection: str, found: SourceList, **options: Any) -> IngestReport:
        """Ingest sources into a collection; options and errors: `ingest.files.ingest_files`."""
        return ingest_files(self.folder, self.models, collection, found, **options)

    def import_vectors(self, collection: str, path: Path, **options: Any) -> IngestReport:
        """Store a file of vectors; options and errors: `ingest.vectors.import_vectors`."""
        from engine.ingest.vectors import import_vectors

        return import_vectors(self.folder, collection, path, **options)

    def export_vectors(self, collection: str, path: Path, **options: Any) -> ExportReport | None:
        """Write a collection's vectors into a file; see `vector_files.export.export_vectors`."""
        from engine.vector_files.export import export_vectors

        return export_vectors(self.folder, collection, path, **options)

    def export_media(self, collection: str, path: Path, **options: Any) -> MediaExport | None:
        """Write a collection's files as a data set; see `datasets.export.export_media`."""
        from engine.datasets.export import export_media

        return export_media(self.folder, collection, path, **options)

    def reembed(self, collection: str, choice: ModelChoice, **options: Any) -> IngestReport:
        """Embed a collection with another model; options and errors: `ingest.reembed.reembed`."""
        return reembed(self.folder, self.models, collection, choice, **options)

    def train_towers(self, collection: str, settings: TowerSettings, **options: Any) -> TrainedTowers:
        """Train two towers on a collection's pairs; options and errors: `towers.train.train`."""
        from engine.towers.train import train

        return train(self.folder, self.models, collection, settings, **options)

    def check_towers_target(self, collection: str, into: str) -> None:
        """Refuse a name for trained towers before they are trained; see `towers.train.check_target`."""
        from engine.towers.train import check_target

        check_target(self.folder, collection, into)

    def keep_towers(self, trained: TrainedTowers, into: str, **options: Any) -> IngestReport:
        """Keep trained towers, and what they make, as a collection; see `towers.train.keep`."""
        from engine.towers.train import keep

        return keep(self.folder, self.models, trained, into, **options)

    def search(
        self,
        query: Query,
        *,
        collection: str,
        k: int = 10,
        filters: Filters | None = None,
        reranker: ModelChoice | None = None,
        rerank_top: int = 50,
        balance: Balance | None = None,
        copies: float | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        on_wait: Callable[[], None] = lambda: None,
    ) -> SearchTrace:
        """Search a collection with the model that made it, and rerank the head; see `search.search`.

        With `balance`, also where that is raw, the collection is calibrated, which the first question after
        a write waits for; without, the order is raw. For how unrelated questions score it waits for at most
        `patience_seconds`, and calls `on_wait` where that takes a while.
        """
        reranking = None
        if reranker:
            reranking = Reranking(
                lambda: self.models.reranker(reranker), partial(opener, self.folder), rerank_top
            )
        return search(
            query,
            collection=collection,
            folder=self.folder,
            embedder=lambda: self.models.embedder(ModelChoice.of(self.store.made_by(collection))),
            k=k,
            filters=filters,
            reranking=reranking,
            balancing=Balancing(balance, partial(calibration, self.folder, collection)) if balance else None,
            unrelated=partial(self.unrelated.of, patience_seconds=patience_seconds, on_wait=on_wait),
            copies=copies,
        )

    def rerank(self, query: Query, hits: Sequence[Hit], choice: ModelChoice, *, top: int = 50) -> Reranked:
        """Reorder the first `top` of what was found for a query; see `rerank.rerank`.

        Raises QueryError, ModelError.
        """
        with self.models.reranker(choice) as model:
            return rerank(query_content(query), hits, model, top=top, open_item=opener(self.folder, model))

    def evaluate(self, plan: Plan, **hooks: Any) -> Evaluation | None:
        """Measure a collection; None where that was cancelled. See `evaluation.run.evaluate`."""
        from engine.evaluation.run import evaluate

        return evaluate(plan, self.folder, self.models, **hooks)

    def delete_items(self, collection: str, ids: Iterable[str]) -> None:
        """Delete items, and media that nothing refers to any more.

        The ledger goes first: an item cut off half-way is still listed and can be deleted again,
        where the other order would bring it back on the next repair.
        """
        folder, wanted = self.folder, list(ids)
        # Also where a re-embedding has them already: its media would stay, and they could come back with it.
        names = [collection, *(staging.name for staging in Stagings(folder.ledger).of(collection))]
        media = [one for name in names for one in folder.ledger.delete(name, wanted)]
        folder.finish_swaps()  # after the ledger: none of it may be in what a swap still brings
        for name in names:
            folder.store.delete_items(name, wanted)
        self.maps.drop_items(collection, wanted)
        features.forget(folder, collection)
        folder.count_deletion(collection)
        delete_unused(media, folder.ledger, folder.library)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection, the media only it used, and unfinished re-embeddings from it or into it.

        Raises CollectionNotFoundError.
        """
        folder = self.folder
        folder.finish_swaps()
        stagings = Stagings(folder.ledger).of(collection)
        if collection not in [staging.target for staging in stagings]:
            folder.store.info(collection)
        for staging in stagings:
            drop_staging(staging, folder.store, folder.ledger, folder.library)
        media = folder.ledger.forget(collection)
        folder.store.drop(collection)
        self.evaluations.forget(collection)
        self.maps.forget(collection)
        self.exports.forget(collection)
        features.forget(folder, collection)
        forget_calibration(folder, collection)
        self.unrelated.forget(collection)
        delete_unused(media, folder.ledger, folder.library)
