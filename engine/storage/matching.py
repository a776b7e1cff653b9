"""Which items of a collection fulfil conditions, from columns that are kept until something is written.

Chroma's own `where` costs more than ten times an unfiltered query at 100,000 items. Here the columns asked
for are read from the ledger once, and so are the vectors where many must be scored; the ledger's version of
the collection tells when they are of the past. How a filtered search uses them is for `search/filtered.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import CollectionError
from engine.media.metadata import file_name, kind_of
from engine.storage.conditions import FACTS, Kind, check_filters, is_date
from engine.storage.filter_columns import passing_all
from engine.storage.filter_part import ChangedError, Part, chunks
from engine.storage.ledger import Ledger
from engine.types import MODALITIES, Filters, Modality

if TYPE_CHECKING:
    from engine.storage.chroma import Store

_COLLECTIONS = 2  # that are kept, each with up to 512 MB of vectors of a modality
_MIRROR_SECONDS = 30.0
_TRIES = 4
_SUMMARY = """SELECT one.key, one.type, MIN(one.value), MAX(one.value)
FROM items, json_each(item, '$.metadata') AS one WHERE collection = ? GROUP BY 1, 2 ORDER BY 1"""


class Kept:
    """What is kept of one collection as it was at one version: its columns by name, its parts by modality."""

    def __init__(self, ledger: Ledger, collection: str) -> None:
        self.version, self.read_at = ledger.version(collection), time.monotonic()
        self.parts = {one: Part(ledger, collection, one, self.version) for one in MODALITIES}
        self.kinds: Mapping[str, Kind] = {**FACTS, **_kinds(ledger.rows(_SUMMARY, (collection,)))}
        if ledger.version(collection) != self.version:
            raise ChangedError
        self.is_mirror = False

    @property
    def counts(self) -> dict[Modality, int]:
        """Return how many items there are of each modality that has any."""
        return {one: len(part) for one, part in self.parts.items() if len(part)}

    def rows(self, modality: Modality, filters: Filters) -> np.ndarray:
        """Return the rows of one modality that filters let through: (m,) int64, sorted."""
        part = self.parts[modality]
        if not filters.allows(modality):
            return np.zeros(0, np.int64)
        passing = passing_all(filters.of_columns, lambda name: part.column(name, self.kinds[name]), len(part))
        return np.flatnonzero(passing)


class Matching:
    """The kept columns of one data folder's collections; safe from several threads.

    Of items that another data folder has put into a shared store the ledger knows nothing: what the store
    says of such a collection is read into a ledger in memory, and may be _MIRROR_SECONDS old.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        self._kept: dict[str, Kept] = {}
        self._reading = threading.Lock()

    def kinds(self, collection: str) -> Mapping[str, Kind]:
        """Return the columns that conditions may name, with what each holds.

        Metadata under the name of a fact is called "meta.NAME". Raises FolderError, CollectionError.
        """
        return self._steady(collection).kinds

    def said(self, collection: str, name: str) -> list[tuple[str, int]]:
        """Return the different values of a column, as conditions write them, with how many items have each.

        Numbers come by size, others by their letters. Raises FolderError, CollectionError.
        """
        counts: dict[str, int] = {}
        for _ in range(_TRIES):
            kept = self._steady(collection)
            try:
                columns = [one.column(name, kept.kinds[name]) for one in kept.parts.values() if len(one)]
            except ChangedError:
                continue
            for value, count in (pair for column in columns for pair in column.said()):
                counts[value] = counts.get(value, 0) + count
            number = kept.kinds[name] == "number"
            return sorted(counts.items(), key=lambda pair: float(pair[0]) if number else pair[0])
        raise _busy(collection)

    def rows(self, collection: str, filters: Filters) -> tuple[Kept, dict[Modality, np.ndarray]]:
        """Return what is kept of a collection, and of each modality the rows that filters let through.

        Rows are (m,) int64, sorted. Raises QueryError for a column there is not, FolderError,
        CollectionError.
        """
        for _ in range(_TRIES):
            kept = self._steady(collection)
            check_filters(filters, kept.kinds)
            try:
                return kept, {one: kept.rows(one, filters) for one in kept.counts}
            except ChangedError:
                continue
        raise _busy(collection)

    def _steady(self, collection: str) -> Kept:
        """Return what is kept of a collection as it is now."""
        with self._reading:
            for _ in range(_TRIES):
                kept = self._kept.get(collection)
                try:
                    if kept is None or self._is_past(collection, kept):
                        kept = self._read(collection)
                except ChangedError:
                    continue
                self._kept.pop(collection, None)
                self._kept[collection] = kept  # the last one used stays longest
                for old in list(self._kept)[:-_COLLECTIONS]:
                    del self._kept[old]
                return kept
        raise _busy(collection)

    def _is_past(self, collection: str, kept: Kept) -> bool:
        if kept.version != (self._ledger.version(collection) if not kept.is_mirror else kept.version):
            return True
        if kept.is_mirror and time.monotonic() - kept.read_at > _MIRROR_SECONDS:
            return True
        return self._store.is_shared and kept.counts != self._counts(collection)

    def _read(self, collection: str) -> Kept:
        kept = Kept(self._ledger, collection)
        if not self._store.is_shared or kept.counts == self._counts(collection):
            return kept
        mirror = Ledger(Path(":memory:"))
        for modality in MODALITIES:
            for items in chunks(self._store.all_items(collection, modality)):
                table = self._store.vectors(collection, modality, [item.id for item in items])
                there = set(table.ids)
                mirror.put(collection, [item for item in items if item.id in there], table)
        kept = Kept(mirror, collection)
        kept.is_mirror = True
        return kept

    def _counts(self, collection: str) -> dict[Modality, int]:
        return {one: count for one, count in self._store.info(collection).counts.items() if count}


def _busy(collection: str) -> CollectionError:
    return CollectionError(f"{collection!r} is being written to, faster than it is read. Search again.")


def _kinds(summary: Iterable[tuple[str, str, Any, Any]]) -> dict[str, Kind]:
    """Return what every column of metadata holds, from its types with the least and the greatest value."""
    types: dict[str, set[str]] = {}
    dates: dict[str, bool] = {}
    for name, kind, least, greatest in summary:
        types.setdefault(name, set()).add(kind)
        dates[name] = kind == "text" and is_date(least) and is_date(greatest)
    kinds: dict[str, Kind] = {}
    for name, found in types.items():
        kind = kind_of(found)
        plain: Kind = "truth" if kind == "truth" else "text" if kind == "text" else "number"
        kinds[file_name(name, FACTS)] = "date" if found == {"text"} and dates[name] else plain
    return kinds
