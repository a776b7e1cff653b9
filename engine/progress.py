"""Hearing a cancel and telling the share done, in work of several parts, whatever the work is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.maps.projection import FitCancelledError


@dataclass(frozen=True)
class Watch:
    """Tells the progress of a part of some work, which goes from `low` to `high` of the whole."""

    on_progress: Callable[[float], None] = lambda share: None
    cancelled: Callable[[], bool] = lambda: False
    low: float = 0.0
    high: float = 1.0

    def at(self, share: float) -> None:
        """Tell that a share of this part, 0 to 1, is done. Raises projection.FitCancelledError."""
        if self.cancelled():
            raise FitCancelledError
        self.on_progress(self.low + share * (self.high - self.low))

    def part(self, low: float, high: float) -> Watch:
        """Return the watch of a part of this part."""
        width = self.high - self.low
        return Watch(self.on_progress, self.cancelled, self.low + low * width, self.low + high * width)
