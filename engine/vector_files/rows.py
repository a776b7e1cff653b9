"""Rows of vectors with ids as they stand in a file, and what makes one of them bad; reads no file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from engine.media.metadata import ColumnChoice, metadata_of
from engine.types import MODALITIES, Metadata, Modality

REQUIRED = ("id", "vector", "modality")
TEXTS = ("text", "pair", "media_path", "name")  # optional columns of one text a row
COLUMNS = (*REQUIRED, *TEXTS, "label")
PLACES = ("x", "y", "z", "placed")  # of a map's own export, known by its `item` and `placed`
TAKEN = (*COLUMNS, "item", *PLACES)  # what a column of metadata is not called in an export
MAX_ID_CHARS = 512
MAX_DIM = 16_384  # four times the widest model known here; a wider list is a mistake, or an attack
_SALT = "gapscope import\0"
_OURS = re.compile(r"[0-9a-f]{64}")


def is_item_id(given: str) -> bool:
    """Tell whether an id looks like Gapscope's own: 64 hexadecimal digits."""
    return bool(_OURS.fullmatch(given))


def item_id(given: str) -> str:
    """Return Gapscope's id of what somebody calls so: 64 hexadecimal digits, the same in every collection.

    An id that is one already stays as it is: what was exported comes back as the same items.
    """
    return given if is_item_id(given) else sha256(f"{_SALT}{given}".encode()).hexdigest()


@dataclass(frozen=True)
class VectorRow:
    """What a file says about one vector; empty where it says nothing.

    `id` is the maker's own and unique in the file; `pair` the id of what the row belongs to, or any text
    that such rows share; `item` is Gapscope's id, written by an export and not read by an import; `metadata`
    what the other columns say.
    """

    id: str
    modality: Modality
    text: str = ""
    pair: str = ""
    labels: tuple[str, ...] = ()
    media_path: str = ""
    name: str = ""
    item: str = ""
    metadata: Metadata = ()


@dataclass(frozen=True)
class VectorRows:
    """Rows with their vectors: vectors[i] belongs to rows[i], which was row numbers[i] of the file, from 1.

    vectors: (n, d) float32 or float64, finite, no row zero, of any length. Raises ValueError where these
    do not agree.
    """

    rows: tuple[VectorRow, ...]
    vectors: np.ndarray = field(repr=False)
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.rows) == len(self.vectors) == len(self.numbers):
            raise ValueError(f"{len(self.rows)} rows do not fit vectors of {self.vectors.shape}")
        if self.vectors.dtype not in (np.float32, np.float64):
            raise ValueError(f"vectors must be float32 or float64, not {self.vectors.dtype}")
        if not np.isfinite(self.vectors).all() or not (self.vectors != 0).any(axis=1).all():
            raise ValueError("vectors must be finite and not zero")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Sequence[int]) -> VectorRows:
        """Return the rows at these places (from 0), in their order."""
        return VectorRows(
            tuple(self.rows[place] for place in places),
            self.vectors[list(places)],
            tuple(self.numbers[place] for place in places),
        )


@dataclass(frozen=True)
class RawRows:
    """Rows as a format gives them, unchecked; `first` is the number of the first one, from 1.

    vectors: (n, d) float32 or float64, NaN where a row has another width; lengths: (n,) int32 or int64, the
    width of every row, -1 where it has no vector. `columns` maps what the other columns are used as to n
    values, and `metadata` those of no meaning here.
    """

    first: int
    vectors: np.ndarray = field(repr=False)
    lengths: np.ndarray = field(repr=False)
    columns: Mapping[str, Sequence[Any]] = field(repr=False)
    metadata: Mapping[str, Sequence[Any]] = field(repr=False, default_factory=dict)


class Table(Protocol):
    """A file of vectors in one format; opening it finds which of its columns is used as what.

    `types` maps every column to its type in words, `used` what is used to the column that is, and `problems`
    say why that cannot be told. `others` are the columns that become metadata, and those that cannot;
    `numbers` is the type of the vectors' numbers.
    """

    total: int
    dim: int
    numbers: str
    problems: tuple[str, ...]
    others: ColumnChoice

    @property
    def types(self) -> Mapping[str, str]:
        """Return the type of every column."""
        ...

    @property
    def used(self) -> Mapping[str, str]:
        """Return the column of everything that one is used as."""
        ...

    def batches(self, rows: int) -> Iterator[RawRows]:
        """Yield all rows in order, so many at a time, of a table without problems. Raises VectorFileError."""
        ...

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first values of every column that can be read. Raises VectorFileError."""
        ...


@dataclass(frozen=True)
class Fault:
    """A bad row: its number from 1, the column, and what arrived there and is allowed."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.row:,}, column {self.column}: {self.problem}"


def is_ours(columns: Collection[str]) -> bool:
    """Tell whether a file of these columns is an export of ours."""
    return all(one in columns for one in ("item", *REQUIRED))


def is_other(column: str, columns: Collection[str], used: Collection[str]) -> bool:
    """Tell whether one of the columns of a file is metadata: not used, and no place on a map of ours."""
    if column in used:
        return False
    return not is_ours(columns) or not (column == "item" or ("placed" in columns and column in PLACES))


def checked(raw: RawRows, dim: int) -> tuple[VectorRows, list[Fault]]:
    """Return the good rows of a batch, of vectors (n, dim), and the first fault of every other one."""
    finite, some = np.isfinite(raw.vectors).all(axis=1), (raw.vectors != 0).any(axis=1)  # (n,)
    good: list[int] = []
    rows, faults = [], []
    for place in range(len(raw.vectors)):
        cells = {name: values[place] for name, values in raw.columns.items()}
        number = raw.first + place
        fault = _vector_fault(number, int(raw.lengths[place]), dim, finite[place], some[place])
        fault = _cell_fault(number, cells) or fault
        if fault:
            faults.append(fault)
        else:
            good.append(place)
            said = metadata_of((name, values[place]) for name, values in raw.metadata.items())
            rows.append(replace(_row(cells), metadata=said))
    numbers = tuple(raw.first + place for place in good)
    return VectorRows(tuple(rows), raw.vectors[good], numbers), faults


def _vector_fault(number: int, length: int, dim: int, finite: bool, some: bool) -> Fault | None:
    if length < 0:
        problem = "there is none"
    elif length != dim:
        problem = f"{length:,} numbers, where the first vector of the file has {dim:,}"
    elif not finite:
        problem = "it holds NaN or an infinite number; a vector has finite numbers only"
    elif not some:
        problem = "all its numbers are zero, so that it has no direction"
    else:
        return None
    return Fault(number, "vector", problem)


def _cell_fault(number: int, cells: Mapping[str, Any]) -> Fault | None:
    if problem := _id_problem(cells["id"]):
        return Fault(number, "id", problem)
    if _modality(cells["modality"]) not in MODALITIES:
        arrived = "nothing" if cells["modality"] in (None, "") else repr(cells["modality"])[:60]
        return Fault(number, "modality", f"{arrived}; it must be one of {', '.join(MODALITIES)}")
    if cells.get("pair") not in (None, "") and (problem := _id_problem(cells["pair"])):
        return Fault(number, "pair", problem)
    return None


def _id_problem(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        return "it is empty; every row needs an id of its own"
    if len(text) > MAX_ID_CHARS:
        return f"{len(text):,} characters; at most {MAX_ID_CHARS} are allowed"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{text[:40]!r} is not valid Unicode text"
    return ""


def _row(cells: Mapping[str, Any]) -> VectorRow:
    texts: dict[str, Any] = {name: _text(cells[name]) for name in TEXTS if name in cells}
    label = cells.get("label")
    labels = label if isinstance(label, list) else [label]
    kept = dict.fromkeys(filter(None, map(_text, labels)))
    return VectorRow(_text(cells["id"]), _modality(cells["modality"]), labels=tuple(kept), **texts)


def _modality(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _text(value: Any) -> str:
    """Return an id or text; a whole number or a UUID as it is written, and bytes that are no text in hex."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return value.hex()
        return text if text.isprintable() else value.hex()
    return "" if value is None else str(value)


class Repeated:
    """Finds ids that occur twice among millions, with 24 bytes of memory for each."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._numbers: list[np.ndarray] = []

    def add(self, rows: VectorRows) -> None:
        """Take the ids of some rows, whose numbers rise."""
        self._numbers.append(np.array(rows.numbers, np.int64))
        self._digests += b"".join(bytes.fromhex(item_id(row.id)[:32]) for row in rows.rows)

    def faults(self) -> list[Fault]:
        """Return a fault for every row whose id an earlier row has."""
        numbers = np.concatenate([np.zeros(0, np.int64), *self._numbers])
        halves = np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal ids stay in the file's order
        same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
        found = sorted(zip(numbers[order[1:][same]], numbers[order[:-1][same]], strict=True))
        return [Fault(int(row), "id", f"row {earlier:,} has the same one") for row, earlier in found]
