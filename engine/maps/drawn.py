"""A kept map with the facts that it takes to draw it; draws nothing itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.maps.kept import Map
    from engine.storage.columns import Columns


@dataclass(frozen=True)
class DrawnMap:
    """A map, and facts of its items in the same order; `version` changes whenever ids or places do."""

    map: Map
    columns: Columns = field(repr=False)
    row: dict[str, int] = field(repr=False)
    version: str

    @classmethod
    def of(cls, found: Map, columns: Columns) -> DrawnMap:
        """Return a map with its rows numbered. Raises KeyError where it has items that columns lack."""
        ids = found.projection.ids
        columns = columns if columns.ids == ids else columns.take(ids)
        parts = hashlib.sha256("".join(ids).encode())
        parts.update(found.projection.places.tobytes())
        parts.update(found.projection.placed.tobytes())
        return cls(found, columns, {id_: row for row, id_ in enumerate(ids)}, parts.hexdigest()[:16])

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Return the rows of those m of these ids that are on the map: (m,) int32, in their order."""
        return np.array([self.row[id_] for id_ in ids if id_ in self.row], np.int32)

    def ids(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Return the ids of rows."""
        ids = self.map.projection.ids
        return tuple(ids[row] for row in rows)
