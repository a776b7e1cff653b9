"""Tables of JSON: lines of objects, lists of objects, and what COCO and its kin write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeGuard

from engine.datasets.encodings import decoded
from engine.datasets.entries import Entry
from engine.datasets.names import SPLITS
from engine.datasets.tables import MAX_TABLE_BYTES, Row, Table
from engine.errors import UnreadableMediaError

BY_NAME = "JSON by file name"
NO_OBJECT = "this is not one JSON object"
NO_IMAGE = "the image_id of this annotation is not among the images"


def json_lines(entry: Entry) -> Table:
    """Return the table of a file with an object on every line. Raises MediaError."""
    text, notes = decoded(entry.read(MAX_TABLE_BYTES))
    if text.lstrip()[:1] == "[":  # a list that is called .jsonl
        document = _document(text)
        if isinstance(document, list):
            return _table(entry, "JSON", document, notes)
    lines = text.split("\n")  # and not at the other ends of lines, which may stand in a text of JSON
    columns: dict[str, None] = {}
    for _, row in _lines(lines):
        if not isinstance(row, str):
            columns.update(dict.fromkeys(row))
    return Table(entry, "JSON lines", tuple(columns), partial(_lines, lines), notes)


def json_document(entry: Entry) -> Table | None:
    """Return the table in a JSON document, or None where it lists nothing. Raises MediaError.

    That is a list of objects, or an object that holds one (alone, or one for each split), COCO's images
    with their annotations, or an object from the names of files to what is said of each.
    """
    text, notes = decoded(entry.read(MAX_TABLE_BYTES))
    document = _document(text)
    if document is None:
        lines = json_lines(entry)  # objects on lines, in a file that is called .json
        if not lines.columns:
            raise UnreadableMediaError("This is not JSON.")
        return lines
    if isinstance(document, dict) and (coco := _coco_table(entry, document, notes)):
        return coco
    kind, rows = _rows_in(document)
    return _table(entry, kind, rows, notes) if rows else None


def json_object(data: bytes) -> Row:
    """Return the one object in some bytes of JSON. Raises UnreadableMediaError."""
    text, _ = decoded(data)
    document = _document(text)
    if not isinstance(document, dict):
        raise UnreadableMediaError("This is not one JSON object.")
    return document


def _document(text: str) -> Any:
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):  # ValueError also for a number of 5,000 digits
        return None


def _lines(lines: Iterable[str]) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = _document(line)
            yield number, row if isinstance(row, dict) else NO_OBJECT


def _table(entry: Entry, kind: str, rows: list[Any], notes: tuple[str, ...]) -> Table:
    columns = dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row)
    return Table(entry, kind, tuple(columns), partial(_numbered, rows), notes)


def _numbered(rows: Iterable[Any]) -> Iterator[tuple[int, Row | str]]:
    for number, row in enumerate(rows, start=1):
        yield number, row if isinstance(row, dict) else NO_OBJECT


def _rows_in(document: Any) -> tuple[str, list[Any]]:
    """Return what kind of document it is, and its rows; none where it lists nothing."""
    if isinstance(document, list):
        return "JSON", document if any(isinstance(one, dict) for one in document) else []
    if not isinstance(document, dict):
        return "JSON", []
    if _is_list(images := document.get("images")):  # Karpathy's splits
        return "JSON", images
    lists = {key: value for key, value in document.items() if _is_list(value)}
    if len(lists) == 1:
        return "JSON", next(iter(lists.values()))
    if lists and SPLITS.issuperset(map(str.lower, lists)):
        return "JSON", [{"split": key, **row} for key, rows in lists.items() for row in rows]
    return BY_NAME, list(_by_name(document))


def _is_list(value: Any) -> TypeGuard[list[Row]]:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _by_name(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each name in an object that says something of each, if of files or not."""
    for name, said in document.items():
        if isinstance(said, dict):
            yield {"file_name": name, **{key: value for key, value in said.items() if key != "file_name"}}
        elif isinstance(said, str) or _is_texts(said):
            yield {"file_name": name, "caption": said}
        else:
            return


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str | dict) for one in value)


def _coco_table(entry: Entry, document: Row, notes: tuple[str, ...]) -> Table | None:
    """Return the table in what COCO writes, the annotations of no image of it as faults; else None."""
    images, annotations = document.get("images"), document.get("annotations")
    if not _is_list(images) or not _is_list(annotations):
        return None
    table = _table(
        entry, "COCO annotations", list(_coco(images, annotations, document.get("categories"))), notes
    )
    known = {_key(one.get("id")) for one in images}
    lost = [
        (number, NO_IMAGE)
        for number, one in enumerate(annotations, start=1)
        if (one.get("caption") or one.get("category_id") is not None)
        and _key(one.get("image_id")) not in known
    ]
    return replace(table, rows=lambda: chain(table.rows(), lost))


def _coco(images: list[Row], annotations: list[Row], categories: Any) -> Iterator[Row]:
    """Yield a row for each picture, with all its captions in order and the names of its categories."""
    names = {_key(one.get("id")): one.get("name") for one in categories or () if isinstance(one, dict)}
    captions: dict[Any, list[Any]] = {}
    labels: dict[Any, dict[Any, None]] = {}
    for one in annotations:
        image, category = _key(one.get("image_id")), _key(one.get("category_id"))
        if one.get("caption"):
            captions.setdefault(image, []).append(one["caption"])
        if category is not None:
            labels.setdefault(image, {})[names.get(category, category)] = None
    for image in images:
        found = _key(image.get("id"))
        row = dict(image)
        if found in captions:
            row["captions"] = captions[found]
        if found in labels:
            row["labels"] = list(labels[found])
        yield row


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int) else None
