"""Long work in daemon threads: begun, watched and cancelled in one way, whatever it does.

Jobs, computations about maps, loads and downloads of models and the opening of the app are each a `Work`.
What to do, and what is kept of it, is the business of whoever begins it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

from engine.errors import GapscopeError
from engine.progress import CancelledError, Progress

State = Literal["waiting", "running", "done", "failed", "cancelled"]
UNEXPECTED = "An unexpected error; the server's log has it."


@dataclass(eq=False)
class Work:
    """Some long work and how it stands.

    `error` says why it failed. `partial` is what there is of the result before the end, where that can be
    looked at: whoever does the work adds to it, and nobody takes from it. `stop` asks it to end; `ended` is
    set when it has. `changing` is held where the state and something that belongs to it change together.
    """

    title: str
    state: State = "waiting"
    progress: Progress = field(default_factory=lambda: Progress("Waiting", 0, 0))
    result: Any = None
    partial: list[Any] = field(default_factory=list, repr=False)
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    changing: threading.RLock = field(default_factory=threading.RLock)

    @property
    def active(self) -> bool:
        """Tell whether the work is waiting or running."""
        return self.state in ("waiting", "running")

    def hear(self, progress: Progress) -> None:
        """Take in how far the work is."""
        self.progress = progress

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the work to end; one that waits, or any `at_once`, is cancelled from now on.

        The thread of one that runs may take until the library it is in returns; its result is dropped.
        """
        with self.changing:
            self.stop.set()
            if at_once or self.state == "waiting":
                self.end("cancelled")

    def begin(self) -> bool:
        """Turn from waiting to running; False where it was cancelled meanwhile."""
        with self.changing:
            if self.state != "waiting" or self.stop.is_set():
                return False
            self.state = "running"
            return True

    def end(self, state: State, *, result: object = None, error: str = "") -> None:
        """Set how the work ended, unless it has ended before."""
        with self.changing:
            if self.active:
                self.result, self.error, self.state = result, error, state
        self.ended.set()


Run = Callable[[Work], Any]


class Background:
    """Runs works in threads: those of one lane in the order in which they came, the others at once.

    Daemon threads, so that stopping the server does not wait for them. What a run returns is the result of
    its work; it may raise CancelledError, and a GapscopeError becomes the work's error. Any other error goes
    to the log.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, SimpleQueue[tuple[Work, Run]]] = {}
        self._busy: dict[str, Work] = {}

    def begin(self, work: Work, run: Run, *, lane: str | None = None) -> None:
        """Run a work now, or when everything in its lane that came before has ended."""
        if lane is None:
            threading.Thread(target=_run, args=(work, run), name=work.title, daemon=True).start()
            return
        with self._lock:
            if lane not in self._lanes:
                self._lanes[lane] = SimpleQueue()
                threading.Thread(target=self._serve, args=(lane,), name=lane, daemon=True).start()
            self._lanes[lane].put((work, run))

    def busy(self, lane: str) -> Work | None:
        """Return the work whose turn it is; also one that was cancelled, until its thread has stopped."""
        return self._busy.get(lane)

    def _serve(self, lane: str) -> None:
        while True:
            self._serve_next(lane)

    def _serve_next(self, lane: str) -> None:
        """Run the next work of a lane; what it was is not held once it has ended."""
        work, run = self._lanes[lane].get()
        self._busy[lane] = work
        runner = threading.Thread(target=_run, args=(work, run), name=work.title, daemon=True)
        runner.start()  # of its own, which an error that nobody expected may end
        runner.join()
        del self._busy[lane]


def _run(work: Work, run: Run) -> None:
    if not work.begin():
        return
    try:
        work.end("done", result=run(work))
    except CancelledError:
        work.end("cancelled")
    except GapscopeError as error:
        work.end("failed", error=str(error))
    finally:
        work.end("failed", error=UNEXPECTED)  # where nothing above has; the log has the traceback
