"""Captions, labels and columns of a `metadata.jsonl` or `metadata.csv` beside the files.

The `imagefolder` convention of the Hugging Face datasets library: `file_name` relative to the table, and
`caption` or `text`; `label` or `labels` are kept too, and other columns as metadata. Several rows for one
file give it several captions.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from engine.errors import MediaError
from engine.media.metadata import ColumnChoice, TextColumns, cleaned_value, left_out, metadata_of
from engine.text import clean_name, clean_text
from engine.types import Failure, Metadata

SIDECARS = ("metadata.jsonl", "metadata.csv")
MAX_CAPTION_CHARS = 2_000
MAX_SIDECAR_BYTES = 100_000_000
_OWN = ("file_name", "caption", "text", "label", "labels")


@dataclass(frozen=True)
class Row:
    """What the tables say of one file."""

    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = ()


def read_sidecar(
    name: str,
    read: Callable[[], bytes],
    files: Mapping[str, object],
    rows: dict[str, Row],
    failed: list[Failure],
) -> None:
    """Read one table into `rows`, by the names of `files`; what is wrong with it goes into `failed`."""
    shown, folder = clean_name(name), posixpath.dirname(name)
    try:
        text = read().decode("utf-8-sig")
    except MediaError as error:
        failed.append(Failure(shown, error.reason))
        return
    except UnicodeDecodeError:
        failed.append(Failure(shown, "The list of captions is not UTF-8 text."))
        return
    parsed = _json_rows(text) if name.endswith(".jsonl") else _csv_rows(text)
    choice = ColumnChoice()
    for line, row in parsed:
        problem = row if isinstance(row, str) else _add_row(row, folder, files, rows, choice)
        if problem:
            failed.append(Failure(shown, f"Line {line}: {problem}"))
    if left := left_out(choice.left):
        failed.append(Failure(shown, left))


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # ValueError also for a number of 5,000 digits
            yield number, "this is not one JSON object."
            continue
        yield number, row if isinstance(row, dict) else "this is not one JSON object."


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Yield the rows; a column of numbers holds numbers, which only shows at its end."""
    columns = TextColumns()
    for _, row in _csv_texts(text):
        columns.see({} if isinstance(row, str) else row)
    for line, row in _csv_texts(text):
        if isinstance(row, str):
            yield line, row
        else:
            yield line, {key: cell if key in _OWN else columns.read(key, cell) for key, cell in row.items()}


def _csv_texts(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.reader.line_num, f"this is not CSV: {error}."
            continue
        yield reader.line_num, {key: value for key, value in row.items() if key is not None}


def _add_row(
    row: Mapping[str, object],
    folder: str,
    files: Mapping[str, object],
    rows: dict[str, Row],
    choice: ColumnChoice,
) -> str | None:
    file_name = row.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        return "there is no file_name."
    name = posixpath.normpath(posixpath.join(folder, file_name.replace("\\", "/")))
    if name not in files:
        return f"{clean_name(file_name)} is not among the files."
    given = row.get("caption") or row.get("text") or ""
    listed = given if isinstance(given, list) else [given]
    captions = [caption for caption in listed if isinstance(caption, str)]
    if len(captions) < len(listed):
        return f"the caption of {clean_name(file_name)} is not text."
    before = rows.get(name, Row())
    cleaned = (clean_text(caption)[:MAX_CAPTION_CHARS].strip() for caption in captions)
    kept = dict.fromkeys((*before.captions, *filter(None, cleaned)))
    labels = tuple(dict.fromkeys((*before.labels, *_labels(row))))
    rows[name] = Row(tuple(kept), labels, metadata_of((*before.metadata, *_others(row, choice))))
    return None


def _others(row: Mapping[str, object], choice: ColumnChoice) -> Iterator[tuple[str, object]]:
    """Yield the plain values of other columns; a nested one, as datasets have for boxes, is no fault."""
    for key, value in row.items():
        if key not in _OWN and cleaned_value(value) is not None and (name := choice.add(key)):
            yield name, value


def _labels(row: Mapping[str, object]) -> Iterator[str]:
    # 0 is a label too: class numbers start there.
    value = next((row[key] for key in ("labels", "label") if row.get(key) not in (None, "", [])), [])
    values = value if isinstance(value, list) else str(value).split(";")
    for label in values:
        cleaned = clean_text(str(label))[:100]
        if cleaned:
            yield cleaned
