"""Vectors in Parquet, a page in memory at a time, both ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import VectorFileError
from engine.media.arrow import is_plain, is_text, plain_values
from engine.media.metadata import ColumnChoice, as_kind, file_name
from engine.vector_files.reading import Reading, used
from engine.vector_files.rows import COLUMNS, TAKEN, RawRows, VectorRow, is_other
from engine.vector_files.source import Given, opened

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
_TEXTS = ("item", "id", "modality", "text", "pair", "name")
# Without both, a whole column of a row group is in memory: 961 MB of a 928 MB file, and 83 MB with them.
_STREAMED = {"buffer_size": 1 << 20, "pre_buffer": False}


class ParquetTable:
    """A Parquet file of vectors, or of what belongs to them (`roles`); see `rows.Table`.

    Raises VectorFileError where it cannot be read.
    """

    def __init__(self, given: Given, name: str, reading: Reading, roles: Collection[str] = COLUMNS) -> None:
        self._given, self._name = given, name
        with self._opened() as file:
            self._schema = file.schema_arrow
            self.total = file.metadata.num_rows
            self.types: dict[str, str] = {}
            for field in self._schema:  # looked up by name, ten thousand columns took half a minute
                self.types.setdefault(field.name, str(field.type))
            found = used(list(self.types), reading, self._fits, roles=roles)
            self.used = found.columns
            self.problems = (*found.problems, *self._faults())
            self.others = _others(self._schema, self.used.values())
            self.dim, self.numbers = 0, ""
            if "vector" in self.used and not self.problems:
                self.numbers = str(_inner(self._type(self.used["vector"])))
                self.dim = self._width(file)

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time. Raises VectorFileError."""
        first = 1
        columns = list(dict.fromkeys([*self.used.values(), *self.others.names]))
        with self._opened() as file:
            for batch in file.iter_batches(rows, columns=columns):
                vectors, lengths = np.zeros((len(batch), 0), np.float32), np.zeros(len(batch), np.int64)
                if "vector" in self.used:
                    vectors, lengths = _vectors(_storage(batch.column(self.used["vector"])), self.dim)
                values = {
                    role: _cells(batch.column(column))
                    for role, column in self.used.items()
                    if role != "vector"
                }
                said = {kept: plain_values(batch.column(one)) for one, kept in self.others.names.items()}
                yield RawRows(first, vectors, lengths, values, said)
                first += len(batch)

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first values of every column. Raises VectorFileError."""
        once = [name for name in self.types if self._schema.names.count(name) == 1]
        with self._opened() as file:
            for batch in file.iter_batches(rows, columns=once):
                return {name: _cells(batch.column(name)) for name in once}
        return {name: [] for name in once}

    def _type(self, column: str) -> pa.DataType:
        return self._schema.field(self._schema.names.index(column)).type

    def _faults(self) -> list[str]:
        """Return in words what is wrong with the columns that are used."""
        found = []
        for role, column in self.used.items():
            if self._schema.names.count(column) > 1:
                found.append(f"the column {column} is there twice. Leave one of them out")
            elif not self._fits(role, column):
                found.append(
                    f"the column {column} is of type {self.types[column]}; it must be {_wanted(role)}"
                )
        return found

    def _fits(self, role: str, column: str) -> bool:
        from pyarrow import types

        found = self._type(column)
        inner = _inner(found)
        if role == "vector":
            return inner is not None and (types.is_floating(inner) or types.is_integer(inner))
        value = inner if role == "label" and inner is not None else found
        value = value.value_type if types.is_dictionary(value) else value
        if role in ("id", "pair") and _is_key(value):
            return True
        return is_text(value) or (role in ("id", "pair", "label") and types.is_integer(value))

    def _width(self, file: pq.ParquetFile) -> int:
        """Return the width of the first vector there is, 0 where there is none."""
        from pyarrow import compute, types

        found = _storage_type(self._type(self.used["vector"]))
        if types.is_fixed_size_list(found):
            return int(found.list_size)
        for batch in file.iter_batches(64, columns=[self.used["vector"]]):
            widths = compute.list_value_length(batch.column(0)).to_pylist()
            if any(widths):
                return next(width for width in widths if width)
        return 0

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with ExitStack() as stack:
                by_path = isinstance(self._given, Path)  # which Arrow reads by itself
                source = self._given if by_path else stack.enter_context(opened(self._given))
                yield stack.enter_context(parquet.ParquetFile(source, **_STREAMED))
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


def _wanted(role: str) -> str:
    names = "text, whole numbers, UUIDs or bytes"
    wanted = {"id": names, "pair": names, "vector": "a list of numbers", "label": "text, or a list of texts"}
    return wanted.get(role, "text")


def _storage_type(found: pa.DataType) -> pa.DataType:
    """Return what a tensor of one dimension is stored as, and any other type as it is."""
    import pyarrow as pa

    tensor = isinstance(found, pa.FixedShapeTensorType) and len(found.shape) == 1
    return found.storage_type if tensor else found


def _storage(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _inner(found: pa.DataType) -> pa.DataType | None:
    """Return the type of a list's elements, or None for what is no list."""
    from pyarrow import types

    found = _storage_type(found)
    kinds = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    return found.value_type if any(is_kind(found) for is_kind in kinds) else None


def _is_key(found: pa.DataType) -> bool:
    """Tell whether a type is that of bytes or UUIDs."""
    import pyarrow as pa
    from pyarrow import types

    kinds = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return isinstance(found, pa.UuidType) or any(is_kind(found) for is_kind in kinds)


def _cells(array: pa.Array) -> list[Any]:
    """Return the values of a column; bytes of one length are a key, and never text."""
    from pyarrow import types

    values = array.to_pylist()
    if types.is_fixed_size_binary(array.type):
        return [None if one is None else one.hex() for one in values]
    return values


def _others(schema: pa.Schema, taken: Collection[str]) -> ColumnChoice:
    """Return which columns become metadata."""
    choice = ColumnChoice()
    names = Counter(schema.names)
    for field in schema:
        if is_other(field.name, names, taken):
            if is_plain(field.type) and names[field.name] == 1:
                choice.add(field.name)
            else:
                choice.leave(field.name)
    return choice


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
