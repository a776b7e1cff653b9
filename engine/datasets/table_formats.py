"""Which files are tables, by their names, and what reads each kind."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from engine.datasets.csv_tables import csv_table
from engine.datasets.entries import Entry
from engine.datasets.json_tables import json_document, json_lines
from engine.datasets.parquet_tables import parquet_table
from engine.datasets.tables import Table

# To read another kind of table, write a function of an entry and add its suffix here.
_READERS: dict[str, Callable[[Entry], Table | None]] = {
    ".csv": csv_table,
    ".tsv": csv_table,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_document,
    ".parquet": parquet_table,
}


def may_be_table(path: str) -> bool:
    """Tell by its name whether a file is a table, or a document that may be one."""
    return _suffix(path) in _READERS


def open_table(entry: Entry) -> Table | None:
    """Return the table in a file, or None where it is a document that lists nothing. Raises MediaError."""
    return _READERS[_suffix(entry.path)](entry)


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()
