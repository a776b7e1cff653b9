"""Texts, JSON and class numbers that are called like a picture beside them, and what they say of it."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.datasets.cells import labels_in, texts_in
from engine.datasets.columns import Choices, RowReader, Said, Use, recognised
from engine.datasets.encodings import decoded
from engine.datasets.entries import Entry
from engine.datasets.json_tables import json_object
from engine.datasets.problems import Problems
from engine.datasets.tables import Row
from engine.errors import UnreadableMediaError
from engine.media.formats import media_suffixes

MAX_BESIDE_BYTES = 1_000_000
BOXES = "Texts of numbers beside pictures, as object detectors write boxes, are not taken."
OTHER = "Arrays and other data called like a picture beside them are not taken."
_PICTURES = {".jpeg", ".jpe", ".jfif", ".tif", ".heif", *media_suffixes()}
_TEXTS = (".txt", ".caption", ".text")
_SAYING = (*_TEXTS, ".json", ".cls")
_SILENT = {".npy", ".npz", ".pyd", ".pickle", ".pkl", ".pth", ".pt", ".ten", ".safetensors", ".xml", ".index"}
_WANTED = {*_SAYING, *_SILENT}
_PICTURE_FOLDERS = {"images", "image", "imgs", "img", "photos", "pictures", "jpg", "jpegimages"}
_TEXT_FOLDERS = {"captions", "caption", "texts", "text", "txt", "text_c10", "annotations", "labels", "json"}
_NUMBERS = re.compile(r"[-+\d.eE\s]+")
_SENTENCES = re.compile(r"[^\n]*[.!?][\"')]*[ \t\r]*")


def is_picture(path: str) -> bool:
    """Tell by its name whether a file is a picture."""
    return _suffix(path) in _PICTURES


@dataclass(frozen=True)
class Beside:
    """A file that is called like some pictures, and these."""

    entry: Entry
    pictures: tuple[Entry, ...]

    @property
    def suffix(self) -> str:
        """Return the file's suffix in small letters."""
        return _suffix(self.entry.path)


def beside_pictures(entries: Iterable[Entry]) -> list[Beside]:
    """Return the files that are called like a picture in the same folder, with these pictures.

    `0001.txt` and `0001.jpg.txt` both belong to `0001.jpg`; in a shard of WebDataset a sample is what has
    one name up to the first dot of it.
    """
    entries = tuple(entries)
    saying = [entry for entry in entries if _suffix(entry.path) in _WANTED]
    if not saying:
        return []
    pictures: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if is_picture(entry.path):
            for key in _keys(entry, of_picture=True):
                pictures[entry.within, key].append(entry)
    found = []
    for entry in sorted(saying, key=_saying_order):
        called = (pictures.get((entry.within, key)) for key in _keys(entry, of_picture=False))
        if mine := next(filter(None, called), None):
            found.append(Beside(entry, _nearest(mine)))
    return found


class BesideReader:
    """Reads what files say of the pictures they are called like; `problems` counts what was not taken."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._readers: dict[tuple[str, ...], RowReader] = {}
        self.problems = Problems()

    def read(self, beside: Beside) -> Said | str:
        """Return what a file says of its pictures, or why it is left out. Raises MediaError."""
        if beside.suffix in _SILENT:
            return OTHER
        data = beside.entry.read(MAX_BESIDE_BYTES)
        if beside.suffix == ".json":
            said, faults = self._of_object(json_object(data))
        else:
            text, _ = decoded(data)
            if "\x00" in text:
                raise UnreadableMediaError("This is not text.")
            if beside.suffix == ".cls":
                labels, faults = labels_in(text)
                said = Said(labels=tuple(labels))
            elif _is_boxes(text):
                return BOXES
            else:
                captions, faults = texts_in(list(_captions(text)))
                said = Said(tuple(dict.fromkeys(captions)))
        for fault in faults:
            self.problems.add(fault, name=beside.entry.path)
        return said

    @property
    def uses(self) -> Mapping[str, Use]:
        """Return the columns of the objects of JSON that were read, and what each is used as."""
        found: dict[str, Use] = {}
        for columns, reader in self._readers.items():
            for column in columns:
                use = reader.uses.use_of(column)
                found[column] = "left out" if column in reader.choice.left else found.get(column, use)
        return found

    def _of_object(self, row: Row) -> tuple[Said, list[str]]:
        columns = tuple(row)
        if columns not in self._readers:  # thousands of objects have the same ones
            uses = recognised(columns, self._choices)
            self._readers[columns] = RowReader(uses, lambda column, cell: cell)
        return self._readers[columns].read(row)


def _captions(text: str) -> Iterator[str]:
    """Yield the captions of a text: each line where all are sentences, else all of it."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(_SENTENCES.fullmatch(line) for line in lines):
        yield from lines
    else:
        yield text


def _is_boxes(text: str) -> bool:
    """Tell whether every line is at least five numbers: a class and the corners of a box."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(_NUMBERS.fullmatch(line) and len(line.split()) >= 5 for line in lines)


def _saying_order(entry: Entry) -> int:
    """Return the place of a file among those of one picture: a text's caption comes before a JSON's."""
    suffix = _suffix(entry.path)
    return _SAYING.index(suffix) if suffix in _SAYING else len(_SAYING)


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _keys(entry: Entry, *, of_picture: bool) -> Iterator[str]:
    """Yield what a file shares with those that belong to it, the surest first."""
    stem = posixpath.splitext(entry.path)[0].lower()
    yield stem
    if of_picture:
        yield entry.path.lower()
    holding = _PICTURE_FOLDERS if of_picture else _TEXT_FOLDERS
    *folders, base = stem.split("/")
    for at, folder in enumerate(folders):
        if folder in holding:  # images/train/1.jpg and captions/train/1.txt
            yield "/".join((*folders[:at], "", *folders[at + 1 :], base))
    if entry.within.lower().endswith((".tar", ".tar.gz", ".tgz")):
        folder, base = posixpath.split(entry.path)
        yield posixpath.join(folder, base.split(".", 1)[0]).lower()


def _nearest(pictures: list[Entry]) -> tuple[Entry, ...]:
    """Return the pictures that a file belongs to: of `1.jpg` and `1.mask.png` the first, for `1.txt`."""
    shortest = min(len(posixpath.basename(one.path).split(".")) for one in pictures)
    near = [one for one in pictures if len(posixpath.basename(one.path).split(".")) == shortest]
    return tuple(dict.fromkeys(near))
