"""A collection's vectors into a file, a page at a time: what `engine/ingest/vectors.py` reads back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import CollectionError
from engine.media.metadata import kind_of
from engine.progress import CancelledError, Progress
from engine.storage.data_folder import DataFolder
from engine.text import clean_name
from engine.types import MODALITIES, Item
from engine.vector_files.rows import VectorRow
from engine.vector_files.table import writing

_ROWS = 4_096  # a row group of Parquet


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote; `unrecorded` items of the collection are of another data folder and not in it."""

    collection: str
    path: Path
    rows: int
    dim: int
    unrecorded: int
    seconds: float


def export_vectors(
    folder: DataFolder,
    collection: str,
    path: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ExportReport | None:
    """Write every item with its unit vector into a .parquet or .npz; None, and no file, where cancelled.

    Its columns are those that an import reads, less media_path, and `item`, the id here; metadata of mixed
    types becomes text. Raises
    CollectionNotFoundError, CollectionError where there is nothing to write, VectorFileError, StoreError,
    FolderError.
    """
    info, started = folder.store.info(collection), time.monotonic()
    made_by = folder.ledger.provenance(collection)
    counts = folder.ledger.counts()
    total = sum(counts.get((collection, modality), 0) for modality in MODALITIES)
    if made_by is None or not total:
        raise CollectionError(f"There is nothing to export: no items of {collection!r} are recorded here.")
    kinds = {name: kind_of(types) for name, types in folder.ledger.metadata_types(collection).items()}
    rows = 0
    pages = (
        page for modality in MODALITIES for page in folder.ledger.pages(collection, modality, rows=_ROWS)
    )
    try:
        with writing(path, made_by.dim, kinds) as writer:
            for items, table in pages:
                if cancelled():
                    raise CancelledError  # leaves the file that is being written, so that nothing of it stays
                writer.write([_row(item) for item in items], table.vectors)
                rows += len(items)
                passed = time.monotonic() - started
                on_progress(Progress("Writing", rows, max(total, rows), elapsed_seconds=passed, unit="rows"))
    except CancelledError:
        return None
    seconds = time.monotonic() - started
    return ExportReport(collection, path, rows, made_by.dim, max(0, info.total - rows), seconds)


def _row(item: Item) -> VectorRow:
    """Return an item as a row: under the id that its maker gave it, where it was imported."""
    given = item.given_id or item.id
    pair = item.given_pair or ("" if item.pair == item.id else item.pair)
    return VectorRow(
        id=given,
        modality=item.modality,
        text=item.caption,
        pair=pair,
        labels=item.labels,
        name="" if item.name == clean_name(given) else item.name,
        item=item.id,
        metadata=item.metadata,
    )
