"""What a map asks of every item, in columns: modality, media type, labels, pair; and the vectors in a table.

Read from the ledger, which is ten times as quick as the store; of items that another data folder has
put into a shared store it knows nothing, and the store is read then. Changes nothing, and keeps nothing:
`maps/kept.py` does, as reading a million items takes longer than drawing them.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from engine.errors import ProjectionError
from engine.storage.chroma import CollectionInfo
from engine.storage.data_folder import DataFolder
from engine.storage.ledger import item_from_json
from engine.types import MODALITIES, Item, Modality, VectorTable

_ROWS_AT_ONCE = 20_000
_Row = tuple[str, str, str, str]  # of an item: modality, media type, pair, and labels as JSON
_FIELDS = """SELECT id, modality, json_extract(item, '$.mime'), json_extract(item, '$.pair'),
json_extract(item, '$.labels') FROM items WHERE collection = ?"""


@dataclass(frozen=True)
class Category:
    """A column of few different values: row i has `values[codes[i]]`; codes (n,) int32."""

    codes: np.ndarray = field(repr=False)
    values: tuple[Any, ...]

    @classmethod
    def of(cls, column: Iterable[Hashable]) -> Category:
        """Return a column of values as they come, numbered by their first row."""
        place: dict[Hashable, int] = {}
        codes = [place.setdefault(value, len(place)) for value in column]
        return cls(np.array(codes, np.int32), tuple(place))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Any:
        return self.values[self.codes[row]]

    def __iter__(self) -> Iterator[Any]:
        return map(self.values.__getitem__, self.codes.tolist())

    def take(self, rows: np.ndarray) -> Category:
        """Return some rows, (m,) of any int dtype, in their order."""
        return replace(self, codes=self.codes[rows])

    def counts(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return how many rows, of all or of some (m,), have each value: (len(values),) int64."""
        return np.bincount(self.codes if rows is None else self.codes[rows], minlength=len(self.values))

    def where(self, value: Hashable) -> np.ndarray:
        """Return which rows have a value: (n,) bool."""
        return self.codes == (self.values.index(value) if value in self.values else -1)


@dataclass(frozen=True)
class Columns:
    """Facts of all items of a collection, in the order of their ids; row i of every column is of ids[i].

    `labels` has a tuple of labels for every row; rows of one number in `pair` (n,) int32 belong together.
    Raises ValueError where lengths differ.
    """

    ids: tuple[str, ...]
    modality: Category = field(repr=False)
    mime: Category = field(repr=False)
    pair: np.ndarray = field(repr=False)
    labels: Category = field(repr=False)

    def __post_init__(self) -> None:
        if len({len(self.ids), len(self.modality), len(self.mime), len(self.pair), len(self.labels)}) != 1:
            raise ValueError("columns must be of one length")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, ids: Iterable[str]) -> Columns:
        """Return the rows of these ids, in their order; KeyError for an id that is not here."""
        place, wanted = {id_: row for row, id_ in enumerate(self.ids)}, tuple(ids)
        rows = np.array([place[id_] for id_ in wanted], np.int64)
        some = {name: getattr(self, name).take(rows) for name in ("modality", "mime", "pair", "labels")}
        return Columns(wanted, **some)

    @property
    def present(self) -> list[Modality]:
        """Return the modalities that have items, in the order of MODALITIES."""
        counts = dict(zip(self.modality.values, self.modality.counts(), strict=True))
        return [one for one in MODALITIES if counts.get(one)]


def read_columns(folder: DataFolder, collection: str) -> Columns:
    """Return the columns of a collection as it is now.

    Raises CollectionNotFoundError, StoreError, FolderError, and ProjectionError where it is empty.
    """
    rows: dict[str, _Row] = {}
    for id_, modality, mime, pair, labels in folder.ledger.rows(_FIELDS, (collection,)):
        rows[id_] = (modality, mime or "", pair or id_, labels or "")
    counts = folder.store.info(collection).counts
    if sum(counts.values()) != len(rows):  # not all is in this ledger, or not all of it in the store yet
        rows = dict(_from_store(folder, collection, rows))
    if not rows:
        raise ProjectionError(f"There is nothing to project: the collection {collection!r} is empty.")
    ids = tuple(sorted(rows))
    kinds, mimes, pairs, texts = (Category.of(rows[id_][place] for id_ in ids) for place in range(4))
    known = tuple(tuple(json.loads(text)) if text else () for text in texts.values)
    return Columns(ids, kinds, mimes, pairs.codes, replace(texts, values=known))


def _from_store(folder: DataFolder, collection: str, known: Mapping[str, _Row]) -> Iterator[tuple[str, _Row]]:
    """Yield what the store holds, by what the ledger says of it or else by what the store does."""
    for item in chain.from_iterable(folder.store.all_items(collection, one) for one in MODALITIES):
        labels = json.dumps(item.labels) if item.labels else ""
        yield item.id, known.get(item.id) or (item.modality, item.mime, item.pair, labels)


def read_vectors(folder: DataFolder, collection: str, ids: Sequence[str]) -> VectorTable:
    """Return the vectors of items (n, d) float32 in the order of ids, less those that are gone.

    Raises StoreError, FolderError.
    """
    place = {id_: row for row, id_ in enumerate(ids)}
    matrix, found = np.zeros((0, 0), np.float32), np.zeros(len(ids), bool)
    for page, vectors in _pages(folder, collection):
        rows = np.array([place.get(id_, -1) for id_ in page])
        if not matrix.size:
            matrix = np.zeros((len(ids), vectors.shape[1]), np.float32)
        matrix[rows[rows >= 0]], found[rows[rows >= 0]] = vectors[rows >= 0], True
    if found.all():
        return VectorTable(tuple(ids), matrix)
    missing = [id_ for id_, there in zip(ids, found, strict=True) if not there]
    tables = [folder.store.vectors(collection, modality, missing) for modality in MODALITIES]
    tables = [table for table in tables if len(table)]
    some = tuple(id_ for id_, there in zip(ids, found, strict=True) if there)
    if not tables:
        return VectorTable(some, matrix[found] if some else matrix[:0])
    both = VectorTable(
        some + tuple(id_ for table in tables for id_ in table.ids),
        np.concatenate([*([matrix[found]] if some else []), *(table.vectors for table in tables)]),
    )
    there = set(both.ids)
    return both.take(id_ for id_ in ids if id_ in there)


def _pages(folder: DataFolder, collection: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield ids with their vectors (m, d) float32 as the ledger has them, not all at once."""
    query = """SELECT id, vector FROM items WHERE collection = ? AND modality = ? AND id > ?
    ORDER BY id LIMIT ?"""
    for modality in MODALITIES:
        last = ""
        while rows := folder.ledger.rows(query, (collection, modality, last, _ROWS_AT_ONCE)):
            last = rows[-1][0]
            vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32)
            yield [id_ for id_, _ in rows], vectors.reshape(len(rows), -1)


def read_items(
    folder: DataFolder, collection: str, modality_of: Mapping[str, Modality], ids: Iterable[str]
) -> list[Item]:
    """Return items in the order of ids, less those that are gone, or of another data folder."""
    wanted = list(ids)
    query = """SELECT item FROM items WHERE collection = ? AND modality = ?
    AND id IN (SELECT value FROM json_each(?))"""
    found: dict[str, Item] = {}
    for modality in MODALITIES:
        some = [id_ for id_ in wanted if modality_of.get(id_) == modality]
        rows = folder.ledger.rows(query, (collection, modality, json.dumps(some))) if some else []
        found |= {item.id: item for item in (item_from_json(text) for (text,) in rows)}
    return [found[id_] for id_ in wanted if id_ in found]


def texts_of(folder: DataFolder, collection: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the words of every item: its caption and labels, or its name."""
    query = """SELECT id, json_extract(item, '$.caption'), json_extract(item, '$.labels') FROM items
    WHERE collection = ?"""
    for id_, caption, labels in folder.ledger.rows(query, (collection,)):
        yield id_, " ".join((caption or "", *(json.loads(labels) if labels else ()))).strip()


def last_change(folder: DataFolder, collection: str, info: CollectionInfo | None = None) -> str:
    """Return what differs after something was written into this collection, and only then; costs one row.

    Asks the store as well, unless `info` is what it just said: a shared one may have been written to from
    another data folder.
    """
    said = info or folder.store.info(collection)
    return f"{folder.settings.data_dir} {said} {folder.ledger.version(collection)}"
