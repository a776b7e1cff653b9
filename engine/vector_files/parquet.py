"""Vectors in Parquet, a page in memory at a time, both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.metadata import ColumnChoice, as_kind, file_name, iso
from engine.vector_files.rows import COLUMNS, TAKEN, RawRows, VectorRow, is_other

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
_TEXTS = ("item", "id", "modality", "text", "pair", "name")
# Without both, a whole column of a row group is in memory: 961 MB of a 928 MB file, and 83 MB with them.
_STREAMED = {"buffer_size": 1 << 20, "pre_buffer": False}


class ParquetTable:
    """A Parquet file of vectors, its columns checked; see `rows.Table`. Raises VectorFileError."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with self._opened() as file:
            schema = file.schema_arrow
            self.total = file.metadata.num_rows
            self.columns = tuple(one for one in COLUMNS if one in schema.names)
            for column in self.columns:
                if schema.names.count(column) > 1:
                    raise VectorFileError(name, f"the column {column} is there twice. Leave one of them out.")
                self._check_type(column, schema.field(column).type)
            self.others = _others(schema)
            self.dim = self._width(file) if "vector" in self.columns else 0

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        first = 1
        with self._opened() as file:
            for batch in file.iter_batches(rows, columns=[*self.columns, *self.others.names]):
                vectors, lengths = _vectors(batch.column("vector"), self.dim)
                others = [column for column in self.columns if column != "vector"]
                values = {column: batch.column(column).to_pylist() for column in others}
                said = {kept: _values(batch.column(one)) for one, kept in self.others.names.items()}
                yield RawRows(first, vectors, lengths, values, said)
                first += len(batch)

    def _check_type(self, column: str, found: pa.DataType) -> None:
        from pyarrow import types

        inner = _inner(found)
        if column == "vector":
            fits = inner is not None and (types.is_floating(inner) or types.is_integer(inner))
            wanted = "a list of numbers"
        else:
            value = inner if column == "label" and inner is not None else found
            value = value.value_type if types.is_dictionary(value) else value
            fits = _is_text(value) or (column in ("id", "pair", "label") and types.is_integer(value))
            wanted = {"id": "text or whole numbers", "label": "text, or a list of texts"}.get(column, "text")
        if not fits:
            raise VectorFileError(self._name, f"the column {column} is of type {found}; it must be {wanted}.")

    def _width(self, file: pq.ParquetFile) -> int:
        """Return the width of the first vector there is, 0 where there is none."""
        from pyarrow import compute, types

        found = file.schema_arrow.field("vector").type
        if types.is_fixed_size_list(found):
            return found.list_size
        for batch in file.iter_batches(64, columns=["vector"]):
            widths = compute.list_value_length(batch.column(0)).to_pylist()
            if any(widths):
                return next(width for width in widths if width)
        return 0

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self._path, **_STREAMED) as file:
                yield file
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            reason = " ".join((str(error) or type(error).__name__).split())[:200]
            raise VectorFileError(self._name, f"the Parquet file cannot be read: {reason}.") from error


class ParquetWriter:
    """Writes rows with their vectors (n, dim) into a Parquet file, a row group for every call.

    kinds are the columns of metadata, with what they hold (`metadata.KINDS`).
    """

    def __init__(self, path: Path, dim: int, kinds: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        texts = [(column, pa.string()) for column in _TEXTS]
        fields = [*texts, ("label", pa.list_(pa.string())), ("vector", pa.list_(pa.float32()))]
        types = {"text": pa.string(), "whole": pa.int64(), "real": pa.float64(), "truth": pa.bool_()}
        others = [(file_name(name, TAKEN), types[kind]) for name, kind in kinds.items()]
        self._schema = pa.schema([*fields, *others])
        self._dim, self._kinds = dim, kinds
        self._writer = parquet.ParquetWriter(
            path, self._schema, compression="zstd", use_dictionary=["modality"]
        )

    def write(self, rows: Sequence[VectorRow], vectors: np.ndarray) -> None:
        """Write n rows with their vectors (n, dim) float32."""
        import pyarrow as pa

        offsets = np.arange(0, vectors.size + 1, self._dim, dtype=np.int32)
        columns: list[Any] = [
            pa.array([getattr(row, column) or None for row in rows], pa.string()) for column in _TEXTS
        ]
        columns.append(pa.array([list(row.labels) or None for row in rows], pa.list_(pa.string())))
        columns.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.reshape(-1))))
        said = [dict(row.metadata) for row in rows]
        for name, kind in self._kinds.items():
            values = [as_kind(one.get(name), kind) for one in said]
            columns.append(pa.array(values, self._schema.field(file_name(name, TAKEN)).type))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._writer.close()

    def discard(self) -> None:
        """Let go of what it holds; what was not closed is no Parquet."""
        self._writer.close()


def _inner(found: pa.DataType) -> pa.DataType | None:
    """Return the type of a list's elements, or None for what is no list."""
    from pyarrow import types

    is_list = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    return found.value_type if is_list else None


def _is_text(found: pa.DataType) -> bool:
    from pyarrow import types

    return (
        types.is_string(found)
        or types.is_large_string(found)
        or types.is_string_view(found)
        or types.is_null(found)
    )


def _others(schema: pa.Schema) -> ColumnChoice:
    """Return which columns become metadata."""
    choice = ColumnChoice()
    names = Counter(schema.names)
    for field in schema:
        if is_other(field.name, names):
            if _is_plain(field.type) and names[field.name] == 1:
                choice.add(field.name)
            else:
                choice.leave(field.name)
    return choice


def _is_plain(found: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(found):
        return _is_plain(found.value_type)
    kinds = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, _is_text, _is_dated)
    return any(is_kind(found) for is_kind in kinds)


def _is_dated(found: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_date(found) or types.is_timestamp(found) or types.is_time(found)


def _values(array: pa.Array) -> list[Any]:
    """Return plain values; Arrow's own words for a date, as Python has none for a year of 20,000."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not _is_dated(array.type):
        return array.to_pylist()
    try:
        words = array.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # a time zone that nobody knows
        return [None] * len(array)
    return [None if one is None or one.startswith("<value") else iso(one) for one in words]


def _vectors(array: pa.Array, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (n, dim), NaN where a row has another width, and the widths (n,), -1 for none.

    Vectors are float32 where the file has so few digits, else float64; widths are int32 or int64.
    """
    import pyarrow as pa
    from pyarrow import compute

    lengths = compute.fill_null(compute.list_value_length(array), -1).to_numpy(zero_copy_only=False)
    fits = lengths == dim
    flat = array.filter(pa.array(fits)).flatten().to_numpy(zero_copy_only=False)
    dtype = np.float32 if flat.dtype in (np.float16, np.float32) else np.float64
    vectors = np.full((len(array), dim), np.nan, dtype)
    vectors[fits] = flat.reshape(-1, dim) if dim else 0
    return vectors, lengths
