"""The rows of tables into what is said of each file, with what was understood and what was not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from engine.datasets.cells import is_nothing
from engine.datasets.columns import Choices, RowReader, Said, Use, Uses, columns_wanted, recognised
from engine.datasets.csv_tables import csv_table
from engine.datasets.entries import Entry, Tally
from engine.datasets.finder import Finder, files_in
from engine.datasets.folders import Key
from engine.datasets.json_tables import BY_NAME
from engine.datasets.names import Ambiguous
from engine.datasets.problems import Problems
from engine.datasets.table_formats import open_table
from engine.datasets.tables import MAX_TABLE_BYTES, Inside, Row, Table
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
        except TooLargeError as error:
            limit = f"tables of at most {MAX_TABLE_BYTES / 1e6:,.0f} MB are read"
            self.failed.append(Failure(shown, f"The table has {error.found:,.4g} MB; {limit}."))
            return
        except MediaError as error:
            self.failed.append(Failure(shown, error.reason))
            return
        if table is None:
            self.left.add(NO_TABLE, clean_name(entry.path))
            return
        table = finder.with_header(table)
        file = finder.file_column(table, choices)
        if file and (table.kind != BY_NAME or finder.names_files(table, file)):
            uses = recognised(table.columns, choices, file)
            if table.classes and not uses.labels and choices.labels is None:
                uses = replace(uses, labels=(table.classes,))
            self._read_rows(table, uses, finder)
        elif table.kind == BY_NAME:
            self.left.add(NO_TABLE, clean_name(entry.path))
        else:
            self.failed.append(Failure(shown, _no_file_column(table)))
            for _, row in islice(table.rows(), _EXAMPLE_ROWS):
                if not isinstance(row, str):
                    self._note_columns(row)
            for column in table.columns:  # a person may choose among them by hand
                self.uses.setdefault((clean_text(column), "left out"), []).append(shown)

    def read_text(self, entry: Entry, finder: Finder, choices: Choices) -> bool:
        """Read a text if it is a list of files with captions, and tell whether it was."""
        try:
            table = finder.with_header(csv_table(entry))
        except MediaError:
            return False  # it will say why as an item
        file = finder.file_column(table, choices)
        uses = recognised(table.columns, choices, file)
        if not file or len(table.columns) < 2 or not finder.names_files(table, file):
            return False
        self._read_rows(table, uses, finder)
        return True

    def _read_rows(self, table: Table, uses: Uses, finder: Finder) -> None:
        shown = clean_name(table.entry.path)
        problems = Problems("Line" if table.kind in ("CSV", "JSON lines") else "Row")
        reader = RowReader(uses, table.value)
        before = len(self.inside)
        found: set[Key] = set()
        for number, (line, row) in enumerate(table.rows()):
            if isinstance(row, str):
                problems.add(row, line)
                continue
            if number < _EXAMPLE_ROWS:
                self._note_columns(row)
            self._read_row(line, row, table, reader, finder, problems, found)
        self.failed += problems.failures(shown)
        self.notes += problems.notes(shown)
        if words := left_out(reader.choice.left):
            self.notes.append(f"{shown}: {words}")
        left = set(reader.choice.left)
        for column in table.columns:
            use = "left out" if column in left else uses.use_of(column)
            self.uses.setdefault((clean_text(column), use), []).append(shown)
        self.layouts.append(_told(table, uses, len(found) + len(self.inside) - before))

    def _read_row(
        self,
        line: int,
        row: Row,
        table: Table,
        reader: RowReader,
        finder: Finder,
        problems: Problems,
        found: set[Key],
    ) -> None:
        given = list(files_in(row.get(reader.uses.file)))
        if not given:
            problems.add(NO_FILE, line)
            return
        said, faults = reader.read(row)
        for one in given:
            if isinstance(one, Inside):
                self.inside.append((one, said))
                continue
            entry = finder.find(one, table)
            if isinstance(entry, Entry):
                key = (entry.within, entry.path)
                found.add(key)
                self.said[key] = self.said[key] + said if key in self.said else said
            else:
                problems.add(SEVERAL if isinstance(entry, Ambiguous) else MISSING, line, one)
        for fault in faults:
            problems.add(fault, line, next((one for one in given if isinstance(one, str)), ""))

    def _note_columns(self, row: Row) -> None:
        """Keep something that each column holds, to be shown beside its name."""
        for name, value in row.items():
            if not is_nothing(value) and not isinstance(value, Inside):
                self.examples.setdefault(clean_text(name), clean_text(str(value)[:_MAX_EXAMPLE_CHARS]))


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


def _told(table: Table, uses: Uses, files: int) -> str:
    """Say in a sentence which table was read, how, and what its columns are used as."""
    parts = [f"column {uses.file} names the file"]
    for use, groups in (("captions", uses.captions), ("labels", uses.labels)):
        if groups:
            parts.append(f"{' and '.join(groups[0])} the {use}")
    how = f" ({', '.join((table.kind, *table.notes))})"
    return (
        f"{clean_name(table.entry.path)}{how} describes {files:,} files: {', '.join(map(clean_text, parts))}."
    )
