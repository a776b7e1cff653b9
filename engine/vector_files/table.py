"""Files of vectors, Parquet, NPZ or NPY: checked row by row, read and written in pages.

Knows nothing of stores. Columns (arrays in NPZ) are used as `id`, `vector` and `modality`, and where wanted
as `text`, `pair`, `label`, `media_path` and `name`: `reading.py` says by which names, and `rows.VectorRow`
what they mean. Others are metadata.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import QuantisedVectorsError, VectorFileError
from engine.text import clean_name
from engine.vector_files.npy import MAGIC as NPY
from engine.vector_files.npy import NpyTable, modality_of
from engine.vector_files.npz import MAGIC as NPZ
from engine.vector_files.npz import NpzTable, NpzWriter
from engine.vector_files.parquet import MAGIC as PARQUET
from engine.vector_files.parquet import ParquetTable, ParquetWriter
from engine.vector_files.quantised import Codes, unpacked, unpacked_width
from engine.vector_files.reading import Reading, Used
from engine.vector_files.rows import (
    MAX_DIM,
    Fault,
    RawRows,
    Repeated,
    Table,
    VectorRow,
    VectorRows,
    checked,
)
from engine.vector_files.source import Given, head_of

SUFFIXES: dict[str, type[ParquetWriter] | type[NpzWriter]] = {".parquet": ParquetWriter, ".npz": NpzWriter}
_ROWS = 1_024
_NUMBERS = 4_000_000  # of a page: 32 MB at the most
_NAMED = 5  # bad rows that an error names
_KEPT = 100  # and that it keeps


class VectorFile:
    """A file of vectors: `total` rows of width `dim`, which `columns` it has, and which are `left_out`.

    What it is is seen by its content; `name` is what it is called in errors, where a path is not. `reading`
    says which column is used as what, `table` is the Parquet or CSV beside an array (with its name), and
    `ranges` (2, dim), any float dtype, is each dimension's least and most, of int8 codes. `notes` say in
    words what was taken for granted. Raises VectorFileError for a file that is none of these, empty, cut off,
    without a required column, with several that could be it, or with one of another type.
    """

    def __init__(
        self,
        given: Given,
        *,
        name: str | None = None,
        reading: Reading | None = None,
        table: tuple[str, Given] | None = None,
        ranges: np.ndarray | None = None,
    ) -> None:
        self._given = given
        self.name = clean_name(name or (given.name if isinstance(given, Path) else "vectors"))
        self.reading, self._ranges = reading or Reading(), ranges
        self._table, self.reading = open_table(given, self.name, self.reading, table)
        self.total, self._width = self._table.total, self._table.dim
        self.columns, self.left_out = tuple(self._table.used), self._table.others.left
        if self._table.problems:
            raise self._error(f"{'; '.join(self._table.problems)}.")
        if not self.total:
            raise self._error("it has no rows.")
        self.dim = unpacked_width(self._width, self.reading.unpack)
        if not 1 <= self.dim <= MAX_DIM:
            words = (
                "no vector in it has any numbers"
                if not self.dim
                else f"its vectors have {self.dim:,} numbers"
            )
            raise self._error(f"{words}; 1 to {MAX_DIM:,} are allowed.")
        if ranges is not None and ranges.shape != (2, self._width):
            raise self._error(f"the ranges are of shape {ranges.shape}; they must be (2, {self._width}).")
        self.codes = self._looked_at()

    def _looked_at(self) -> Codes:
        """Return what the numbers look like as far as it takes to tell whether they are codes.

        Raises VectorFileError where they are and nobody said so, or are not and somebody did.
        """
        codes = Codes(self._table.numbers, self._width)
        if self.reading.unpack == "none":
            return codes
        for raw in self._table.batches(self._page):
            codes.add(raw.vectors)
            if codes.settled:
                break
        if problem := codes.problem(self.reading.unpack, ranged=self._ranges is not None):
            raise QuantisedVectorsError(self.name, f"{problem}.")
        return codes

    @property
    def notes(self) -> tuple[str, ...]:
        """Return in words what was taken for granted of the file."""
        of_all, unpack = self.reading.modality, self.reading.unpack
        found = [Used(self._table.used).words()]
        if of_all:
            found.append(f"All rows are taken as {of_all}.")
        if "id" not in self._table.used:
            found.append(f"There is no column of ids: rows are called {self._numbered(1)} and so on.")
        if unpack == "binary":
            found.append(f"Packed bits became {self.dim:,} numbers a row, each 1 or -1.")
        if unpack == "int8":
            how = "by the ranges given" if self._ranges is not None else "as steps of one scale around zero"
            found.append(f"The codes were taken {how}.")
        return tuple(filter(None, found))

    def check(
        self,
        *,
        skip_bad: bool = False,
        on_rows: Callable[[int], None] = lambda done: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[Fault, ...] | None:
        """Read every row once, and return those that are bad; None where that was cancelled.

        on_rows hears how many rows were read. Raises VectorFileError where any row is bad, with the first
        ones named, unless they are to be skipped; and where no row is good.
        """
        faults: list[Fault] = []
        repeated = Repeated()
        good = done = 0
        for raw in self._raw():
            if cancelled():
                return None
            rows, bad = checked(raw, self.dim)
            repeated.add(rows)
            faults += bad
            good, done = good + len(rows), done + len(raw.vectors)
            on_rows(done)
        again = repeated.faults()
        faults = sorted([*faults, *again], key=lambda fault: fault.row)
        if faults and (not skip_bad or good == len(again)):
            raise self._bad(faults)
        return tuple(faults)

    def batches(self, without: Collection[int] = ()) -> Iterator[VectorRows]:
        """Yield the good rows in the file's order, in pages, less those of some numbers.

        Ids are unique where `without` holds the rows of what `check` returned. Raises VectorFileError.
        """
        for raw in self._raw():
            rows, _ = checked(raw, self.dim)
            places = [place for place, number in enumerate(rows.numbers) if number not in without]
            yield rows if len(places) == len(rows) else rows.take(places)

    def _raw(self) -> Iterator[RawRows]:
        """Yield all rows as they are to be taken: unpacked, numbered, of one modality, where that is so."""
        unpack, of_all = self.reading.unpack, self.reading.modality
        for raw in self._table.batches(self._page):
            columns, count = dict(raw.columns), len(raw.vectors)
            if "id" not in columns:
                columns["id"] = [self._numbered(raw.first + place) for place in range(count)]
            if of_all:
                columns["modality"] = [of_all] * count
            raw = replace(raw, columns=columns)
            if unpack in ("binary", "int8"):
                vectors = unpacked(raw.vectors, unpack, self.codes.offset or 0, self._ranges)
                times = self.dim // self._width
                raw = replace(
                    raw, vectors=vectors, lengths=np.where(raw.lengths > 0, raw.lengths * times, raw.lengths)
                )
            yield raw

    def _numbered(self, row: int) -> str:
        return f"{Path(self.name).stem} row {row}"

    @property
    def _page(self) -> int:
        return max(1, min(_ROWS, _NUMBERS // unpacked_width(self._width, self.reading.unpack)))

    def _error(self, problem: str) -> VectorFileError:
        return VectorFileError(self.name, problem)

    def _bad(self, faults: Sequence[Fault]) -> VectorFileError:
        named = "; ".join(map(str, faults[:_NAMED]))
        more = f"; and {len(faults) - _NAMED:,} more" if len(faults) > _NAMED else ""
        rows = "1 row is" if len(faults) == 1 else f"{len(faults):,} rows are"
        return VectorFileError(
            self.name,
            f"{rows} bad of {self.total:,}, and nothing was imported. {named}{more}. Correct the file, or "
            f"skip bad rows (--skip-bad on the command line).",
            map(str, faults[:_KEPT]),
        )


def open_table(
    given: Given, name: str, reading: Reading, table: tuple[str, Given] | None = None
) -> tuple[Table, Reading]:
    """Return a file of vectors with how it is read, its problems still to be asked for.

    An array that clip-retrieval named is all of that modality. Raises VectorFileError for one unreadable.
    """
    kinds: dict[bytes, Callable[..., Table]] = {PARQUET: ParquetTable, NPZ: NpzTable}
    try:
        if isinstance(given, Path) and not given.is_file():
            problem = "there is no such file." if not given.exists() else "this is not a file."
            raise VectorFileError(name, problem)
        head = head_of(given, 6)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise VectorFileError(name, f"it cannot be opened: {reason}.") from error
    if not head:
        raise VectorFileError(name, "it is empty (0 bytes).")
    kind = next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)
    if head == NPY:
        table_name, beside = table or ("", None)
        found = NpyTable(given, name, reading, beside, table_name)
        of_all = modality_of(name)
        if of_all and reading.modality is None and "modality" not in found.used:
            reading = replace(reading, modality=of_all)
            found = NpyTable(given, name, reading, beside, table_name)
        return found, reading
    if kind is None:
        problem = (
            "it is neither Parquet nor NPZ nor NPY, by its first bytes. Save the vectors as one of these."
        )
        raise VectorFileError(name, problem)
    if table is not None:
        raise VectorFileError(name, f"{table[0]} belongs to a .npy, and this is none: leave it out.")
    return kind(given, name, reading), reading


class Writer(Protocol):
    """Writes pages of rows into a file of one format."""

    def write(self, rows: Sequence[VectorRow], vectors: np.ndarray) -> None:
        """Write n rows with their vectors (n, dim) float32."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...

    def discard(self) -> None:
        """Let go of what it holds, closed or not."""
        ...


@contextmanager
def writing(path: Path, dim: int, kinds: Mapping[str, str] | None = None) -> Iterator[Writer]:
    """Lend a writer of vectors of one width into a new file, .parquet or .npz; no one sees half of it.

    kinds are the columns of metadata to write, with what they hold (`metadata.KINDS`).
    Raises VectorFileError for another suffix, or where the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise VectorFileError(path.name, f"its name must end in {' or '.join(SUFFIXES)}.")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with ExitStack() as stack:
            stack.callback(draft.unlink, missing_ok=True)
            writer: Writer = SUFFIXES[path.suffix.lower()](draft, dim, kinds or {})
            stack.callback(writer.discard)
            yield writer
            writer.close()
            draft.replace(path)
    except OSError as error:
        problem = f"it cannot be written: {error.strerror or error}. Choose another place."
        raise VectorFileError(path.name, problem) from error
