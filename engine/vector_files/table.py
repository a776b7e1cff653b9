"""Files of vectors with ids, Parquet or NPZ: checked row by row, read and written in pages.

Knows nothing of stores. Columns (arrays in NPZ): `id`, `vector` and `modality`, and where wanted `text`,
`pair`, `label`, `media_path` and `name`; `rows.VectorRow` says what they mean. Others are metadata.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.errors import VectorFileError
from engine.text import clean_name
from engine.vector_files.npz import MAGIC as NPZ
from engine.vector_files.npz import NpzTable, NpzWriter
from engine.vector_files.parquet import MAGIC as PARQUET
from engine.vector_files.parquet import ParquetTable, ParquetWriter
from engine.vector_files.rows import (
    COLUMNS,
    MAX_DIM,
    REQUIRED,
    Fault,
    Repeated,
    Table,
    VectorRow,
    VectorRows,
    checked,
)

SUFFIXES: dict[str, type[ParquetWriter] | type[NpzWriter]] = {".parquet": ParquetWriter, ".npz": NpzWriter}
_ROWS = 1_024
_NUMBERS = 4_000_000  # of a page: 32 MB at the most
_NAMED = 5  # bad rows that an error names


class VectorFile:
    """A file of vectors: `total` rows of width `dim`, which `columns` it has, and which are `left_out`.

    What it is is seen by its content; `name` is what it is called in errors, where a path is not.
    Raises VectorFileError for a file that is neither Parquet nor NPZ, empty, cut off, without a required
    column, or with one of another type.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self.path, self.name = path, clean_name(name or path.name)
        self._table = self._opened()
        self.total, self.dim, self.columns = self._table.total, self._table.dim, self._table.columns
        self.left_out = self._table.others.left
        if missing := [column for column in REQUIRED if column not in self.columns]:
            raise self._error(
                f"it has no column {', '.join(missing)}. Required are {', '.join(REQUIRED)}; "
                f"{', '.join(one for one in COLUMNS if one not in REQUIRED)} may be there."
            )
        if not self.total:
            raise self._error("it has no rows.")
        if not 1 <= self.dim <= MAX_DIM:
            words = (
                "no vector in it has any numbers"
                if not self.dim
                else f"its vectors have {self.dim:,} numbers"
            )
            raise self._error(f"{words}; 1 to {MAX_DIM:,} are allowed.")

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
        for raw in self._table.batches(self._page):
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
        for raw in self._table.batches(self._page):
            rows, _ = checked(raw, self.dim)
            places = [place for place, number in enumerate(rows.numbers) if number not in without]
            yield rows if len(places) == len(rows) else rows.take(places)

    @property
    def _page(self) -> int:
        return max(1, min(_ROWS, _NUMBERS // self.dim))

    def _opened(self) -> Table:
        try:
            if not self.path.is_file():
                raise self._error(
                    "there is no such file." if not self.path.exists() else "this is not a file."
                )
            with self.path.open("rb") as stream:
                head = stream.read(4)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise self._error(f"it cannot be opened: {reason}.") from error
        if not head:
            raise self._error("it is empty (0 bytes).")
        for magic, table in ((PARQUET, ParquetTable), (NPZ, NpzTable)):
            if head.startswith(magic):
                return table(self.path, self.name)
        raise self._error(
            "it is neither Parquet nor NPZ, by its first bytes. Save the vectors as one of these."
        )

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
            map(str, faults),
        )


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
