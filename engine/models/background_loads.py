"""Loads models in threads of their own, so that no page waits; remembers what went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.errors import GapscopeError
from engine.models.base import Kind, ModelChoice
from engine.models.in_memory import LoadedModels


class BackgroundLoads:
    """What is being loaded for whom, and why the last try failed; safe from several threads.

    `resolve` fills in what a choice leaves open (`load.Loader.resolve`).
    """

    def __init__(self, models: LoadedModels, resolve: Callable[[ModelChoice], ModelChoice]) -> None:
        self._models, self._resolve = models, resolve
        self._lock = threading.Lock()
        self._running: set[ModelChoice] = set()
        self._failed: dict[ModelChoice, str] = {}

    def start(self, choice: ModelChoice, kind: Kind = "embedder") -> None:
        """Begin to load a choice, unless that is going on; it stays in memory when it is done."""
        with self._lock:
            if choice in self._running:
                return
            self._running.add(choice)
            self._failed.pop(choice, None)
        threading.Thread(target=self._run, args=(choice, kind), name="load", daemon=True).start()

    def is_running(self, choice: ModelChoice | None = None) -> bool:
        """Tell whether this choice, or any, is being loaded or waits for another load."""
        with self._lock:
            return bool(self._running) if choice is None else choice in self._running

    def error(self, choice: ModelChoice) -> str:
        """Return why the last try failed, or an empty text."""
        with self._lock:
            return self._failed.get(choice, "")

    def forget(self, choice: ModelChoice) -> None:
        """Forget why the last try failed."""
        with self._lock:
            self._failed.pop(choice, None)

    def _run(self, choice: ModelChoice, kind: Kind) -> None:
        trouble = "An unexpected error; the server's log has it."
        try:
            with self._models.use(self._resolve(choice), kind):
                trouble = ""
        except GapscopeError as error:
            trouble = str(error)
        finally:
            with self._lock:
                self._running.discard(choice)
                if trouble:
                    self._failed[choice] = trouble
