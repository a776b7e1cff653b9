"""Tables of delimited text (CSV and its kin) with the encoding, delimiter and header that they have."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Callable, Iterator
from functools import cached_property, partial

from engine.datasets.cells import MORE_CELLS
from engine.datasets.columns import file_columns, is_caption
from engine.datasets.encodings import decoded
from engine.datasets.entries import Entry
from engine.datasets.tables import MAX_TABLE_BYTES, Row, Table
from engine.errors import UnreadableMediaError
from engine.media.metadata import TextColumns

NO_CSV = "this is not CSV"
UNCLOSED = "a quote that is opened here is not closed"
_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
_SNIFFED_LINES = 20
_MAX_UNCLOSED = 20  # then the quotes of a file mean nothing, and every further line costs a search to its end
_REST = "the rest is not read: too many quotes are not closed"


def csv_table(entry: Entry) -> Table:
    """Return the table in a file of delimited text. Raises MediaError where it cannot be read as text."""
    text, notes = decoded(entry.read(MAX_TABLE_BYTES))
    lines = text_lines(text)
    delimiter = _delimiter(lines, "\t" if posixpath.splitext(entry.path)[1].lower() == ".tsv" else ",")
    if delimiter != ",":
        notes = (*notes, f"separated by {_DELIMITERS[delimiter]}")
    header = next((cells for _, cells in _records(lines, delimiter) if isinstance(cells, list)), [])
    if not any(cell.strip() for cell in header):
        raise UnreadableMediaError("The table is empty.")
    columns = _columns(header)
    rows = partial(_rows, lines, delimiter, columns)
    return Table(entry, "CSV", columns, rows, notes, _Typed(rows).read)


def headless(table: Table, columns: tuple[str, ...]) -> Table:
    """Return a table whose first line is no header but a row already, under columns of these names."""

    def rows() -> Iterator[tuple[int, Row | str]]:
        yield 1, dict(zip(columns, table.columns, strict=True))
        for line, row in table.rows():
            if not isinstance(row, str):
                row = dict(zip(columns, map(row.get, table.columns), strict=True))
            yield line, row

    notes = (*table.notes, "without a header")
    return Table(table.entry, table.kind, columns, rows, notes, _Typed(rows).read)


def text_lines(text: str) -> list[str]:
    """Return the lines of a text with their ends, as CSV and every system know them."""
    return list(io.StringIO(text, newline=""))


def _columns(header: list[str]) -> tuple[str, ...]:
    """Return the names of the columns, each once; the last of two keeps its place by a number."""
    names: dict[str, None] = {}
    for number, cell in enumerate(header, start=1):
        name = cell.strip().strip("\ufeff").strip() or f"column {number}"
        while name in names:
            name = f"{name} ({number})"
        names[name] = None
    return tuple(names)


def _delimiter(lines: list[str], usual: str) -> str:
    """Return what separates the cells of the first lines: the same number of columns, a file among them."""
    best, kept = (False, 0.0, 1), usual
    for delimiter in dict.fromkeys((usual, *_DELIMITERS)):
        found = [cells for _, cells in _records(lines[:_SNIFFED_LINES], delimiter) if isinstance(cells, list)]
        if found:
            width = len(found[0])
            same = sum(len(cells) == width for cells in found) / len(found)
            score = (width > 1 and bool(file_columns(found[0])), same if width > 1 else 0.0, width)
            if score > best:
                best, kept = score, delimiter
    return kept


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the line on which each record begins, and its cells or why there are none.

    After a line that cannot be read the next one is taken for the beginning of a record: a quote that is
    never closed costs its own line and no other.
    """
    start, unclosed = 0, 0
    while unclosed < _MAX_UNCLOSED:
        found: list[str] | str = []
        for at, found in _until_broken(lines, start, delimiter):
            yield at + 1, found
            start = at + 1
        if not isinstance(found, str):
            return
        unclosed += found == UNCLOSED
    yield start + 1, _REST


def _until_broken(lines: list[str], start: int, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield where records begin, from 0, and their cells, until one is broken: then why."""
    reader = csv.reader(lines[start:], delimiter=delimiter)
    while True:
        at = start + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error:
            yield at, UNCLOSED if start + reader.line_num > at + 1 else NO_CSV
            return
        end = start + reader.line_num
        if cells is not None and end > at + 1 and _is_broken(lines[at:end], delimiter):
            yield at, UNCLOSED
            return
        if cells is None:
            return
        if cells:
            yield at, cells


def _is_broken(lines: list[str], delimiter: str) -> bool:
    """Tell whether a record of several lines only came about by a quote that nobody closed."""
    try:
        return not list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return True


def _rows(lines: list[str], delimiter: str, columns: tuple[str, ...]) -> Iterator[tuple[int, Row | str]]:
    records = _records(lines, delimiter)
    words_last = is_caption(columns[-1])
    for _, cells in records:
        if isinstance(cells, list):
            break  # the header
    for line, cells in records:
        if isinstance(cells, str):
            yield line, cells
            continue
        if any(cells[len(columns) :]):
            if words_last:  # a caption that holds the delimiter and was written without quotes
                cells = [*cells[: len(columns) - 1], delimiter.join(cells[len(columns) - 1 :])]
            else:
                yield line, MORE_CELLS
        yield line, dict(zip(columns, cells, strict=False))


class _Typed:
    """Reads the cells of columns of numbers as numbers, which only shows at the end of all rows."""

    def __init__(self, rows: Callable[[], Iterator[tuple[int, Row | str]]]) -> None:
        self._rows = rows

    @cached_property
    def _columns(self) -> TextColumns:
        columns = TextColumns()
        for _, row in self._rows():
            columns.see({} if isinstance(row, str) else row)
        return columns

    def read(self, column: str, cell: object) -> object:
        return self._columns.read(column, cell)
