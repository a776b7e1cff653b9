"""How far long work is, hearing a cancel, and telling the share done in work of several parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.types import Failure, LeftOut


class CancelledError(Exception):
    """Work was cancelled before its end; what was kept before it began stays as it was."""


@dataclass(frozen=True)
class Progress:
    """How far a job is. Counts are of `unit`, `stored`/`skipped` of items; times in seconds.

    `failed` and `failed_kinds` are an IngestReport's.
    """

    stage: str
    done: int
    total: int
    stored: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()
    elapsed_seconds: float = 0.0
    unit: str = "files"
    failed_kinds: tuple[LeftOut, ...] = ()

    @classmethod
    def of_share(cls, stage: str, share: float) -> Progress:
        """Return how far work is that knows only its share, 0 to 1: in whole per cent."""
        return cls(stage, round(100 * share), 100, unit="%")

    @property
    def failed_count(self) -> int:
        """Return how many files or rows have failed, also those that are not kept one by one."""
        return sum(kind.count for kind in self.failed_kinds) or len(self.failed)

    @property
    def share(self) -> float:
        """Return the finished share in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def done_per_second(self) -> float:
        """Return the mean rate since the job began."""
        return self.done / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Return the time left at the mean rate, or None before the first file is done."""
        if not self.done or self.elapsed_seconds <= 0:
            return None
        return (self.total - self.done) / self.done_per_second


@dataclass(frozen=True)
class Hooks:
    """What a run tells, and asks: on_progress hears how far it is, cancelled tells that it must stop."""

    on_progress: Callable[[Progress], None] = lambda progress: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Watch:
    """Tells the progress of a part of some work, which goes from `low` to `high` of the whole."""

    on_progress: Callable[[float], None] = lambda share: None
    cancelled: Callable[[], bool] = lambda: False
    low: float = 0.0
    high: float = 1.0

    def at(self, share: float) -> None:
        """Tell that a share of this part, 0 to 1, is done. Raises CancelledError."""
        if self.cancelled():
            raise CancelledError
        self.on_progress(self.low + share * (self.high - self.low))

    def part(self, low: float, high: float) -> Watch:
        """Return the watch of a part of this part."""
        width = self.high - self.low
        return Watch(self.on_progress, self.cancelled, self.low + low * width, self.low + high * width)
