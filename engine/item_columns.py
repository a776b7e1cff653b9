"""One more column of a collection's items, read when it is asked for: facts of the files, and any metadata.

What every map needs is in `columns.py`. Read from the ledger: of items that another data folder has put
into a shared store there is no value. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.columns import Category
from engine.errors import QueryError

if TYPE_CHECKING:
    from engine.workspace import Workspace

FACTS = {  # as they are shown, and the fields of an item
    "width in pixels": "width_px",
    "height in pixels": "height_px",
    "size in bytes": "size_bytes",
    "start in seconds": "start_seconds",
    "time of adding": "added_at",
}
MOST_NUMBERED = 20  # different numbers up to which they are groups, as class numbers are, and not a scale
_ASKED = 2_000  # rows whose facts are looked at to know which there are


def column_names(workspace: Workspace, collection: str) -> list[str]:
    """Return the columns that items of a collection have: facts first, then metadata by name."""
    fields = ", ".join(f"json_extract(item, '$.{field}')" for field in FACTS.values())
    query = f"SELECT {fields} FROM items WHERE collection = ? LIMIT {_ASKED}"
    rows = workspace.ledger.rows(query, (collection,))
    facts = [name for place, name in enumerate(FACTS) if len({row[place] for row in rows} - {None}) > 1]
    return [*facts, *(name for name in workspace.ledger.metadata_types(collection) if name not in facts)]


def read_column(
    workspace: Workspace, collection: str, name: str, ids: Sequence[str]
) -> Category | np.ndarray:
    """Return the values of a column in the order of ids: numbers (n,) float64 with NaN for none, or groups.

    Numbers of few different values are groups; in groups "" stands for none. Raises QueryError for a
    column that no item has.
    """
    rows = workspace.ledger.rows(*_query(collection, name))
    found = {id_: value for id_, value in rows if value is not None}
    if not found:
        have = ", ".join(column_names(workspace, collection)) or "none"
        raise QueryError(f"No item of {collection!r} has the column {name!r}. There are: {have}.")
    different = set(found.values())
    numbers = all(isinstance(value, int | float) for value in different)
    if numbers and len(different) > MOST_NUMBERED:
        return np.array([found.get(id_, np.nan) for id_ in ids], np.float64)
    return Category.of(_word(found[id_]) if id_ in found else "" for id_ in ids)


def _query(collection: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Return what gives the ids and values of a column. A path in SQLite's JSON could not hold a quote."""
    if name in FACTS:
        query = "SELECT id, json_extract(item, ?) FROM items WHERE collection = ?"
        return query, (f"$.{FACTS[name]}", collection)
    query = """SELECT items.id, one.value FROM items, json_each(item, '$.metadata') AS one
    WHERE collection = ? AND one.key = ?"""
    return query, (collection, name)


def _word(value: str | int | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
