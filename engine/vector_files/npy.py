"""Vectors in one array (.npy), and what belongs to them row by row in a Parquet or CSV beside it, or nowhere.

That is what clip-retrieval writes: `img_emb/img_emb_0.npy` and `metadata/metadata_0.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import ColumnChoice
from engine.types import Modality
from engine.vector_files.arrays import Array, as_floats, reading_arrays
from engine.vector_files.csv_table import CsvTable
from engine.vector_files.parquet import MAGIC as PARQUET
from engine.vector_files.parquet import ParquetTable
from engine.vector_files.reading import Reading, Used, used
from engine.vector_files.rows import COLUMNS, RawRows
from engine.vector_files.source import Given, head_of, opened

MAGIC = b"\x93NUMPY"
_BESIDE = tuple(role for role in COLUMNS if role != "vector")
_CLIP_RETRIEVAL = re.compile(r"(img|text)_emb(_\d+)?")
_MODALITIES: dict[str, Modality] = {"img": "image", "text": "text"}


def modality_of(name: str) -> Modality | None:
    """Return the modality of a file that clip-retrieval named, None for any other name."""
    match = _CLIP_RETRIEVAL.fullmatch(Path(name).stem)
    return _MODALITIES[match[1]] if match else None


def beside(path: Path) -> Path | None:
    """Return the table of a .npy, of the same name or clip-retrieval's metadata; None where there is none."""
    number = re.search(r"_\d+$", path.stem)
    metadata = f"metadata{number[0] if number else ''}"
    folders = (path.parent, path.parent.parent / "metadata")
    places = [path.with_suffix(""), *(folder / metadata for folder in folders)]
    found = (place.with_name(f"{place.name}{end}") for place in places for end in (".parquet", ".csv"))
    return next((one for one in found if one.is_file()), None) if path.suffix.lower() == ".npy" else None


class NpyTable:
    """An array of vectors with the table beside it; see `rows.Table`. Raises VectorFileError."""

    def __init__(
        self, given: Given, name: str, reading: Reading, table: Given | None, table_name: str
    ) -> None:
        self._given, self._name = given, name
        with reading_arrays(name, "NPY"), opened(given) as stream:
            array = Array(stream)
        self.total, self.numbers = int(array.shape[0]), str(array.dtype)
        self._table = _table(table, table_name, reading) if table is not None else None
        found = Used({}) if self._table else used([], reading, lambda role, one: False, roles=_BESIDE)
        self.types = {"vector": f"{array.dtype} of shape {array.shape}"}
        self.used, problems = {"vector": "vector"}, list(found.problems)
        self.others = ColumnChoice()
        if self._table:
            self.types |= self._table.types
            self.used |= self._table.used
            self.others = self._table.others
            problems += self._table.problems
            if self._table.total != self.total:
                counts = f"{self.total:,} rows, but {table_name} has {self._table.total:,}"
                problems.insert(0, f"it has {counts}. Row i of both belongs together")
        fits = array.dtype.kind in "fiu" and len(array.shape) == 2
        self.dim = int(array.shape[1]) if fits else 0
        if not fits:
            problems.insert(
                0, f"it is {array.dtype} of shape {array.shape}; it must be numbers of shape (n, d)"
            )
        elif array.fortran:
            problems.insert(0, "it is in Fortran order; save np.ascontiguousarray of it instead")
        self.problems = tuple(problems)

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        with reading_arrays(self._name, "NPY"), opened(self._given) as stream:
            array = Array(stream)
            for raw in self._table.batches(rows) if self._table else self._bare(rows):
                vectors = as_floats(array.take(len(raw.lengths)))
                yield replace(raw, vectors=vectors, lengths=np.full(len(vectors), self.dim))

    def _bare(self, rows: int) -> Iterator[RawRows]:
        for start in range(0, self.total, rows):
            count = min(rows, self.total - start)
            yield RawRows(start + 1, np.zeros((count, 0), np.float32), np.zeros(count, np.int64), {})

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first values of every column. Raises VectorFileError."""
        with reading_arrays(self._name, "NPY"), opened(self._given) as stream:
            array = Array(stream)
            some = array.take(min(rows, self.total)).tolist()
        return {"vector": some} | (self._table.head(rows) if self._table else {})


def _table(given: Given, name: str, reading: Reading) -> ParquetTable | CsvTable:
    """Open what lies beside an array. Raises VectorFileError."""
    try:
        is_parquet = head_of(given, len(PARQUET)) == PARQUET
    except (OSError, ValueError) as error:
        raise VectorFileError(name, f"it cannot be opened: {error}.") from error
    if is_parquet:
        return ParquetTable(given, name, reading, _BESIDE)
    return CsvTable(given, name, reading, _BESIDE)
