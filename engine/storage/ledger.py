"""The SQLite record of what is stored: items, their vectors, and what is left to remember.

Chroma keeps vectors only in its index files and reports no failed write (a full disk loses rows
silently), so every vector is written here first, and the index can be made again without embedding.
Nothing is ever searched here.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import FolderError
from engine.media.metadata import LARGEST_EXACT
from engine.text import question_words
from engine.types import Item, Modality, Provenance, VectorTable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    collection TEXT NOT NULL, modality TEXT NOT NULL, id TEXT NOT NULL,
    media TEXT, item TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (collection, modality, id)
);
CREATE INDEX IF NOT EXISTS items_media ON items (media);
CREATE TABLE IF NOT EXISTS collections (
    name TEXT PRIMARY KEY, model TEXT NOT NULL, revision TEXT NOT NULL, dim INTEGER NOT NULL,
    options TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS judgements (
    collection TEXT NOT NULL, question TEXT NOT NULL, item TEXT NOT NULL, relevance INTEGER NOT NULL,
    PRIMARY KEY (collection, question, item)
);
"""
_COLUMNS = ("model", "revision", "dim")
_IN_CHUNK = 500
_VERSION = "version of "  # in front of a collection's name, in the state
_GIVEN = "SELECT value FROM json_each(?2)"  # ids, as JSON
_JUDGED = f"(item IN ({_GIVEN}) OR question IN (SELECT 'item:' || value FROM json_each(?2)))"


def item_to_json(item: Item) -> str:
    """Return an item as JSON, fields that say nothing left out."""
    fields = {key: value for key, value in asdict(item).items() if value not in (None, "", ())}
    if item.metadata:
        fields["metadata"] = dict(item.metadata)  # so that SQLite can look a name up
    return json.dumps(fields, ensure_ascii=False)


def item_from_json(text: str) -> Item:
    """Return the item that `item_to_json` wrote."""
    fields = json.loads(text)
    fields["labels"] = tuple(fields.get("labels", ()))
    fields["metadata"] = tuple(fields.get("metadata", {}).items())
    return Item(**{"mime": "", **fields})  # an imported vector without its medium has none


def note_write(db: sqlite3.Connection, collection: str) -> None:
    """Give a collection a new version, in the transaction that writes its items.

    Drawn by chance: a count would start again, and repeat itself, after a collection was deleted.
    """
    db.execute(
        "INSERT OR REPLACE INTO state VALUES (?, lower(hex(randomblob(16))))", (_VERSION + collection,)
    )


def forget_version(db: sqlite3.Connection, collection: str) -> None:
    """Forget the version of a collection that is no more, or no longer called so."""
    db.execute("DELETE FROM state WHERE key = ?", (_VERSION + collection,))


class Ledger:
    """Items and vectors by collection and modality; one connection, safe from several threads.

    Every method that asks the file raises FolderError where that cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._errors():
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=30)
            # WAL with NORMAL survives a killed process; only a power cut may lose the last commits.
            self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_SCHEMA}")
            self._db.create_function("question_words", 1, lambda text: question_words(text or ""))
            columns = {row[1] for row in self._db.execute("PRAGMA table_info(collections)")}
            if "options" not in columns:  # a ledger of version 0.1.0
                self._db.execute("ALTER TABLE collections ADD COLUMN options TEXT NOT NULL DEFAULT '{}'")

    def close(self) -> None:
        """Close the file; the ledger cannot be used afterwards."""
        with self._lock:
            self._db.close()

    def put(
        self,
        collection: str,
        items: Sequence[Item],
        table: VectorTable,
        made_by: Provenance | None = None,
    ) -> bool:
        """Record items with their vectors, row i with items[i]; a known id is written anew.

        Returns False, with nothing written, where made_by is given and the collection was deleted or
        made again by something else meanwhile. Raises ValueError where the ids do not agree.
        """
        if tuple(item.id for item in items) != table.ids:
            raise ValueError("items and vectors do not carry the same ids in the same order")
        rows = [
            (collection, item.modality, item.id, item.media, item_to_json(item), vector.tobytes())
            for item, vector in zip(items, table.vectors, strict=True)
        ]
        with self.transaction() as db:
            recorded = self.provenance(collection) if made_by else None
            if made_by and not (recorded and recorded.agrees_with(made_by)):
                return False
            db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)
            if rows:
                note_write(db, collection)
        return True

    def get(self, collection: str, modality: Modality, ids: Iterable[str]) -> tuple[list[Item], VectorTable]:
        """Return the recorded ones among these ids with their vectors (n, d) float32."""
        rows: list[tuple[str, bytes]] = []
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _IN_CHUNK):
            chunk = wanted[start : start + _IN_CHUNK]
            marks = ",".join("?" * len(chunk))
            query = (
                f"SELECT item, vector FROM items WHERE collection = ? AND modality = ? AND id IN ({marks})"
            )
            rows += self.rows(query, (collection, modality, *chunk))
        return _unpacked(rows)

    def known(self, collection: str, modality: Modality, ids: Iterable[str]) -> set[str]:
        """Return those of these ids that are recorded."""
        query = (
            "SELECT id FROM items WHERE collection = ? AND modality = ? "
            "AND id IN (SELECT value FROM json_each(?))"
        )
        return {id_ for (id_,) in self.rows(query, (collection, modality, json.dumps(list(ids))))}

    def ids(self, collection: str, modality: Modality) -> list[str]:
        """Return the ids recorded of one modality."""
        query = "SELECT id FROM items WHERE collection = ? AND modality = ?"
        return [id_ for (id_,) in self.rows(query, (collection, modality))]

    def pages(
        self, collection: str, modality: Modality, *, rows: int = 1000
    ) -> Iterator[tuple[list[Item], VectorTable]]:
        """Yield everything recorded of one modality, in pages ordered by id."""
        last = ""
        while True:
            page = self.rows(
                "SELECT item, vector FROM items WHERE collection = ? AND modality = ? AND id > ? "
                "ORDER BY id LIMIT ?",
                (collection, modality, last, rows),
            )
            if not page:
                return
            items, table = _unpacked(page)
            yield items, table
            last = items[-1].id

    def counts(self) -> dict[tuple[str, Modality], int]:
        """Return how many items are recorded per collection and modality."""
        rows = self.rows("SELECT collection, modality, COUNT(*) FROM items GROUP BY 1, 2", ())
        return {(collection, modality): count for collection, modality, count in rows}

    def names(self, collection: str) -> list[tuple[Modality, str, str, str, str | None, str | None]]:
        """Return modality, id, name and pair of every item, of texts the caption, and the id it was given."""
        query = """SELECT modality, id, json_extract(item, '$.name'), json_extract(item, '$.pair'),
        CASE modality WHEN 'text' THEN json_extract(item, '$.caption') END, json_extract(item, '$.given_id')
        FROM items WHERE collection = ?"""
        return self.rows(query, (collection,))

    def metadata_types(self, collection: str) -> dict[str, set[str]]:
        """Return the names in the metadata of a collection, sorted, each with the JSON types it has.

        Types are SQLite's: text, integer, real, true, false; and long, of integers that no float holds.
        """
        query = """SELECT DISTINCT one.key, CASE
        WHEN one.type = 'integer' AND one.value NOT BETWEEN -?1 AND ?1 THEN 'long' ELSE one.type END
        FROM items, json_each(item, '$.metadata') AS one WHERE collection = ?2 ORDER BY one.key"""
        found: dict[str, set[str]] = {}
        for name, kind in self.rows(query, (LARGEST_EXACT, collection)):
            found.setdefault(name, set()).add(kind)
        return found

    def version(self, collection: str) -> str:
        """Return what changes whenever items of a collection are added, written anew or deleted.

        Only then: writes into other collections leave it as it is. "" where nothing was written since
        before versions were recorded. Costs one row, whatever the size.
        """
        return self.get_state(_VERSION + collection) or ""

    def delete(self, collection: str, ids: Iterable[str] | None = None) -> list[str]:
        """Forget items (all of the collection where ids is None), and the judgements that name them.

        Returns the media that no collection refers to any more.
        """
        with self._errors(), self._db:
            return _deleted(self._db, collection, ids)

    def is_used(self, media: str) -> bool:
        """Tell whether any collection refers to a medium."""
        return bool(self.rows("SELECT 1 FROM items WHERE media = ? LIMIT 1", (media,)))

    def media_of(self, id_: str) -> str | None:
        """Return the medium of a picture, by its id in whatever collection."""
        query = """SELECT media FROM items WHERE collection IN (SELECT name FROM collections)
        AND modality = 'image' AND id = ? LIMIT 1"""
        return next((media for (media,) in self.rows(query, (id_,))), None)

    def get_state(self, key: str) -> str | None:
        """Return a remembered value."""
        rows = self.rows("SELECT value FROM state WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_state(self, key: str, value: str) -> None:
        """Remember a value."""
        with self._errors(), self._db:
            self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))

    def drop_state(self, key: str) -> None:
        """Forget a remembered value."""
        with self._errors(), self._db:
            self._db.execute("DELETE FROM state WHERE key = ?", (key,))

    def states(self, prefix: str) -> list[tuple[str, str]]:
        """Return the remembered values whose key begins so, with the rest of their keys."""
        query = "SELECT substr(key, ?), value FROM state WHERE substr(key, 1, ?) = ? ORDER BY key"
        return self.rows(query, (len(prefix) + 1, len(prefix), prefix))

    def provenance(self, collection: str) -> Provenance | None:
        """Return what made the recorded vectors of a collection."""
        query = "SELECT model, revision, dim, options FROM collections WHERE name = ?"
        for model, revision, dim, options in self.rows(query, (collection,)):
            return Provenance(model, revision, dim, **json.loads(options))
        return None

    def set_provenance(self, collection: str, made_by: Provenance) -> None:
        """Record what makes the vectors of a collection; rows made by anything else are dropped."""
        if self.provenance(collection) == made_by:
            return
        options = {key: value for key, value in asdict(made_by).items() if key not in _COLUMNS}
        row = (collection, made_by.model, made_by.revision, made_by.dim, json.dumps(options))
        with self._errors(), self._db:
            self._db.execute("DELETE FROM items WHERE collection = ?", (collection,))
            note_write(self._db, collection)
            self._db.execute("INSERT OR REPLACE INTO collections VALUES (?, ?, ?, ?, ?)", row)

    def forget(self, collection: str) -> list[str]:
        """Forget a whole collection; returns the media that nothing refers to any more.

        In one step: an ingest that is writing into it must not find it between two of them.
        """
        with self._errors(), self._db:
            media = _deleted(self._db, collection)
            self._db.execute("DELETE FROM collections WHERE name = ?", (collection,))
            forget_version(self._db, collection)
            return media

    def rows(self, query: str, args: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of a query, for the other files of this room that read or record more here."""
        with self._errors():
            return self._db.execute(query, args).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file for one step that is made whole or not at all. Raises FolderError."""
        with self._errors(), self._db:
            # At once, not at the first write: what is read in here must still be so when it is written.
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                remedy = "Make sure it can be written and has free space, then try again."
                raise FolderError(self.path.parent, f"cannot be used ({error})", remedy) from error


def _deleted(db: sqlite3.Connection, collection: str, ids: Iterable[str] | None = None) -> list[str]:
    """Delete rows as `Ledger.delete` says, within a transaction; returns the same."""
    where, judged, args = "collection = ?1", "collection = ?1", [collection]
    if ids is not None:
        where += f" AND id IN ({_GIVEN})"
        judged += f" AND {_JUDGED}"
        args.append(json.dumps(list(ids)))
    db.execute(f"DELETE FROM judgements WHERE {judged}", args)
    gone = db.execute(
        f"SELECT DISTINCT media FROM items WHERE {where} AND media IS NOT NULL", args
    ).fetchall()
    db.execute(f"DELETE FROM items WHERE {where}", args)
    note_write(db, collection)
    used = "SELECT 1 FROM items WHERE media = ? LIMIT 1"
    return [media for (media,) in gone if not db.execute(used, (media,)).fetchone()]


def _unpacked(rows: list[tuple[str, bytes]]) -> tuple[list[Item], VectorTable]:
    """Return items and their vectors (n, d) float32 from JSON and bytes; (0, 0) of none."""
    items = [item_from_json(text) for text, _ in rows]
    vectors = [np.frombuffer(blob, np.float32) for _, blob in rows]
    matrix = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
    return items, VectorTable(tuple(item.id for item in items), matrix)
