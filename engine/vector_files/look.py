"""What a file of vectors looks like before anything is stored: its columns, their uses, its first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import QuantisedVectorsError, VectorFileError
from engine.text import clean_text
from engine.types import Modality
from engine.vector_files.reading import Reading
from engine.vector_files.rows import Table
from engine.vector_files.source import Given
from engine.vector_files.table import VectorFile, open_table

ROWS = 10
METADATA, LEFT_OUT = "metadata", "left out"
_NUMBERS = 3  # of a vector that are shown
_CHARS = 60


@dataclass(frozen=True)
class Column:
    """A column of a file: its type in words, and its use: METADATA, LEFT_OUT, or one of `rows.COLUMNS`."""

    name: str
    type: str
    use: str


@dataclass(frozen=True)
class Look:
    """A file of vectors as it would be read: `problem` says in words what is to be chosen first, or is empty.

    `dim` is 0 where there is a problem, `quantised` tells that it is one of codes, and `rows` are the first
    ROWS, the texts of `columns` in their order. `modality` is that of all rows, where it is of all.
    """

    total: int
    dim: int
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    problem: str = ""
    quantised: bool = False
    notes: tuple[str, ...] = ()
    modality: Modality | None = None

    def used(self, role: str) -> str:
        """Return the column that is used as something, empty where none is."""
        return next((column.name for column in self.columns if column.use == role), "")


def look(
    given: Given, *, name: str, reading: Reading | None = None, table: tuple[str, Given] | None = None
) -> Look:
    """Return what a file looks like, read as `VectorFile` would. Raises VectorFileError if it cannot be."""
    found, reading = open_table(given, name, reading or Reading(), table)
    columns = tuple(Column(one, kind, _use(found, one)) for one, kind in found.types.items())
    head = found.head(ROWS) if found.total else {}
    count = max(map(len, head.values()), default=0)
    rows = tuple(
        tuple(_shown(head[one.name][row]) if one.name in head else "" for one in columns)
        for row in range(count)
    )
    try:
        file = VectorFile(given, name=name, reading=reading, table=table)
    except VectorFileError as error:
        quantised = isinstance(error, QuantisedVectorsError)
        return Look(found.total, 0, columns, rows, str(error), quantised, modality=reading.modality)
    return Look(file.total, file.dim, columns, rows, notes=file.notes, modality=reading.modality)


def _use(table: Table, column: str) -> str:
    used = [role for role, name in table.used.items() if name == column]
    return ", ".join(used) or (METADATA if column in table.others.names else LEFT_OUT)


def _shown(value: Any) -> str:
    """Return a value as a short text: of a vector its first numbers, and how many there are."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        numbers = [f"{one:.3g}" if isinstance(one, float) else str(one) for one in value[:_NUMBERS]]
        more = f", … ({len(value):,})" if len(value) > _NUMBERS else ""
        return clean_text(f"{', '.join(numbers)}{more}")[:_CHARS]
    if isinstance(value, bytes):
        return value.hex()[:_CHARS]
    return "" if value is None else clean_text(str(value))[:_CHARS]
