"""What a map asks of every item, in columns: modality, media type, labels, pair; and the vectors in a table.

Read from the ledger, which is ten times as quick as the store; of items that another data folder has
put into a shared store it knows nothing, and the store is read then. Changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import QueryError
from engine.ledger import item_from_json
from engine.media.names import clean_text
from engine.types import MODALITIES, Item, Modality, VectorTable

if TYPE_CHECKING:
    from engine.workspace import Workspace

MAX_LABEL_CHARS = 100
_FIELDS = """SELECT id, modality, json_extract(item, '$.mime'), json_extract(item, '$.pair'),
json_extract(item, '$.labels') FROM items WHERE collection = ?"""


@dataclass(frozen=True)
class Columns:
    """Facts of items, row i of every column being of ids[i]. Raises ValueError where lengths differ."""

    ids: tuple[str, ...]
    modality: tuple[Modality, ...] = field(repr=False)
    mime: tuple[str, ...] = field(repr=False)
    pair: tuple[str, ...] = field(repr=False)
    labels: tuple[tuple[str, ...], ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len({len(self.ids), *map(len, (self.modality, self.mime, self.pair, self.labels))}) != 1:
            raise ValueError("columns must be of one length")

    def __len__(self) -> int:
        return len(self.ids)


def read_columns(workspace: Workspace, collection: str, modality_of: Mapping[str, Modality]) -> Columns:
    """Return the columns of items, in the order of modality_of. Raises StoreError, FolderError.

    An item that is gone by now keeps its row, with nothing in it.
    """
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    known: dict[str, tuple[str, ...]] = {}  # many items have the same labels
    for id_, _, mime, pair, text in workspace.ledger.rows(_FIELDS, (collection,)):
        if text and text not in known:
            known[text] = tuple(json.loads(text))
        found[id_] = (mime or "", pair or id_, known[text] if text else ())
    if modality_of.keys() - found.keys():
        for item in chain.from_iterable(workspace.store.all_items(collection, one) for one in MODALITIES):
            found.setdefault(item.id, (item.mime, item.pair, item.labels))
    rows = [found.get(id_, ("", id_, ())) for id_ in modality_of]
    return Columns(
        tuple(modality_of),
        tuple(modality_of.values()),
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        tuple(row[2] for row in rows),
    )


def read_vectors(workspace: Workspace, collection: str, ids: Sequence[str]) -> VectorTable:
    """Return the vectors of items (n, d) float32 in the order of ids, less those that are gone.

    Raises StoreError, FolderError.
    """
    rows = workspace.ledger.rows("SELECT id, vector FROM items WHERE collection = ?", (collection,))
    place = {id_: row for row, (id_, _) in enumerate(rows)}
    if rows and all(id_ in place for id_ in ids):
        matrix = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(len(rows), -1)
        return VectorTable(tuple(ids), matrix[[place[id_] for id_ in ids]])
    tables = [workspace.store.vectors(collection, modality) for modality in MODALITIES]
    tables = [table for table in tables if len(table)]
    if not tables:
        return VectorTable((), np.zeros((0, 0), np.float32))
    both = VectorTable(
        tuple(id_ for table in tables for id_ in table.ids),
        np.concatenate([table.vectors for table in tables]),
    )
    there = set(both.ids)
    return both.take(id_ for id_ in ids if id_ in there)


def read_items(
    workspace: Workspace, collection: str, modality_of: Mapping[str, Modality], ids: Iterable[str]
) -> list[Item]:
    """Return items in the order of ids, less those that are gone, or of another data folder."""
    wanted = list(ids)
    query = """SELECT item FROM items WHERE collection = ? AND modality = ?
    AND id IN (SELECT value FROM json_each(?))"""
    found: dict[str, Item] = {}
    for modality in MODALITIES:
        some = [id_ for id_ in wanted if modality_of.get(id_) == modality]
        rows = workspace.ledger.rows(query, (collection, modality, json.dumps(some))) if some else []
        found |= {item.id: item for item in (item_from_json(text) for (text,) in rows)}
    return [found[id_] for id_ in wanted if id_ in found]


def texts_of(workspace: Workspace, collection: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the words of every item: its caption and labels, or its name."""
    query = """SELECT id, json_extract(item, '$.caption'), json_extract(item, '$.labels') FROM items
    WHERE collection = ?"""
    for id_, caption, labels in workspace.ledger.rows(query, (collection,)):
        yield id_, " ".join((caption or "", *(json.loads(labels) if labels else ()))).strip()


def last_change(workspace: Workspace, collection: str) -> str:
    """Return what differs after something was written into a collection; costs one row.

    Every item written anew, labels included, gets a new row; what was only deleted shows in the counts.
    """
    newest = workspace.ledger.rows("SELECT rowid, id FROM items ORDER BY rowid DESC LIMIT 1", ())
    info = workspace.store.info(collection)
    return f"{workspace.settings.data_dir} {info} {newest}"


def check_label(label: str) -> str:
    """Return a label on one line. Raises QueryError where nothing is left, or it is long."""
    clean = " ".join(clean_text(label[: 10 * MAX_LABEL_CHARS]).split())
    if not clean or len(clean) > MAX_LABEL_CHARS:
        raise QueryError(f"A label has 1 to {MAX_LABEL_CHARS} characters; this one has {len(clean):,}.")
    return clean


def relabelled(items: Iterable[Item], label: str, *, remove: bool = False) -> list[Item]:
    """Return those items that a label is new to, with it; or that have it, without."""
    return [
        replace(
            item,
            labels=tuple(one for one in item.labels if one != label) if remove else (*item.labels, label),
        )
        for item in items
        if (label in item.labels) == remove
    ]
