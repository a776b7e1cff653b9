"""The captions of a collection's pictures, in their order, read from the ledger; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from engine.storage.data_folder import DataFolder
from engine.types import Metadata

# Captions that an earlier version stored have no place: they come in the order in which they were recorded.
_CAPTIONS = """SELECT json_extract(item, '$.pair'), json_extract(item, '$.caption'),
json_extract(item, '$.labels'), json_extract(item, '$.metadata') FROM items
WHERE collection = ?1 AND modality = 'text' AND json_extract(item, '$.pair') != id
AND (?2 IS NULL OR json_extract(item, '$.pair') IN (SELECT value FROM json_each(?2)))
ORDER BY coalesce(json_extract(item, '$.place'), 0), json_extract(item, '$.added_at'), rowid"""


@dataclass(frozen=True)
class Caption:
    """A caption with its labels and metadata, which are mostly those of its picture."""

    text: str
    labels: tuple[str, ...]
    metadata: Metadata


def read_captions(
    folder: DataFolder, collection: str, pairs: Iterable[str] | None = None
) -> dict[str, list[Caption]]:
    """Return the captions of a collection by the pair they are of, all or those of some pairs, in order.

    Texts without a pair are none. Raises FolderError.
    """
    wanted = None if pairs is None else json.dumps(list(pairs))
    found: dict[str, list[Caption]] = {}
    for pair, text, labels, metadata in folder.ledger.rows(_CAPTIONS, (collection, wanted)):
        said = tuple(json.loads(metadata).items()) if metadata else ()
        found.setdefault(pair, []).append(Caption(text or "", tuple(json.loads(labels or "[]")), said))
    return found
