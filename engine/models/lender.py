"""Who lends models: the loader, what is in memory, loads in the background and downloads, wired together.

Holds no logic of its own but the refusal of work that would take too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.errors import SlowModelError
from engine.models.background_loads import BackgroundLoads
from engine.models.base import Embedder, ModelChoice, Reranker, slowest_ingested
from engine.models.catalog import DEFAULT_MODEL
from engine.models.hub.download import Downloads
from engine.models.in_memory import LoadedModels
from engine.models.load import Loader
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.models.pocket.features import PocketFeatures

SLOW_SECONDS = 30 * 60


class Models:
    """The models of one process, as everybody asks for them; safe to share between threads.

    `loaded` are those in memory, `loads` and `downloads` what is on its way there.
    """

    def __init__(self, settings: Settings) -> None:
        loader = self.loader = Loader(settings)
        self.loaded = LoadedModels(settings, loader.load, loader.needs, loader.would_fit, loader.device_of)
        self.loads = BackgroundLoads(self.loaded, loader.resolve)
        self.downloads = Downloads()

    def close(self) -> None:
        """End the downloads and unload every model."""
        self.downloads.close()
        self.loaded.close()

    @contextmanager
    def embedder(
        self, choice: ModelChoice | None = None, on_stage: Callable[[str], None] = lambda stage: None
    ) -> Iterator[Embedder]:
        """Lend an embedder (Pocket where no choice is given), loaded once per process.

        A second caller waits for the first one's load. Raises ModelError.
        """
        resolved = self.loader.resolve(choice or ModelChoice(DEFAULT_MODEL))
        with self.loaded.use(resolved, "embedder", on_stage) as model:
            yield model

    @contextmanager
    def reranker(
        self, choice: ModelChoice, on_stage: Callable[[str], None] = lambda stage: None
    ) -> Iterator[Reranker]:
        """Lend a reranker, loaded once per process. Raises ModelError."""
        with self.loaded.use(self.loader.resolve(choice), "reranker", on_stage) as model:
            yield model

    def features(self, on_stage: Callable[[str], None]) -> PocketFeatures:
        """Open Pocket's networks before anything puts them into one space; the caller lets go of them.

        They are needed once for a collection, and not kept in memory. Raises ModelError, FolderError.
        """
        return self.loader.features(on_stage)

    def check_speed(self, choice: ModelChoice, items: int) -> None:
        """Raise SlowModelError where a loaded model would take more than half an hour for so many items."""
        key = self.loader.resolve(choice).weights
        for model in self.loaded.list():
            slowest = slowest_ingested(model.seconds_per_item)
            if model.choice == key and slowest * items > SLOW_SECONDS:
                raise SlowModelError(key.id, model.device, seconds_per_item=slowest, items=items)
