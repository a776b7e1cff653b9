"""What each column of a table is used as, and what a row says by that; reads no table and finds no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from engine.datasets.cells import is_nothing, labels_in, texts_in
from engine.media.metadata import MAX_COLUMNS, ColumnChoice, cleaned_value, metadata_of
from engine.types import Metadata

Use = Literal["file", "caption", "label", "split", "column", "left out"]
USES: tuple[Use, ...] = get_args(Use)
# In the order of how surely a column of that name says it; the first of them that says something is used.
FILE_NAMES = (
    *("file_name", "filename", "image_path", "img_path", "image_file", "image_filename", "image_file_name"),
    *("filepath", "file_path", "path", "image", "img", "file", "image_name", "img_name", "picture", "photo"),
    *("media_path", "local_path", "relative_path", "imagepath", "imgpath", "file_names", "images", "name"),
)
ID_NAMES = ("image_id", "img_id", "photo_id", "key", "id", "id_code", "uid", "uuid")
CAPTION_NAMES = (
    *("captions", "caption", "sentences", "sentence", "text", "texts", "txt", "description", "descriptions"),
    *("comment", "comments", "alt_text", "alt", "prompt", "raw"),
)
LABEL_NAMES = (
    *("labels", "label", "label_name", "class_name", "classes", "class", "category_name", "categories"),
    *("category", "tags", "tag", "keywords"),
)
_NUMBER = re.compile(r"_?\d+$")  # of several columns: caption_1, caption_2
NAME_COLUMN = "gapscope_name"  # of our own exports: what the item is called, which is not its file's name
_SHOWN_WANTED = 8


@dataclass(frozen=True)
class Choices:
    """What a person chose instead of what is recognised; None and "" leave it to be recognised.

    `file`, `captions`, `labels` and `left_out` are names of columns as the tables call them; an empty
    tuple takes none. `split` is the column that is kept as `split`, whatever it is called.
    `folder_labels` takes the names of folders as labels, or not; `same_names` takes texts and JSON that
    are called like a picture as what is said of it, or as items of their own.
    """

    file: str = ""
    captions: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()
    split: str = ""
    folder_labels: bool | None = None
    same_names: bool | None = None


@dataclass(frozen=True)
class Said:
    """What a data set says of one file; `name` only where it is not to be called as the file is."""

    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = ()
    name: str = ""

    def __add__(self, other: Said) -> Said:
        return Said(
            tuple(dict.fromkeys(self.captions + other.captions)),
            tuple(dict.fromkeys(self.labels + other.labels)),
            metadata_of((*self.metadata, *other.metadata)) if other.metadata else self.metadata,
            self.name or other.name,
        )


@dataclass(frozen=True)
class Uses:
    """Which columns of a table are used as what.

    `captions` and `labels` are groups of columns: of each row the first group that says something is used,
    all columns of it in order, and what the others say stays metadata.
    """

    file: str = ""
    captions: tuple[tuple[str, ...], ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[str, ...] = ()
    split: str = ""

    def use_of(self, column: str) -> Use:
        """Return what a column is used as; one of a later group counts as a column."""
        if column == self.file:
            return "file"
        if column in self.left_out:
            return "left out"
        if column == self.split:
            return "split"
        if column in (*self.captions[:1], ())[0]:
            return "caption"
        return "label" if column in (*self.labels[:1], ())[0] else "column"


@lru_cache(4_096)  # asked for every row of JSON
def plain_column(name: str) -> str:
    """Return the name of a column as names are compared: small letters, "_" for blanks, dashes and dots."""
    return re.sub(r"[\s\-.]+", "_", name.strip().strip("\"'\ufeff").strip().casefold())


def recognised(columns: Iterable[str], choices: Choices, file: str = "") -> Uses:
    """Return what columns are used as by their names and by what a person chose; `file` is given."""
    free = [name for name in columns if name != file and name not in choices.left_out]
    captions = _groups(free, CAPTION_NAMES, choices.captions)
    taken = {name for group in captions for name in group}
    labels = _groups([name for name in free if name not in taken], LABEL_NAMES, choices.labels)
    left = tuple(name for name in columns if name in choices.left_out)
    return Uses(file, captions, labels, left, choices.split)


def file_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns that may name a file by what they are called, the likeliest first."""
    known = {name: rank for rank, name in enumerate((*FILE_NAMES, *ID_NAMES))}
    ranked = []
    for column in columns:
        plain = plain_column(column)
        rank = known.get(plain, 0.5 if plain.endswith(("_file_name", "_file_names")) else None)
        if rank is not None:
            ranked.append((rank, column))
    return [column for _, column in sorted(ranked, key=lambda pair: pair[0])]


def is_caption(column: str) -> bool:
    """Tell whether a column is called as captions are, with or without a number."""
    return bool(_groups([column], CAPTION_NAMES, None))


def columns_wanted() -> str:
    """Return in words what a column that names a file may be called."""
    return f"{', '.join(FILE_NAMES[:_SHOWN_WANTED])}…"


class RowReader:
    """Reads what the rows of one table say of their files; `choice` tells which other columns were kept."""

    def __init__(self, uses: Uses, value: Callable[[str, object], object]) -> None:
        self.uses, self._value = uses, value
        self.choice = ColumnChoice()

    def read(self, row: Mapping[str, object]) -> tuple[Said, list[str]]:
        """Return what a row says, and in words what of it could not be taken as it is."""
        captions, told, problems = _first(row, self.uses.captions, texts_in)
        labels, named, others = _first(row, self.uses.labels, labels_in)
        used = {self.uses.file, *self.uses.left_out, *told, *named, NAME_COLUMN}
        kept, name = metadata_of(self._others(row, used)), row.get(NAME_COLUMN)
        said = Said(tuple(captions), tuple(labels), kept, name if isinstance(name, str) else "")
        return said, problems + others

    def _others(self, row: Mapping[str, object], used: set[str]) -> Iterator[tuple[str, object]]:
        for key, value in row.items():
            if key in used or is_nothing(value):
                continue
            plain = _plain(self._value(key, value))
            if cleaned_value(plain) is None:
                if not isinstance(value, str | float) and value not in ([], {}):
                    self.choice.leave(key)
            elif name := self.choice.add("split" if key == self.uses.split else key):
                yield name, plain


def _plain(value: object) -> object:
    """Return a value that a column may hold; a list of plain ones becomes their text."""
    if isinstance(value, list | tuple) and value and all(isinstance(one, str | int) for one in value):
        return "; ".join(str(one) for one in value[:MAX_COLUMNS])
    return value


def _first(
    row: Mapping[str, object],
    groups: tuple[tuple[str, ...], ...],
    read: Callable[[object, str], tuple[list[str], list[str]]],
) -> tuple[list[str], tuple[str, ...], list[str]]:
    """Return what the first group of columns that says something says, and the problems.

    Also returned are the columns that need no further look: of that group, and of those that say nothing.
    """
    problems: list[str] = []
    looked_at: tuple[str, ...] = ()
    for group in groups:
        looked_at += group
        found: dict[str, None] = {}
        for column in group:
            if column in row:
                values, faults = read(row[column], column)
                found.update(dict.fromkeys(values))
                problems += faults
        if found:
            return list(found), looked_at, problems
    return [], looked_at, problems


def _groups(
    columns: Iterable[str], names: Iterable[str], chosen: tuple[str, ...] | None
) -> tuple[tuple[str, ...], ...]:
    columns = list(columns)
    if chosen is not None:
        group = tuple(name for name in chosen if name in columns)
        return (group,) if group else ()
    called: dict[str, list[str]] = {}
    for column in columns:
        plain = plain_column(column)
        for name in dict.fromkeys((plain, _NUMBER.sub("", plain))):
            called.setdefault(name, []).append(column)
    return tuple(tuple(called[name]) for name in names if name in called)
