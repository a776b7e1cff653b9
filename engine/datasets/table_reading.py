"""The rows of tables into what is said of each file, with what was understood and what was not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from engine.datasets.cells import is_nothing
from engine.datasets.columns import (
    FILE_NAMES,
    ID_NAMES,
    NAME_COLUMN,
    Choices,
    RowReader,
    Said,
    Use,
    Uses,
    columns_wanted,
    plain_column,
    recognised,
)
from engine.datasets.csv_tables import csv_table
from engine.datasets.entries import Entry, Tally
from engine.datasets.finder import Finder, files_in
from engine.datasets.folders import Key
from engine.datasets.json_tables import BY_NAME
from engine.datasets.names import Ambiguous
from engine.datasets.problems import Problems
from engine.datasets.table_formats import open_table
from engine.datasets.tables import MAX_TABLE_BYTES, Inside, Table
from engine.errors import MediaError, TooLargeError
from engine.media.metadata import left_out
from engine.text import clean_name, clean_text
from engine.types import Failure

NO_FILE = "no file is named"
MISSING = "the file is not among the files"
SEVERAL = "more than one file may be meant"
NO_TABLE = "JSON that lists no files is not taken."
_SHOWN_COLUMNS = 12
_LISTS = ("caption", "token", "annotation", "label", "list", "metadata", "result", "index")
_NO_CAPTIONS = {"split", NAME_COLUMN, *FILE_NAMES, *ID_NAMES}  # texts that describe nothing
_FEW_TEXTS = 20  # so many are looked at, whatever they are called, for being lists
_EXAMPLE_ROWS = 10
_MAX_EXAMPLE_CHARS = 80


@dataclass
class Reading:
    """What the tables of a listing say: of files by archive and path, and of the pictures in them."""

    said: dict[Key, Said] = field(default_factory=dict)
    inside: list[tuple[Inside, Said]] = field(default_factory=list)
    layouts: list[str] = field(default_factory=list)
    uses: dict[tuple[str, Use], list[str]] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    left: Tally = field(default_factory=Tally)

    def read(self, entry: Entry, finder: Finder, choices: Choices) -> None:
        """Read a file that may be a table into what is said."""
        shown = clean_name(entry.path)
        try:
            table = open_table(entry)
            if table is None:
                self.left.add(NO_TABLE, shown)
            else:
                self._read_table(finder.with_header(table), finder, choices)
        except TooLargeError as error:
            limit = f"tables of at most {MAX_TABLE_BYTES / 1e6:,.0f} MB are read"
            self.failed.append(Failure(shown, f"The table has {error.found:,.4g} MB; {limit}."))
        except MediaError as error:
            self.failed.append(Failure(shown, error.reason))

    def read_text(self, entry: Entry, finder: Finder, choices: Choices) -> bool:
        """Read a text if it is a list of files with captions, and tell whether it was."""
        try:
            table = finder.with_header(csv_table(entry))
        except MediaError:
            return False  # it will say why as an item
        file = finder.file_column(table, choices)
        if not file or len(table.columns) < 2 or not finder.names_files(table, file):
            return False
        self._read_rows(table, recognised(table.columns, choices, file), finder)
        return True

    def _read_table(self, table: Table, finder: Finder, choices: Choices) -> None:
        shown, file = clean_name(table.entry.path), finder.file_column(table, choices)
        if file and (table.kind != BY_NAME or finder.names_files(table, file)):
            uses = recognised(table.columns, choices, file)
            if table.classes and not uses.labels and choices.labels is None:
                uses = replace(uses, labels=(table.classes,))
            self._read_rows(table, uses, finder)
            if not uses.captions and choices.captions is None and (words := _without_captions(table, uses)):
                self.notes.append(f"{shown}: {words}")
        elif table.kind == BY_NAME:
            self.left.add(NO_TABLE, shown)
        else:
            self.failed.append(Failure(shown, _no_file_column(table)))
            self._note_columns(table, {name: "left out" for name in table.columns})  # to choose among by hand

    def _read_rows(self, table: Table, uses: Uses, finder: Finder) -> None:
        shown, rows = clean_name(table.entry.path), _Rows(table, uses, finder)
        try:
            for owner, said in rows.read():
                if isinstance(owner, Inside):
                    self.inside.append((owner, said))
                else:
                    key = (owner.within, owner.path)
                    self.said[key] = self.said[key] + said if key in self.said else said
        except MediaError as error:  # what was read until then is kept
            self.failed.append(Failure(shown, error.reason))
        self.failed += rows.problems.failures(shown)
        self.notes += rows.problems.notes(shown)
        left = {*rows.reader.choice.left, *table.unread}
        self.notes += [f"{shown}: {words}" for words in _unread(table)]
        if words := left_out(rows.reader.choice.left):
            self.notes.append(f"{shown}: {words}")
        self._note_columns(
            table, {name: "left out" if name in left else uses.use_of(name) for name in table.columns}
        )
        self.layouts.append(_told(table, uses, len(rows.found)))

    def _note_columns(self, table: Table, uses: Mapping[str, Use]) -> None:
        """Keep what each column is used as, with something that it holds."""
        for column, use in uses.items():
            self.uses.setdefault((clean_text(column), use), []).append(clean_name(table.entry.path))
        for _, row in islice(table.rows(), _EXAMPLE_ROWS):
            for name, value in {} if isinstance(row, str) else row.items():
                if not is_nothing(value) and not isinstance(value, Inside):
                    self.examples.setdefault(clean_text(name), clean_text(str(value)[:_MAX_EXAMPLE_CHARS]))


class _Rows:
    """The rows of one table while they are read: `found` are the files that they speak of."""

    def __init__(self, table: Table, uses: Uses, finder: Finder) -> None:
        self._table, self._finder = table, finder
        self.reader = RowReader(uses, table.value)
        self.problems = Problems("Line" if table.kind in ("CSV", "JSON lines") else "Row")
        self.found: set[Key | int] = set()

    def read(self) -> Iterator[tuple[Entry | Inside, Said]]:
        """Yield each file or picture that a row is about, with what the row says of it. Raises MediaError."""
        for line, row in self._table.rows():
            if isinstance(row, str):
                self.problems.add(row, line)
            elif given := list(files_in(row.get(self.reader.uses.file))):
                said, faults = self.reader.read(row)
                for owner in self._owners(given, line):
                    yield owner, said
                for fault in faults:
                    self.problems.add(fault, line, next((one for one in given if isinstance(one, str)), ""))
            else:
                self.problems.add(NO_FILE, line)

    def _owners(self, given: Iterable[str | Inside], line: int) -> Iterator[Entry | Inside]:
        for one in given:
            found = one if isinstance(one, Inside) else self._finder.find(one, self._table)
            if isinstance(found, Inside):
                self.found.add(line)
                yield found
            elif isinstance(found, Entry):
                self.found.add((found.within, found.path))
                yield found
            else:
                self.problems.add(SEVERAL if isinstance(found, Ambiguous) else MISSING, line, str(one))


def may_be_list(texts: Iterable[Entry]) -> list[Entry]:
    """Return the texts that are worth looking at for being lists of files with captions."""
    texts = list(texts)
    if len(texts) <= _FEW_TEXTS:
        return texts
    return [one for one in texts if any(word in posixpath.basename(one.path).lower() for word in _LISTS)]


def _no_file_column(table: Table) -> str:
    columns = [clean_text(name) for name in table.columns]
    more = f" and {len(columns) - _SHOWN_COLUMNS:,} more" if len(columns) > _SHOWN_COLUMNS else ""
    return (
        f"No column names a file, so nothing of this table is used. Columns found: "
        f"{', '.join(columns[:_SHOWN_COLUMNS]) or 'none'}{more}. Wanted is one called {columns_wanted()} "
        f"or choose it by hand."
    )


def _without_captions(table: Table, uses: Uses) -> str:
    """Say which columns hold texts where none is called as captions are; empty where none does."""
    held: dict[str, list[object]] = {}
    for _, row in islice(table.rows(), _EXAMPLE_ROWS):
        for name, value in {} if isinstance(row, str) else row.items():
            if not is_nothing(value):
                held.setdefault(name, []).append(table.value(name, value))
    texts = [
        clean_text(name)
        for name, values in held.items()
        if uses.use_of(name) == "column"
        and plain_column(name) not in _NO_CAPTIONS
        and all(isinstance(one, str) for one in values)
    ]
    if not texts:
        return ""
    more = f" and {len(texts) - _SHOWN_COLUMNS:,} more" if len(texts) > _SHOWN_COLUMNS else ""
    return (
        f"no column is called as captions are. Texts stand in {', '.join(texts[:_SHOWN_COLUMNS])}{more}: "
        f"choose by hand if one of them holds captions."
    )


def _unread(table: Table) -> Iterator[str]:
    """Say what the columns hold that are not read, by what that is."""
    for what in dict.fromkeys(table.unread.values()):
        names = [clean_text(name) for name, held in table.unread.items() if held == what]
        more = f" and {len(names) - _SHOWN_COLUMNS:,} more" if len(names) > _SHOWN_COLUMNS else ""
        one = len(names) == 1
        yield (
            f"{'column' if one else 'columns'} {', '.join(names[:_SHOWN_COLUMNS])}{more} "
            f"{'holds' if one else 'hold'} {what}, and {'is' if one else 'are'} not kept."
        )


def _told(table: Table, uses: Uses, files: int) -> str:
    """Say in a sentence which table was read, how, and what its columns are used as."""
    parts = [f"column {uses.file} names the file"]
    for use, groups in (("captions", uses.captions), ("labels", uses.labels)):
        if groups:
            parts.append(f"{' and '.join(groups[0])} the {use}")
    how = f" ({', '.join((table.kind, *table.notes))})"
    counted = f"{files:,} {'file' if files == 1 else 'files'}" if files else "none of these files"
    return f"{clean_name(table.entry.path)}{how} describes {counted}: {', '.join(map(clean_text, parts))}."
