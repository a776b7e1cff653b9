"""Finds the files that the rows of tables name, and the column that names them; reads no row's words."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from engine.datasets.columns import ID_NAMES, Choices, file_columns, plain_column
from engine.datasets.csv_tables import headless
from engine.datasets.entries import Entry
from engine.datasets.names import Ambiguous, Names
from engine.datasets.tables import Inside, Row, Table

_SAMPLE_ROWS = 100
_TRIED_COLUMNS = 64  # of ten thousand, each would be looked up a hundred times
_NUMBERED = re.compile(r"#\d+$")  # Flickr's lists number the captions of a picture so
_PATH_KEYS = ("path", "file_name", "filename")
_WEAK = {*ID_NAMES, "name"}  # what may name anything, and is only taken where it names files


class Finder:
    """The files of a listing, by what tables call them; `notes` tell which names were matched loosely."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._names = Names(self._entries)
        self._trial = Names(self._entries)  # keeps what is only tried out of the notes
        self._stems: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries:
            self._stems[_stem(entry.path)].append(entry)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which names were matched although their folders differ."""
        return self._names.notes

    def find(self, given: str, table: Table, *, by_stem: bool = True) -> Entry | Ambiguous | None:
        """Return the file that a table names; without its suffix too, where `by_stem`."""
        return self._find(self._names, given, table, by_stem)

    def _find(self, names: Names, given: str, table: Table, by_stem: bool) -> Entry | Ambiguous | None:
        given = given.strip().removeprefix("file://")
        within = table.entry.within
        found = names.find(given, table.folder, within)
        if found is None and _NUMBERED.search(given):
            found = names.find(_NUMBERED.sub("", given), table.folder, within)
        if found is None and by_stem and "://" not in given:
            called = self._stems.get(posixpath.basename(given.replace("\\", "/")).lower(), [])
            if len(called) == 1:
                return called[0]
        return found

    def with_header(self, table: Table) -> Table:
        """Return a table as it is, or with names for its columns where its first line names a file."""
        naming = [name for name in table.columns if "." in name and self._is_file(name, table, by_stem=False)]
        if table.kind != "CSV" or not naming:
            return table
        others = [name for name in table.columns if name != naming[0]]
        worded = [name for name in others if not re.fullmatch(r"[-+.\d\s]*", name)]
        called = {naming[0]: "file_name"} | ({worded[0]: "caption"} if len(worded) == 1 else {})
        columns = [called.get(name, f"column {n}") for n, name in enumerate(table.columns, start=1)]
        return headless(table, tuple(columns))

    def file_column(self, table: Table, choices: Choices) -> str:
        """Return the column of a table that names files: chosen, or called so, or full of names; else ""."""
        if choices.file in table.columns:
            return choices.file
        rows = [row for _, row in islice(table.rows(), _SAMPLE_ROWS) if not isinstance(row, str)]
        usual = [name for name in file_columns(table.columns) if name not in choices.left_out]
        counts = {name: self._count(rows, name, table, by_stem=True) for name in usual}
        strong = [name for name in usual if plain_column(name) not in _WEAK]
        for some, wanted in ((strong, 1), (usual, len(rows) / 2)):
            best = max(some, key=lambda name: counts[name], default="")
            if best and counts[best] >= wanted:
                return best
        for name in table.columns[:_TRIED_COLUMNS]:
            if name not in usual and 2 * self._count(rows, name, table, by_stem=False) > len(rows):
                return name
        return strong[0] if strong else ""

    def names_files(self, table: Table, column: str) -> bool:
        """Tell whether this column names a file that is there in at least half of the first rows."""
        rows = [row for _, row in islice(table.rows(), _SAMPLE_ROWS) if not isinstance(row, str)]
        return 2 * self._count(rows, column, table, by_stem=True) >= max(1, len(rows))

    def _count(self, rows: Iterable[Row], column: str, table: Table, *, by_stem: bool) -> int:
        return sum(
            any(
                isinstance(one, Inside) or self._is_file(one, table, by_stem=by_stem)
                for one in files_in(row.get(column))
            )
            for row in rows
        )

    def _is_file(self, given: str, table: Table, *, by_stem: bool) -> bool:
        return isinstance(self._find(self._trial, given, table, by_stem), Entry)


def files_in(value: object) -> Iterator[str | Inside]:
    """Yield the names of files, or the pictures themselves, that a cell holds: one, a list, or an object."""
    if isinstance(value, Inside) or (isinstance(value, str) and value.strip()):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from files_in(one)
    elif isinstance(value, Mapping):
        yield from files_in(next((value[key] for key in _PATH_KEYS if value.get(key)), None))


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0].lower()
