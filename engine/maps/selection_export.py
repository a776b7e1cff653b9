"""Some items of a map into a file: CSV, Parquet with vectors and places, or a zip that is a data set."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from typing import Any

from engine.datasets.export import write_rows
from engine.datasets.export_folder import FolderWriter, ZipPlace
from engine.datasets.export_rows import Tally
from engine.media.metadata import as_kind, file_name, kinds_of
from engine.storage.captions import read_captions
from engine.storage.data_folder import DataFolder
from engine.text import csv_cell
from engine.types import Item, Projection, VectorTable
from engine.vector_files.rows import TAKEN

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


def to_zip(items: Sequence[Item], collection: str, folder: DataFolder) -> bytes:
    """Return items as a data set in a zip: files with captions, labels and columns; texts as .txt.

    A selected picture brings all its captions; a text that is none of them is a file of its own. What is
    gone, or too much for one archive, is named in its README.md.
    """
    media = [item for item in items if item.modality != "text"]
    captions = read_captions(folder, collection, {item.pair for item in media})
    out, tally = io.BytesIO(), Tally()
    with (
        zipfile.ZipFile(out, "w") as archive,
        FolderWriter(
            ZipPlace(archive, max_bytes=ZIP_BYTES), kinds_of(one.metadata for one in items)
        ) as writer,
    ):
        texts = (item for item in items if item.modality == "text")
        write_rows(writer, media, texts, captions, folder.library, tally)
        writer.finish(f"{len(items):,} items of {collection}", tally)
    return out.getvalue()


def _axes(projection: Projection) -> str:
    return "xyz"[: projection.places.shape[1]]
