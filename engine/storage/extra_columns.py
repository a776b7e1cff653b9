"""One more column of a collection's items, read when it is asked for: facts of the files, and any metadata.

What every map needs is in `columns.py`. Read from the ledger: of items that another data folder has put
into a shared store there is no value. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import QueryError
from engine.storage.columns import Category

if TYPE_CHECKING:
    from engine.storage.data_folder import DataFolder

FACTS = {  # as they are shown, and the fields of an item
    "width in pixels": "width_px",
    "height in pixels": "height_px",
    "size in bytes": "size_bytes",
    "start in seconds": "start_seconds",
    "time of adding": "added_at",
}
MOST_NUMBERED = 20  # different numbers up to which they are groups, as class numbers are, and not a scale
_ASKED = 20_000


def column_names(folder: DataFolder, collection: str) -> list[str]:
    """Return the columns that items of a collection have: facts first, then metadata by name.

    Looked for in the first _ASKED items; metadata goes before a fact of the same name.
    """
    fields = ", ".join(f"json_extract(item, '$.{field}')" for field in FACTS.values())
    query = f"SELECT {fields} FROM items WHERE collection = ? LIMIT {_ASKED}"
    rows = folder.ledger.rows(query, (collection,))
    facts = [name for place, name in enumerate(FACTS) if len({row[place] for row in rows} - {None}) > 1]
    query = f"""SELECT DISTINCT one.key FROM
    (SELECT item FROM items WHERE collection = ? LIMIT {_ASKED}) AS some,
    json_each(some.item, '$.metadata') AS one ORDER BY one.key"""
    named = [name for (name,) in folder.ledger.rows(query, (collection,))]
    return [*(name for name in facts if name not in named), *named]


def read_column(folder: DataFolder, collection: str, name: str, ids: Sequence[str]) -> Category | np.ndarray:
    """Return the values of a column in the order of ids: numbers (n,) float64 with NaN for none, or groups.

    Numbers of few different values are groups; in groups "" stands for none. Raises QueryError for a
    column that no item has.
    """
    found = _values(folder, collection, name)
    if not found:
        have = ", ".join(column_names(folder, collection)) or "none"
        raise QueryError(f"No item of {collection!r} has the column {name!r}. There are: {have}.")
    different = set(found.values())
    numbers = all(isinstance(value, int | float) for value in different)
    if numbers and len(different) > MOST_NUMBERED:
        return np.array([found.get(id_, np.nan) for id_ in ids], np.float64)
    return Category.of(found.get(id_, "") for id_ in ids)


def in_words(value: str | float) -> str:
    """Return a group's value as it is shown; different values have different words."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _values(folder: DataFolder, collection: str, name: str) -> dict[str, str | float]:
    """Return the values of a column by item. A path in SQLite's JSON could not hold a quote."""
    query = """SELECT items.id, one.value, one.type FROM items, json_each(item, '$.metadata') AS one
    WHERE collection = ? AND one.key = ?"""
    rows = folder.ledger.rows(query, (collection, name))
    if not rows and name in FACTS:
        query = "SELECT id, json_extract(item, ?), '' FROM items WHERE collection = ?"
        rows = folder.ledger.rows(query, (f"$.{FACTS[name]}", collection))
    return {
        id_: kind if kind in ("true", "false") else value for id_, value, kind in rows if value is not None
    }
