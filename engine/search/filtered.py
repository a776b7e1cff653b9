"""What a search takes its hits from: the whole collection, or what its filters let through.

Few matches are all scored. Of many, Chroma is asked for more than is wanted and what does not match is
dropped; all are scored after all where that leaves too few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from engine.storage.chroma import CollectionInfo, Store
from engine.storage.data_folder import DataFolder
from engine.storage.filter_part import Part
from engine.storage.matching import Kept
from engine.types import Filters, Item, Modality, VectorTable

# Rows that are scored without asking Chroma, where all vectors fit in memory, and where they are on disk:
# so many products take no longer than its query. The further down its list, the more neighbours it misses.
_SCORED, _SCORED_FROM_DISK = 20_000, 2_000
_MOST_ASKED, _MOST_ASKED_FROM_DISK = 500, 5_000  # of Chroma at once, before all matches are scored instead
_KEPT_ABOVE = 1_000  # rows; the vectors of fewer are read, for more all are kept in memory
_SPARE = 1.5  # more is asked for than the matches are expected among
Best = Callable[[dict[Modality, VectorTable]], Mapping[Modality, Sequence[str]]]


class Candidates(ABC):
    """The items of a collection that a search may find."""

    @abstractmethod
    def counts(self, info: CollectionInfo) -> dict[Modality, int]:
        """Return how many there are of each modality that has any."""

    @abstractmethod
    def query(self, modality: Modality, vector: np.ndarray, k: int) -> list[tuple[Item, float]]:
        """Return the k items nearest to a unit vector (d,) float32, best first, with their cosine."""

    @abstractmethod
    def vectors(self, modality: Modality, ids: Sequence[str]) -> VectorTable:
        """Return the vectors (n, d) float32 of ids, in their order, less those that are gone."""

    @abstractmethod
    def best_of_nearest(
        self, vectors: Mapping[Modality, np.ndarray], pool: int, best: Best
    ) -> dict[Modality, list[Item]]:
        """Return the items that `best` picks, in its order, of those nearest to a unit vector per modality.

        vectors: (d,) float32 each; `best` gets at most `pool` vectors (m, d) float32 of each modality.
        """


def candidates(folder: DataFolder, collection: str, filters: Filters) -> Candidates:
    """Return what a search may find. Raises QueryError for a column there is not, StoreError, FolderError."""
    if not filters.of_columns:
        return _Everything(folder.store, collection, filters)
    return _Matches(folder.store, collection, *folder.matching.rows(collection, filters))


class _Everything(Candidates):
    """All items of the allowed modalities, as the store has them."""

    def __init__(self, store: Store, collection: str, filters: Filters) -> None:
        self._store, self._collection, self._filters = store, collection, filters

    def counts(self, info: CollectionInfo) -> dict[Modality, int]:
        return {one: n for one, n in info.counts.items() if n and self._filters.allows(one)}

    def query(self, modality: Modality, vector: np.ndarray, k: int) -> list[tuple[Item, float]]:
        """Ask the store; vector: (d,) float32."""
        return self._store.query(self._collection, modality, vector, k)

    def vectors(self, modality: Modality, ids: Sequence[str]) -> VectorTable:
        return self._store.vectors(self._collection, modality, ids)

    def best_of_nearest(
        self, vectors: Mapping[Modality, np.ndarray], pool: int, best: Best
    ) -> dict[Modality, list[Item]]:
        """Ask the store; vectors: (d,) float32 each."""
        return self._store.best_of_nearest(self._collection, vectors, pool, best)


class _Matches(Candidates):
    """The items that filters let through; rows (m,) int64 of each modality."""

    def __init__(
        self, store: Store, collection: str, kept: Kept, rows: Mapping[Modality, np.ndarray]
    ) -> None:
        self._store, self._collection, self._kept, self._rows = store, collection, kept, rows

    def counts(self, info: CollectionInfo) -> dict[Modality, int]:
        return {one: len(rows) for one, rows in self._rows.items() if len(rows)}

    def query(self, modality: Modality, vector: np.ndarray, k: int) -> list[tuple[Item, float]]:
        """Score matches, or ask the store for more than is wanted; vector: (d,) float32."""
        scores = dict(self._nearest(modality, vector, k))
        return [(item, scores[item.id]) for item in self._kept.parts[modality].items(list(scores))]

    def vectors(self, modality: Modality, ids: Sequence[str]) -> VectorTable:
        return self._kept.parts[modality].vectors(ids)

    def best_of_nearest(
        self, vectors: Mapping[Modality, np.ndarray], pool: int, best: Best
    ) -> dict[Modality, list[Item]]:
        """Take what `query` would; vectors: (d,) float32 each."""
        tables = {}
        for one, vector in vectors.items():
            ids = [id_ for id_, _ in self._nearest(one, vector, pool)]
            tables[one] = self._kept.parts[one].vectors(ids)
        return {one: self._kept.parts[one].items(ids) for one, ids in best(tables).items()}

    def _nearest(self, modality: Modality, vector: np.ndarray, k: int) -> list[tuple[str, float]]:
        """Return the ids of the k matches nearest to a unit vector (d,) float32, with their cosine."""
        part, rows = self._kept.parts[modality], self._rows.get(modality, np.zeros(0, np.int64))
        asked = int(_SPARE * k * len(part) / max(len(rows), 1)) + k
        fits = part.fits(len(vector))
        few, most = (_SCORED, _MOST_ASKED) if fits else (_SCORED_FROM_DISK, _MOST_ASKED_FROM_DISK)
        if len(rows) > few and asked <= most:
            found = self._asked(part, rows, modality, vector, asked)
            if len(found) >= k:
                return found[:k]
        return _scored(part, rows, vector, k)

    def _asked(
        self, part: Part, rows: np.ndarray, modality: Modality, vector: np.ndarray, count: int
    ) -> list[tuple[str, float]]:
        """Return those that match among the nearest that Chroma gives."""
        nearest = self._store.nearest(self._collection, modality, vector, count)
        found = part.rows_of([id_ for id_, _ in nearest])
        place = np.minimum(np.searchsorted(rows, found), len(rows) - 1)  # rows are sorted
        passing = (rows[place] == found).tolist()
        return [pair for pair, passes in zip(nearest, passing, strict=True) if passes]


def _scored(part: Part, rows: np.ndarray, vector: np.ndarray, k: int) -> list[tuple[str, float]]:
    """Return the k best of rows (m,) int64 with their cosine, each of them scored."""
    scores = part.scores(rows, vector, keep=len(rows) > _KEPT_ABOVE)
    best = np.argpartition(-scores, k - 1)[:k] if len(rows) > k else np.arange(len(rows))
    best = best[np.argsort(-scores[best], kind="stable")]
    best = best[np.isfinite(scores[best])]
    return list(zip(part.ids_of(rows[best]), scores[best].tolist(), strict=True))
