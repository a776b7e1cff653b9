"""The items of one modality of a collection, with the columns and vectors that filtered searches asked for.

Read from a ledger the first time, and kept; when that is of the past is for `matching.py` to tell.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from engine.storage.conditions import FACTS, Kind, metadata_name
from engine.storage.filter_columns import FilterColumn, LabelColumn, NumberColumn, TextColumn
from engine.storage.ledger import Ledger, item_from_json
from engine.types import Item, Modality, VectorTable

T = TypeVar("T")
_MATRIX_BYTES = 512 * 2**20  # of vectors kept of one modality; more are read as they are scored
AT_ONCE, _STRIP = 5_000, 500
_IDS = "SELECT id FROM items WHERE collection = ? AND modality = ? ORDER BY id"
_FACT = "SELECT json_extract(item, ?) FROM items WHERE collection = ? AND modality = ? ORDER BY id"
_SAID = """SELECT CASE WHEN one.type IN ('true', 'false') THEN one.type ELSE one.value END
FROM items LEFT JOIN json_each(items.item, '$.metadata') AS one ON one.key = ?
WHERE collection = ? AND modality = ? ORDER BY items.id"""
_PAGE = """SELECT vector FROM items WHERE collection = ? AND modality = ? AND id >= ?
ORDER BY id LIMIT ?"""
_VECTORS = """SELECT id, vector FROM items WHERE collection = ? AND modality = ?
AND id IN (SELECT value FROM json_each(?))"""
_ITEMS = """SELECT item FROM items WHERE collection = ? AND modality = ?
AND id IN (SELECT value FROM json_each(?))"""


class ChangedError(Exception):
    """The collection was written to while it was read."""


class Part:
    """The items of one modality of a collection, in the order of their ids, and the columns asked for so far.

    A row is a place in that order.
    """

    def __init__(self, ledger: Ledger, collection: str, modality: Modality, version: str) -> None:
        self._ledger, self._args, self._version = ledger, (collection, modality), version
        self._ids = np.array([id_.encode() for (id_,) in ledger.rows(_IDS, self._args)], np.bytes_)  # (n,)
        self._columns: dict[str, FilterColumn] = {}
        self._matrix: np.ndarray | None = None
        self._reading = threading.RLock()

    def __len__(self) -> int:
        return len(self._ids)

    def fits(self, dim: int) -> bool:
        """Tell whether all vectors may be kept in memory."""
        return len(self) * dim * 4 <= _MATRIX_BYTES

    def column(self, name: str, kind: Kind) -> FilterColumn:
        """Return a column, read from the ledger the first time."""
        with self._reading:
            if name not in self._columns:
                values = self._values(name)
                if self._is_past():
                    raise ChangedError
                self._columns[name] = _column(kind, values)
            return self._columns[name]

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """Return the row of each id, -1 where it is not here: (m,) int64."""
        if not len(self) or not ids:
            return np.full(len(ids), -1)
        wanted = np.array([id_.encode() for id_ in ids], np.bytes_)
        rows = np.minimum(np.searchsorted(self._ids, wanted), len(self) - 1)
        return np.where(self._ids[rows] == wanted, rows, -1)

    def ids_of(self, rows: np.ndarray) -> list[str]:
        """Return the ids of rows (m,) int64."""
        return [id_.decode() for id_ in self._ids[rows].tolist()]

    def scores(self, rows: np.ndarray, question: np.ndarray, *, keep: bool) -> np.ndarray:
        """Return the cosines of rows (m,) int64 with a question (d,) float32, of unit length: (m,) float32.

        What is gone has -inf. keep: hold all vectors in memory from now on, where they fit.
        """
        found = np.full(len(rows), -np.inf, np.float32)
        matrix = self._kept_matrix(len(question)) if keep else self._matrix
        if matrix is not None:
            return np.clip(_products(matrix, rows, question), -1.0, 1.0)
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            table = self.vectors(self.ids_of(some))
            there = np.isin(some, self.rows_of(table.ids), assume_unique=True)
            if len(table):
                found[start : start + len(some)][there] = np.clip(table.vectors @ question, -1.0, 1.0)
        return found

    def vectors(self, ids: Sequence[str]) -> VectorTable:
        """Return the vectors (m, d) float32 of ids, in their order, less those that are gone."""
        known: dict[str, bytes] = {}
        for some in chunks(ids):
            known |= dict(self._ledger.rows(_VECTORS, (*self._args, json.dumps(some))))
        found = tuple(id_ for id_ in ids if id_ in known)
        vectors = [np.frombuffer(known[id_], np.float32) for id_ in found]
        return VectorTable(found, np.stack(vectors) if vectors else np.zeros((0, 0), np.float32))

    def items(self, ids: Sequence[str]) -> list[Item]:
        """Return items in the order of their ids, less those that are gone."""
        found: dict[str, Item] = {}
        for some in chunks(ids):
            rows = self._ledger.rows(_ITEMS, (*self._args, json.dumps(some)))
            found |= {item.id: item for item in (item_from_json(text) for (text,) in rows)}
        return [found[id_] for id_ in ids if id_ in found]

    def _is_past(self) -> bool:
        return self._ledger.version(self._args[0]) != self._version

    def _values(self, name: str) -> list[Any]:
        """Return what every row says in a column, as the ledger has it."""
        query, what = _SAID, metadata_name(name)
        if name in FACTS:
            query, what = _FACT, "$.labels" if name == "label" else f"$.{name}"
        values = [value for (value,) in self._ledger.rows(query, (what, *self._args))]
        if name == "added_at":
            return [value and datetime.fromtimestamp(value, UTC).isoformat()[:19] for value in values]
        return values

    def _kept_matrix(self, dim: int) -> np.ndarray | None:
        """Return all vectors (n, d) float32; None where they are too many, or were written to meanwhile."""
        with self._reading:
            if self._matrix is None and self.fits(dim):
                matrix = np.empty((len(self), dim), np.float32)
                for start in range(0, len(self), AT_ONCE):
                    first = self.ids_of(np.array([start]))[0]
                    rows = self._ledger.rows(_PAGE, (*self._args, first, min(AT_ONCE, len(self) - start)))
                    page = np.frombuffer(b"".join(vector for (vector,) in rows), np.float32)
                    if page.size != matrix[start : start + AT_ONCE].size:
                        return None
                    matrix[start : start + AT_ONCE] = page.reshape(-1, dim)
                self._matrix = None if self._is_past() else matrix
            return self._matrix


def chunks(given: Iterable[T]) -> Iterator[list[T]]:
    """Yield what is given in lists of AT_ONCE; the last may be shorter."""
    rest = iter(given)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _products(matrix: np.ndarray, rows: np.ndarray, question: np.ndarray) -> np.ndarray:
    """Return matrix[rows] @ question, (m,) float32, in strips that stay in the processor's cache.

    matrix (n, d) and question (d,) float32; rows (m,) int64. A quarter of the time of all rows at once.
    """
    found = np.empty(len(rows), np.float32)
    strip = np.empty((_STRIP, matrix.shape[1]), np.float32)
    for start in range(0, len(rows), _STRIP):
        some = rows[start : start + _STRIP]
        part = strip[: len(some)]
        np.take(matrix, some, axis=0, out=part, mode="clip")  # any other mode makes a copy more
        found[start : start + _STRIP] = part @ question
    return found


def _column(kind: Kind, values: list[Any]) -> FilterColumn:
    if kind == "number":
        return NumberColumn.of(values)
    if kind == "label":
        return LabelColumn.of(tuple(json.loads(one)) if one else () for one in values)
    return TextColumn.of(kind, [None if one is None else str(one) for one in values])
