"""What is recorded of collections that are still being made: their hidden name, and a swap not yet finished.

A re-embedding files its rows in the ledger under a `StagingName` until they are all there. One transaction
then files them under the name people know, and notes that the store has still to follow.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import CollectionError
from engine.storage.ledger import Ledger, forget_version, item_from_json, note_write
from engine.types import Item, Modality, Provenance

Key = tuple[Modality, str]  # what tells the items of a collection apart: modality and id
_REEMBED, _SWAP = "remake ", "swap "  # in front of the target's name, in the ledger's state
# Items of a collection (the first ?) that another one (the second ?) does not hold.
_MISSING = (
    "FROM items AS s WHERE s.collection = ? AND NOT EXISTS (SELECT 1 FROM items AS t "
    "WHERE t.collection = ? AND t.modality = s.modality AND t.id = s.id)"
)


class StagingName(str):
    """The name of a collection that is still being made; no name that people type is of this type."""

    __slots__ = ()

    @classmethod
    def new(cls, target: str) -> StagingName:
        """Return a name nobody has used before, for what will be called `target`."""
        return cls(f"_{uuid.uuid4().hex[:8]}.{target}")


def is_staging(name: str) -> bool:
    """Tell whether a name in the ledger is that of a collection still being made."""
    return name.startswith("_")  # `store.check_name` wants a letter or a digit there


@dataclass(frozen=True)
class Staging:
    """A re-embedding under way: `name` takes what will be called `target`, made from `source`."""

    target: str
    source: str
    name: StagingName


@dataclass(frozen=True)
class Swap:
    """A swap that the ledger has made and the store has still to make.

    `replaces` made the collection that goes (None: there was none); `gone` are items that were staged
    and deleted from the source since, and `media` what nothing refers to any more.
    """

    target: str
    name: StagingName
    replaces: Provenance | None
    gone: tuple[Key, ...]
    media: tuple[str, ...]


class Stagings:
    """The collections of one ledger that are still being made; safe from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, target: str) -> Staging | None:
        """Return the re-embedding under way that will be called `target`."""
        value = self._ledger.get_state(_REEMBED + target)
        return _staging(target, value) if value else None

    def begin(self, target: str, source: str, made_by: Provenance) -> Staging:
        """Record that a re-embedding of `source` into `target` is under way, and what makes its vectors."""
        staging = Staging(target, source, StagingName.new(target))
        value = json.dumps({"source": source, "name": staging.name})
        self._ledger.set_state(_REEMBED + target, value)
        self._ledger.set_provenance(staging.name, made_by)
        return staging

    def of(self, collection: str) -> list[Staging]:
        """Return the re-embeddings under way that read a collection or will be called like it."""
        under_way = (_staging(*row) for row in self._ledger.states(_REEMBED))
        return [one for one in under_way if collection in (one.source, one.target)]

    def names(self) -> set[StagingName]:
        """Return the names of all re-embeddings under way."""
        return {_staging(*row).name for row in self._ledger.states(_REEMBED)}

    def missing(self, staging: Staging, *, after: Key | tuple[str, str], limit: int) -> list[Item]:
        """Return items of the source that are not staged, by modality and id, from beyond a key."""
        query = f"SELECT s.item {_MISSING} AND (s.modality, s.id) > (?, ?) ORDER BY s.modality, s.id LIMIT ?"
        rows = self._ledger.rows(query, (staging.source, staging.name, *after, limit))
        return [item_from_json(text) for (text,) in rows]

    def count_missing(self, staging: Staging) -> int:
        """Return how many items of the source are not staged."""
        return self._ledger.rows(f"SELECT COUNT(*) {_MISSING}", (staging.source, staging.name))[0][0]

    def swap(
        self,
        staging: Staging,
        replaces: Provenance | None,
        *,
        leave_out: Container[Key] = (),
        note: tuple[str, str] | None = None,
    ) -> bool:
        """File what is staged under the target's name, in one step, and note that the store must follow.

        Staged items that the source has lost go. Returns False, with nothing changed, where an item of
        the source is not staged and not to be left out. note: a state to set in the same step. Raises
        CollectionError where it was dropped meanwhile, or a new name has come into use.
        """
        with self._ledger.transaction() as db:
            _check_alive(db, staging)
            keys = db.execute(f"SELECT s.modality, s.id {_MISSING}", (staging.source, staging.name))
            if any(key not in leave_out for key in keys):
                return False
            value = json.dumps(
                {
                    "name": staging.name,
                    "replaces": asdict(replaces) if replaces else None,
                    **_refile(db, staging),
                }
            )
            db.execute("DELETE FROM state WHERE key = ?", (_REEMBED + staging.target,))
            for row in ((_SWAP + staging.target, value), *([note] if note else [])):
                db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", row)
        return True

    def swaps(self) -> list[Swap]:
        """Return the swaps that the store has still to make."""
        return [_swap(target, value) for target, value in self._ledger.states(_SWAP)]

    def end_swap(self, swap: Swap) -> None:
        """Record that the store has made a swap."""
        self._ledger.drop_state(_SWAP + swap.target)

    def end(self, staging: Staging) -> None:
        """Forget that a re-embedding was under way; what it had staged must be deleted before."""
        self._ledger.drop_state(_REEMBED + staging.target)


def _check_alive(db: sqlite3.Connection, staging: Staging) -> None:
    known = db.execute("SELECT value FROM state WHERE key = ?", (_REEMBED + staging.target,)).fetchone()
    if known is None or _staging(staging.target, known[0]) != staging:
        raise dropped_error(staging)
    taken = db.execute("SELECT 1 FROM items WHERE collection = ? LIMIT 1", (staging.target,)).fetchone()
    if taken and staging.target != staging.source:
        raise CollectionError(
            f"A collection {staging.target!r} has come into being while {staging.source!r} was re-embedded "
            f"under that name. Delete one of the two, or choose another name."
        )


def dropped_error(staging: Staging) -> CollectionError:
    """Return the error of a re-embedding whose collection, or which itself, was deleted on the way."""
    return CollectionError(
        f"Re-embedding {staging.source!r} was ended from elsewhere: the collection, or what was already "
        f"embedded, was deleted. Begin again if you want it."
    )


def _refile(db: sqlite3.Connection, staging: Staging) -> dict[str, list[Any]]:
    """Replace the target's rows by the staged ones; returns the `gone` and the `media` of a `Swap`."""
    target, source, name = staging.target, staging.source, staging.name
    gone = db.execute(f"SELECT s.modality, s.id, s.media {_MISSING}", (name, source)).fetchall()
    db.execute(f"DELETE FROM items WHERE rowid IN (SELECT s.rowid {_MISSING})", (name, source))
    old = db.execute(f"SELECT s.media {_MISSING}", (target, name)).fetchall()
    db.execute("DELETE FROM items WHERE collection = ?", (target,))
    db.execute("UPDATE items SET collection = ? WHERE collection = ?", (target, name))
    db.execute("DELETE FROM collections WHERE name = ?", (target,))
    db.execute("UPDATE collections SET name = ? WHERE name = ?", (target, name))
    note_write(db, target)
    forget_version(db, name)
    media = _unused(db, [row[-1] for row in (*gone, *old) if row[-1]])
    return {"gone": [row[:2] for row in gone], "media": media}


def _unused(db: sqlite3.Connection, media: Iterable[str]) -> list[str]:
    used = "SELECT 1 FROM items WHERE media = ? LIMIT 1"
    return [one for one in dict.fromkeys(media) if not db.execute(used, (one,)).fetchone()]


def _staging(target: str, value: str) -> Staging:
    record = json.loads(value)
    return Staging(target, record["source"], StagingName(record["name"]))


def _swap(target: str, value: str) -> Swap:
    record = json.loads(value)
    replaces = Provenance(**record["replaces"]) if record["replaces"] else None
    gone = tuple((modality, id_) for modality, id_ in record["gone"])
    return Swap(target, StagingName(record["name"]), replaces, gone, tuple(record["media"]))
