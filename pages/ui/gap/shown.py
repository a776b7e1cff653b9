"""What a view of the gap lab has shown, so that it can be taken away: collections, seed and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shown:
    """The collections a view showed, the seed of its draws (None: it draws none), and its numbers by name.

    `settings` are those of its controls that may stand otherwise by now than when this was computed.
    """

    collections: tuple[str, ...]
    seed: int | None
    numbers: Mapping[str, float | int | str | None]
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
