"""Loads models in the background, so that no page waits; remembers what went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.background import Background, Work
from engine.models.base import Kind, ModelChoice
from engine.models.in_memory import LoadedModels


class BackgroundLoads:
    """What is being loaded for whom, and why the last try failed; safe from several threads.

    `resolve` fills in what a choice leaves open (`load.Loader.resolve`).
    """

    def __init__(self, models: LoadedModels, resolve: Callable[[ModelChoice], ModelChoice]) -> None:
        self._models, self._resolve = models, resolve
        self._lock = threading.Lock()
        self._background = Background()
        self._works: dict[ModelChoice, Work] = {}

    def start(self, choice: ModelChoice, kind: Kind = "embedder") -> None:
        """Begin to load a choice, unless that is going on; it stays in memory when it is done."""
        with self._lock:
            if choice in self._works and self._works[choice].active:
                return
            work = self._works[choice] = Work(f"Load {choice.id}")

        def run(work: Work) -> None:
            with self._models.use(self._resolve(choice), kind):
                pass

        self._background.begin(work, run)

    def is_running(self, choice: ModelChoice | None = None) -> bool:
        """Tell whether this choice, or any, is being loaded or waits for another load."""
        with self._lock:
            works = list(self._works.values()) if choice is None else [self._works.get(choice)]
        return any(work is not None and work.active for work in works)

    def error(self, choice: ModelChoice) -> str:
        """Return why the last try failed, or an empty text."""
        with self._lock:
            work = self._works.get(choice)
        return work.error if work else ""

    def forget(self, choice: ModelChoice) -> None:
        """Forget why the last try failed."""
        with self._lock:
            if choice in self._works and not self._works[choice].active:
                del self._works[choice]
