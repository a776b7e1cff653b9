"""Parquet files of data sets: which columns hold pictures, and every row's other cells; decodes no media.

What the Hugging Face datasets library writes is read by its features (key "huggingface" of the schema's
metadata) or by its struct of `bytes` and `path`; columns of plain bytes are taken for pictures where they
are. The bytes themselves are read later and row by row, by `parquet_bytes.py`.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any

from engine.datasets.entries import Entry
from engine.datasets.parquet_types import is_bytes, is_readable, is_vector
from engine.errors import MediaError, UnknownFormatError, UnreadableMediaError
from engine.media.arrow import plain_values
from engine.media.formats import format_of, sniff

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1_024  # whose cells, but no pictures, are in memory at once
_CELLS_BYTES = 256_000_000  # and no more than this of them, where 16 rows are not more
_BOMB = 100  # times: neither pictures nor dictionaries of words shrink like that
_BOMB_BYTES = 100_000_000
# Without both, a whole column of a row group is in memory.
_STREAMED: dict[str, Any] = {"buffer_size": 1 << 20, "pre_buffer": False}
_FEW = 16  # whose pictures are
_FIELDS = {"bytes", "path"}  # of the struct in which the datasets library keeps a medium


@dataclass(frozen=True)
class Cells:
    """A row of a Parquet file: its number from 0, its cells by column, and the pictures it has by column.

    Of a picture stands there what it is called, "" where the file does not say, and whether its bytes are in
    the row; where they are not it is a path.
    """

    number: int
    cells: Mapping[str, Any]
    pictures: Mapping[str, tuple[str, bool]]


class ParquetFile:
    """A Parquet file as one table: `total` rows; columns by what they hold.

    `pictures` are the columns of pictures, `columns` those that `rows` reads, `others` those that say nothing
    here (nested, sounds, bytes that are no picture) and `vectors` lists of numbers. Raises MediaError for a
    file that cannot be read.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        with opened(self.entry) as file:
            groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._starts = list(accumulate(groups, initial=0))
            self.total, self._metadata = self._starts[-1], file.metadata
            _check_sizes(file.metadata)
            self._means: dict[tuple[str, int], int] = {}
            self.schema: pa.Schema = file.schema_arrow
            self._features = _features(self.schema)
            self.pictures = tuple(one.name for one in self.schema if self._has_pictures(file, one))
        rest = [one for one in self.schema if one.name not in self.pictures]
        self.vectors = tuple(one.name for one in rest if is_vector(one.type))
        self.columns = tuple(one.name for one in rest if is_readable(one.type) and not is_vector(one.type))
        known = {*self.pictures, *self.vectors, *self.columns}
        self.others = tuple(one.name for one in rest if one.name not in known)

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Return the columns that hold numbers of classes, each with the classes' names."""
        found = {name: _class_names(feature) for name, feature in self._features.items()}
        return {name: names for name, names in found.items() if names and name in self.columns}

    def rows(self) -> Iterator[Cells]:
        """Yield every row, with where its pictures are; reads none of them.

        A class is told by its name. Raises UnreadableMediaError.
        """
        paths = {name: f"{name}.path" for name in self.pictures if not self._is_plain_bytes(name)}
        number = 0
        with opened(self.entry) as file:
            inside = {name: self._inside(file, name) for name in self.pictures}
            wanted = [*self.columns, *paths.values()]
            for batch in file.iter_batches(self._at_once, columns=wanted, use_threads=False):
                columns = {name: self._values(name, batch.column(name)) for name in self.columns}
                called = {name: _field(batch.column(name), "path").to_pylist() for name in paths}
                for row in range(len(batch)):
                    found = ((name, called[name][row] if name in called else None) for name in self.pictures)
                    pictures = {name: (_path(path), next(inside[name])) for name, path in found}
                    yield Cells(number, {name: values[row] for name, values in columns.items()}, pictures)
                    number += 1

    def place_of(self, number: int) -> tuple[int, int]:
        """Return in which row group a row is, and as which row of it, all from 0."""
        group = bisect_right(self._starts, number) - 1
        return group, number - self._starts[group]

    def bytes_column(self, picture: str) -> str:
        """Return what the leaf of a column of pictures is called that holds their bytes."""
        return picture if self._is_plain_bytes(picture) else f"{picture}.bytes"

    @property
    def _at_once(self) -> int:
        """Return of how many rows the cells are read at a time: each may be all of a dictionary's words."""
        worst = 1
        for group in range(self._metadata.num_row_groups):
            rows = self._metadata.row_group(group)
            chunks = [rows.column(i) for i in range(rows.num_columns)]
            leaves = {self.bytes_column(name) for name in self.pictures}
            words = [one for one in chunks if one.has_dictionary_page and one.path_in_schema not in leaves]
            worst = max(worst, sum(one.total_uncompressed_size for one in words))
        return max(_FEW, min(_ROWS, _CELLS_BYTES // worst))

    def mean_bytes(self, picture: str, group: int) -> int:
        """Return how many bytes a picture of a row group has in the mean."""
        if (picture, group) not in self._means:
            chunk = chunk_of(self._metadata, group, self.bytes_column(picture))
            self._means[picture, group] = chunk.total_uncompressed_size // max(1, chunk.num_values)
        return self._means[picture, group]

    def _is_plain_bytes(self, name: str) -> bool:
        return is_bytes(self.schema.field(name).type)

    def _has_pictures(self, file: pq.ParquetFile, field: pa.Field) -> bool:
        """Tell whether a column holds pictures: by its feature, else by its type and first bytes."""
        from pyarrow import types

        kind = self._features.get(field.name)
        kind = kind.get("_type") if isinstance(kind, dict) else None
        is_struct = types.is_struct(field.type) and {one.name for one in field.type} >= _FIELDS
        if not is_struct and not is_bytes(field.type):
            return False
        if kind is not None and kind != "Value":
            return bool(kind == "Image")
        return _is_picture(_first(file, field.name if not is_struct else f"{field.name}.bytes"), is_struct)

    def _inside(self, file: pq.ParquetFile, picture: str) -> Iterator[bool]:
        """Yield of every row whether its picture's bytes are there, without reading them.

        Only in a row group where some are and some are not they have to be read.
        """
        from pyarrow import compute

        leaf = self.bytes_column(picture)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            counts = chunk_of(file.metadata, group, leaf).statistics
            if counts is not None and counts.has_null_count and counts.null_count in (0, rows):
                yield from repeat(counts.null_count == 0, rows)
                continue
            for batch in file.iter_batches(_FEW, [group], [leaf], use_threads=False):
                yield from compute.is_valid(leaf_of(batch.column(0))).to_pylist()

    def _values(self, name: str, array: pa.Array) -> list[Any]:
        names = self.classes.get(name)
        values = plain_values(array)
        if not names:
            return values
        return [
            [_class(one, names) for one in value] if isinstance(value, list) else _class(value, names)
            for value in values
        ]


@contextmanager
def opened(entry: Entry) -> Iterator[pq.ParquetFile]:
    """Lend an opened Parquet file. Raises MediaError with the reason in words."""
    import pyarrow as pa
    from pyarrow import parquet

    # A stream inside an archive has errors of its own.
    faults = (pa.ArrowException, OSError, ValueError, LookupError, MemoryError, RuntimeError, EOFError)
    try:
        with entry.open() as stream, parquet.ParquetFile(stream, **_STREAMED) as file:
            yield file
    except (*faults, zlib.error, zipfile.BadZipFile) as error:
        reason = " ".join((str(error) or type(error).__name__).split())[:200].rstrip(".")
        raise UnreadableMediaError(f"The Parquet file cannot be read: {reason}.") from error


def _check_sizes(metadata: pq.FileMetaData) -> None:
    """Refuse a file that unpacks to what it can only have been made for. Raises UnreadableMediaError."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        for one in map(rows.column, range(rows.num_columns)):
            packed, unpacked = max(1, one.total_compressed_size), one.total_uncompressed_size
            if unpacked > max(_BOMB_BYTES, _BOMB * packed):
                raise UnreadableMediaError(
                    f"Its column {one.path_in_schema} unpacks from {packed / 1e6:,.1f} to "
                    f"{unpacked / 1e6:,.0f} MB, which no pictures and texts do."
                )


def chunk_of(metadata: pq.FileMetaData, group: int, leaf: str) -> pq.ColumnChunkMetaData:
    """Return what a file says of one column in a row group."""
    rows = metadata.row_group(group)
    columns = map(rows.column, range(rows.num_columns))
    return next(one for one in columns if one.path_in_schema == leaf)


def leaf_of(array: pa.Array) -> pa.Array:
    """Return the bytes of a column of pictures, (n,) binary, null where a row has none."""
    from pyarrow import types

    return _field(array, "bytes") if types.is_struct(array.type) else array


def _field(array: pa.Array, name: str) -> pa.Array:
    from pyarrow import compute

    return compute.struct_field(array, name)  # null too where the whole struct is


def _path(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that the datasets library wrote into a schema; none where it did not."""
    try:
        written = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        found = written["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _class_names(feature: Any) -> tuple[str, ...]:
    """Return the names of a ClassLabel, also of a list of them; none of anything else."""
    if isinstance(feature, list) and len(feature) == 1:  # how early versions wrote a list
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return tuple(map(str, feature["names"]))
    return _class_names(feature.get("feature"))


def _class(value: Any, names: tuple[str, ...]) -> Any:
    """Return the name of a class; the library writes -1 where there is none."""
    if not isinstance(value, int) or value == -1:
        return None if value == -1 else value
    return names[value] if 0 <= value < len(names) else str(value)


def _first(file: pq.ParquetFile, leaf: str) -> bytes | None:
    """Return the first bytes that a column holds; None where it holds none."""
    for batch in file.iter_batches(1, columns=[leaf], use_threads=False):
        value = leaf_of(batch.column(0))[0].as_py()
        if value is not None:
            return bytes(value)
    return None


def _is_picture(data: bytes | None, otherwise: bool) -> bool:
    """Tell whether bytes are a picture that can be read; `otherwise` is the answer where there are none."""
    if data is None:
        return otherwise
    try:
        return format_of(sniff(data, "")).modality == "image"
    except (MediaError, UnknownFormatError):
        return False
