"""A training of two towers as a computation: one for all visitors who ask for the same, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.jobs.computed import Computation
from engine.progress import Progress
from engine.storage.columns import last_change

if TYPE_CHECKING:
    from engine.analysis.two_towers import TowerSettings
    from engine.towers.train import TrainedTowers
    from engine.workspace import Workspace

SNAPSHOTS = 30  # at most, beside that of the beginning


def training_of(workspace: Workspace, collection: str, settings: TowerSettings) -> Computation:
    """Return the task of training two towers: TrainedTowers, its snapshots in `partial` as they are taken.

    Raises CollectionNotFoundError.
    """
    info, steps = workspace.store.info(collection), settings.steps
    partial: list[object] = []

    def compute(on_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> TrainedTowers:
        def hear(progress: Progress) -> None:  # half for the features, which are there already the next time
            on_progress(progress.share / 2 + (0.5 if progress.stage == "Training" else 0.0))

        return workspace.train_towers(
            collection,
            settings,
            every=-(-steps // SNAPSHOTS),
            on_snapshot=partial.append,
            on_progress=hear,
            cancelled=cancelled,
        )

    key = ("towers", collection, info.created_at, last_change(workspace.folder, collection), settings)
    title = f"Two towers: {collection}, temperature {settings.temperature:g}"
    return Computation(key, title, info.total, False, compute, partial)
