"""What a lesson computes as a computation: one for all of a class who open it with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from engine.blas import one_thread
from engine.jobs.computed import Computation
from engine.storage.columns import last_change

if TYPE_CHECKING:
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder
    from engine.workspace import Workspace


def lesson_of(
    workspace: Workspace,
    collection: str,
    settings: tuple[Hashable, ...],
    compute: Callable[[DataFolder, str, Watch], object],
    *,
    title: str,
    quick: bool = True,
) -> Computation:
    """Return the task of computing a lesson's answer; `settings` tell it from others of the collection.

    One that is not `quick` takes its turn among what else is computed. Raises CollectionNotFoundError.
    """
    info = workspace.store.info(collection)

    def run(on_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> object:
        from engine.progress import Watch

        with one_thread():
            return compute(workspace.folder, collection, Watch(on_progress, cancelled))

    key = ("lesson", collection, info.created_at, last_change(workspace.folder, collection), *settings)
    return Computation(key, title, info.total, quick, run)
