"""Computing what takes long about a map: each once for everybody, one at a time, with progress and cancel.

Results and errors are kept in the memory of the process, the ones asked for last. Draws nothing
(`pages/ui/map/waiting.py` does), and its threads touch no widget.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from engine.errors import GapscopeError
from engine.progress import CancelledError

KEPT = 50  # results; of 100,000 items the largest is under a megabyte
UNEXPECTED = "An unexpected error; the server's log has it."


@dataclass(frozen=True)
class Task:
    """What to compute: `key` tells results apart, `title` names it to people, `items` how much it is.

    `compute` is given a callback for the share done and one that tells whether nobody wants it any more; it
    may raise CancelledError. A `quick` task takes about a second, and does not wait for its turn.
    """

    key: Hashable
    title: str
    items: int
    quick: bool
    compute: Callable[[Callable[[float], None], Callable[[], bool]], Any] = field(repr=False, compare=False)


@dataclass
class Work:
    """A task and how it stands; `state` is waiting, running, done, failed or cancelled."""

    title: str
    state: str = "waiting"
    share: float = 0.0
    result: Any = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def active(self) -> bool:
        """Tell whether the work is waiting or running."""
        return self.state in ("waiting", "running")


class Works:
    """The works of all visitors; safe to call from several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._busy: Work | None = None
        self._works: OrderedDict[Hashable, Work] = OrderedDict()

    def find(self, task: Task) -> Work | None:
        """Return the work on a task as it stands, or None where nobody has begun it."""
        with self._lock:
            if task.key in self._works:
                self._works.move_to_end(task.key)
            return self._works.get(task.key)

    def begin(self, task: Task) -> Work:
        """Return the work on a task: the one there is, or a new one where that failed or was cancelled."""
        with self._lock:
            work = self._works.get(task.key)
            if work and work.state not in ("failed", "cancelled"):
                return work
            work = self._keep(task.key, Work(task.title))
        # A daemon thread, so that stopping the server does not wait for it.
        threading.Thread(target=self._run, args=(work, task), name=task.title, daemon=True).start()
        return work

    def put(self, task: Task, result: object) -> None:
        """Keep a result that was found without computing."""
        work = Work(task.title, state="done", share=1.0, result=result)
        work.ended.set()
        with self._lock:
            self._keep(task.key, work)

    def cancel(self, work: Work) -> None:
        """Stop a work: at once for who waits for it; its thread may take until its library's call returns."""
        work.stop.set()
        self._end(work, "cancelled")

    def busy(self) -> Work | None:
        """Return the work whose turn it is; also one that was cancelled, until its thread has stopped."""
        return self._busy

    def _keep(self, key: Hashable, work: Work) -> Work:
        self._works.pop(key, None)
        self._works[key] = work
        ended = [one for one, kept in self._works.items() if not kept.active]
        for one in ended[: max(0, len(ended) - self._kept)]:
            del self._works[one]
        return work

    def _run(self, work: Work, task: Task) -> None:
        with nullcontext() if task.quick else self._turn:
            if not task.quick:
                self._busy = work
            try:
                self._compute(work, task)
            finally:  # after an error nobody expected, whose traceback goes to the log
                self._end(work, "failed", error=UNEXPECTED)
                if self._busy is work:
                    self._busy = None

    def _compute(self, work: Work, task: Task) -> None:
        with self._lock:
            if work.state != "waiting":
                return
            work.state = "running"
        try:
            result = task.compute(lambda share: setattr(work, "share", share), work.stop.is_set)
        except CancelledError:
            self._end(work, "cancelled")
        except GapscopeError as error:
            self._end(work, "failed", error=str(error))
        else:
            self._end(work, "done", result=result)

    def _end(self, work: Work, state: str, *, result: object = None, error: str = "") -> None:
        """Set how a work ended, unless it has ended before: what a cancelled one returns is dropped."""
        with self._lock:
            if work.active:
                work.result, work.error, work.state = result, error, state
        work.ended.set()
