"""Computing what takes long for a page: each once for everybody, one at a time, with progress and cancel.

Results and errors are kept in the memory of the process, the ones asked for last. Draws nothing
(`pages/ui/waiting.py` does); `engine/background.py` runs it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from engine.background import Background, Work
from engine.progress import Progress

KEPT = 50  # results: of a map of 100,000 items under a megabyte, of a lesson 8 MB for its 1,000 pairs of 512
_LANE = "computations"


@dataclass(frozen=True)
class Computation:
    """What to compute: `key` tells results apart, `title` names it to people, `items` how much it is.

    `compute` is given a callback for the share done and one that tells whether nobody wants it any more; it
    may raise CancelledError. A `quick` one takes about a second, and does not wait for its turn. What it puts
    into `partial` on the way, every visitor sees in the work.
    """

    key: Hashable
    title: str
    items: int
    quick: bool
    compute: Callable[[Callable[[float], None], Callable[[], bool]], Any] = field(repr=False, compare=False)
    partial: list[Any] = field(default_factory=list, repr=False, compare=False)


class Computations:
    """The computations of all visitors; safe to call from several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._background = Background()
        self._works: OrderedDict[Hashable, Work] = OrderedDict()

    def find(self, wanted: Computation) -> Work | None:
        """Return a computation as it stands, or None where nobody has begun it."""
        with self._lock:
            if wanted.key in self._works:
                self._works.move_to_end(wanted.key)
            return self._works.get(wanted.key)

    def begin(self, wanted: Computation) -> Work:
        """Return the computation that there is, or a new one where that failed or was cancelled."""
        with self._lock:
            work = self._works.get(wanted.key)
            if work and work.state not in ("failed", "cancelled"):
                return work
            work = self._keep(wanted.key, Work(wanted.title, partial=wanted.partial))

        def run(work: Work) -> Any:
            return wanted.compute(
                lambda share: work.hear(Progress.of_share("Computing", share)), work.stop.is_set
            )

        self._background.begin(work, run, lane=None if wanted.quick else _LANE)
        return work

    def put(self, wanted: Computation, result: object) -> None:
        """Keep a result that was found without computing."""
        work = Work(wanted.title, progress=Progress.of_share("Computing", 1.0))
        work.end("done", result=result)
        with self._lock:
            self._keep(wanted.key, work)

    def busy(self) -> Work | None:
        """Return the one whose turn it is; also one that was cancelled, until its thread has stopped."""
        return self._background.busy(_LANE)

    def _keep(self, key: Hashable, work: Work) -> Work:
        self._works.pop(key, None)
        self._works[key] = work
        ended = [one for one, kept in self._works.items() if not kept.active]
        for one in ended[: max(0, len(ended) - self._kept)]:
            del self._works[one]
        return work
