"""What the folders of pictures say: the label of each, the split, or nothing; reads no file."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.datasets.cells import MAX_LABEL_CHARS
from engine.datasets.entries import Entry
from engine.text import clean_text

_PLAIN = {  # what folders are called that only hold something
    *(
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "photo",
        "photos",
        "jpg",
        "jpegs",
        "jpeg",
        "png",
    ),
    *(
        "data",
        "dataset",
        "datasets",
        "files",
        "file",
        "media",
        "raw",
        "all",
        "samples",
        "thumbnails",
        "thumbs",
    ),
    *("annotations", "captions", "labels", "masks", "texts", "assets", "uploads", "downloads", "dcim"),
    *("original", "originals", "jpegimages", "album", "albums", "camera", "screenshots", "misc", "new"),
}
_SPLIT = re.compile(
    r"(train|training|test|testing|val|valid|validation|dev)([-_ ]?(set|images?|data|split|\d{2,4}))?",
    re.IGNORECASE,
)
_DATE = re.compile(r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?([0-2]\d|3[01]))?)?([-_ T].*)?")
_CAMERA = re.compile(r"\d{3}[A-Z0-9_]{5}", re.IGNORECASE)  # as DCF calls the folders of a card: 100CANON
_SHARD = re.compile(r"\d{3,}|[0-9a-f]{1,3}")  # 00012 of img2dataset, or the first digits of a hash
_MANY_FOLDERS = 20  # from here on, folders of one picture each are no classes
_SHOWN = 8
_TARS = (".tar", ".tar.gz", ".tgz")
Key = tuple[str, str]  # an entry's archive and path


@dataclass(frozen=True)
class Folders:
    """What folders say: a label and a split for each entry that has one; `words` tell it.

    `why_not` says why folders are not taken as labels where that might have been expected.
    """

    labels: Mapping[Key, str] = field(default_factory=dict)
    splits: Mapping[Key, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    why_not: str = ""


def split_of(folder: str) -> str:
    """Return the split that a folder or an archive is called after ("train2017": "train"), "" for none."""
    found = _SPLIT.fullmatch(folder)
    return found[1].lower() if found else ""


def together(entry: Entry) -> str:
    """Return what pictures share whose folders are looked at together: an archive, if it is no part of a set.

    Shards of WebDataset are parts of one, and so are `train.zip` and `test.zip`.
    """
    archive = posixpath.basename(entry.within).lower()
    is_part = archive.endswith(_TARS) or split_of(archive.split(".", 1)[0])
    return "/" if is_part else entry.within


def read_folders(pictures: Sequence[Entry], *, wanted: bool | None, described: bool) -> Folders:
    """Return what the folders of these pictures say.

    A folder is a label where all pictures lie equally deep in at least two folders, train, test and
    validation not counted, and nothing tells that the folders mean something else; `wanted` decides it
    for a person. `described` tells that a table says what the pictures are: then folders are no labels.
    """
    keys = [(entry.within, entry.path) for entry in pictures]
    paths = [_folders(entry) for entry in pictures]
    splits, below = _without_splits(paths)
    found = {key: split for key, split in zip(keys, splits, strict=True) if split}
    labels: dict[Key, str] = {}
    why_not = ""
    if wanted:
        named = ([part for part in path if not split_of(part)] for path in paths)
        labels = {key: _label(path[-1]) for key, path in zip(keys, named, strict=True) if path}
    elif wanted is None and len(set(below)) > 1:
        why_not = _why_not(pictures, paths, below, described=described)
        if not why_not:
            labels = {key: _label(path[-1]) for key, path in zip(keys, below, strict=True)}
            labels = labels if len(set(labels.values())) > 1 else {}
    words = [*_told("Folders are labels", labels), *_told("Folders are splits, kept as column split", found)]
    return Folders(labels, found, tuple(words), why_not)


def _folders(entry: Entry) -> tuple[str, ...]:
    """Return the folders of a file, with those of its archive; one that is called `train.zip` is one too."""
    place, archive = posixpath.split(entry.within)
    named = archive.split(".", 1)[0]
    parts = (*place.split("/"), named if split_of(named) else "", *posixpath.dirname(entry.path).split("/"))
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _without_splits(paths: Sequence[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the split of each path, "" for none, and its folders below the split and what all share."""
    shared, rest = _without_shared(paths)
    split = next((found for part in reversed(shared) if (found := split_of(part))), "")
    if split or not rest:
        return [split] * len(rest), rest
    for at in (0, -1):  # train/cat, or cat/train
        if all(path and split_of(path[at]) for path in rest):
            splits = [split_of(path[at]) for path in rest]
            inner = [path[1:] if at == 0 else path[:-1] for path in rest]
            return splits, _without_shared(inner)[1]
    return [""] * len(rest), rest


def _without_shared(paths: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the folders that all paths begin with, and the paths without them."""
    if not paths:
        return (), []
    low, high = min(paths), max(paths)
    count = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:count], [path[count:] for path in paths]


def _why_not(
    pictures: Sequence[Entry],
    paths: Sequence[tuple[str, ...]],
    below: Sequence[tuple[str, ...]],
    *,
    described: bool,
) -> str:
    """Return why the last of the folders `below` are no labels, "" where they are; `paths` are whole."""
    if described:
        return "a table says what the pictures are"
    if len({len(path) for path in below}) > 1:
        return "the pictures do not lie equally deep in folders"
    names = Counter(path[-1] for path in below)
    odd = [name for name in names if _says_nothing(name)]
    if any(split_of(part) for path in below for part in path[:-1]) or all(map(_is_day_of, paths)):
        odd = [*names]
    if 2 * len(odd) >= len(names):
        return f"they are called like dates, cameras, splits or places to keep files ({', '.join(odd[:3])})"
    stems = zip((posixpath.basename(entry.path).lower() for entry in pictures), below, strict=True)
    if all(_SHARD.fullmatch(path[-1].lower()) and stem.startswith(path[-1].lower()) for stem, path in stems):
        return "the names of the pictures begin with them, as those of shards do"
    if len(names) > _MANY_FOLDERS and 2 * len(names) > len(pictures):
        return "most of them hold a single picture"
    return ""


def _says_nothing(name: str) -> bool:
    return bool(name.lower() in _PLAIN or split_of(name) or _DATE.fullmatch(name) or _CAMERA.fullmatch(name))


def _is_day_of(path: tuple[str, ...]) -> bool:
    """Tell whether a path ends in the number of a month or a day, in folders of a year."""
    return bool(path) and path[-1].isdecimal() and any(map(_DATE.fullmatch, path[:-1]))


def _label(folder: str) -> str:
    return clean_text(folder)[:MAX_LABEL_CHARS]


def _told(what: str, found: Mapping[Key, str]) -> list[str]:
    counts = Counter(found.values())
    if not counts:
        return []
    shown = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items())[:_SHOWN])
    more = f" and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    return [f"{what}: {shown}{more}."]
