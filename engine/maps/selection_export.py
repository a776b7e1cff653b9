"""Some items of a map into a file: CSV, Parquet with vectors and places, or a zip of their media."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from engine.errors import GapscopeError
from engine.media.metadata import as_kind, file_name, kinds_of
from engine.text import clean_name, csv_cell
from engine.types import Item, Projection, VectorTable
from engine.vector_files.rows import TAKEN

if TYPE_CHECKING:
    from engine.storage.library import Library

ZIP_BYTES = 1_000_000_000  # held in memory while a browser fetches it


def to_csv(items: Sequence[Item], projection: Projection) -> bytes:
    """Return a line per item, with its place. Raises KeyError for an item that is not on the map."""
    names, places = _axes(projection), projection.take(item.id for item in items)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    own = ("id", "modality", "name", "caption", "labels", "pair", *names, "placed")
    others = list(kinds_of(item.metadata for item in items))
    writer.writerow((*own, *(csv_cell(file_name(name, own)) for name in others)))
    for item, place, placed in zip(items, places.places.tolist(), places.placed.tolist(), strict=True):
        facts = (item.id, item.modality, item.name, item.caption, "; ".join(item.labels), item.pair)
        said = dict(item.metadata)
        cells = [said.get(name, "") for name in others]
        writer.writerow([*map(csv_cell, facts), *place, placed, *map(csv_cell, cells)])
    return out.getvalue().encode("utf-8-sig")


def to_parquet(items: Sequence[Item], table: VectorTable, projection: Projection) -> bytes:
    """Return items with their vectors and places, in the columns that an import reads, and x, y (z).

    It does not read the places. Raises KeyError for an item that is in the table or on the map only.
    """
    import pyarrow as pa
    from pyarrow import parquet

    ids = [item.id for item in items]
    vectors, places = table.take(ids).vectors, projection.take(ids)
    columns: dict[str, Any] = {
        "id": [item.given_id or item.id for item in items],
        "modality": [item.modality for item in items],
        "text": [item.caption for item in items],
        "pair": [item.given_pair or ("" if item.pair == item.id else item.pair) for item in items],
        "name": [item.name for item in items],
        "item": ids,
        "label": pa.array([list(item.labels) for item in items], pa.list_(pa.string())),
    }
    width = vectors.shape[1] if len(ids) else 1
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), width)
    columns |= {name: places.places[:, axis] for axis, name in enumerate(_axes(projection))}
    columns["placed"] = places.placed
    said = [dict(item.metadata) for item in items]
    for name, kind in kinds_of(item.metadata for item in items).items():
        columns[file_name(name, TAKEN)] = [as_kind(one.get(name), kind) for one in said]
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def to_zip(items: Sequence[Item], library: Library) -> bytes:
    """Return the media files of items, with a table of what they are; texts as .txt.

    A file that is gone, or too much for one archive, is named in `left-out.txt`.
    """
    out, left, size = io.BytesIO(), [], 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, item in enumerate(items, 1):
            name = f"{number:05d}-{clean_name(PurePath(item.name).name)[:80] or item.id[:12]}"
            if item.media is None:
                archive.writestr(f"{PurePath(name).stem}.txt", item.caption)
                continue
            try:
                data = library.media_path(item.media, item.mime).read_bytes()
            except (OSError, GapscopeError) as error:
                left.append(f"{item.name}: {error}")
                continue
            if (size := size + len(data)) > ZIP_BYTES:
                left.append(f"{item.name}: more than {ZIP_BYTES:,} bytes for one archive")
                continue
            archive.writestr(name, data)
        if left:
            archive.writestr("left-out.txt", "\n".join(left))
    return out.getvalue()


def _axes(projection: Projection) -> str:
    return "xyz"[: projection.places.shape[1]]
