"""Finds the file that a table means by a name, whatever form the name was written in; reads no file."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from engine.datasets.entries import Entry
from engine.text import clean_text

SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
_MOST_COMPARED = 200  # files that share a base name: a hundred thousand rows each compare them all
_SHOWN = 3


@dataclass(frozen=True)
class Ambiguous:
    """A name that several files may be meant by, none more likely: how many, and a few of their paths."""

    count: int
    paths: tuple[str, ...]


class Names:
    """The entries of a listing by every name they may be called by.

    A member of `images.zip` is found from outside it as `a.jpg`, `images/a.jpg` and `images.zip/a.jpg`,
    relative to the folder in which the zip lies.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._places: dict[int, dict[tuple[str, str], list[Entry]]] = {}
        self._base: dict[str, list[Entry]] = defaultdict(list)
        self._folders: set[str] = set()
        self._differing: list[str] = []
        for entry in self._entries:
            folder, base = posixpath.split(entry.path)
            self._base[_caseless(base)].append(entry)
            self._folders.update(map(_caseless, folder.split("/")))

    def find(self, given: str, folder: str = "", within: str = "") -> Entry | Ambiguous | None:
        """Return the file that a table means by a name.

        `folder` is where the table lies and `within` the archive that holds it. Tried in turn, relative to
        its folder and to the root: the name as it is, in another Unicode form or case of the extension, in
        another case; then the base name, where one file has it, or one fits more of the folders named.
        Folders that contradict each other are only overlooked where nothing in the listing is called like
        the folder named and the two name no two splits (`train/1.jpg` is never `test/1.jpg`).
        """
        name = plain_path(given)
        if not name:
            return None
        places = [(within, place) for place in _from(folder, name)]
        if within:
            places += [("", place) for place in _from(posixpath.dirname(within), name)]
        for number, form in enumerate(_FORMS):
            known = self._in_form(number)
            for scope, place in places:
                if found := known.get((scope, form(place))):
                    return self._one_of(found, within)
        return self._by_base_name(name, within)

    def _in_form(self, number: int) -> dict[tuple[str, str], list[Entry]]:
        """Return the entries by scope and path in one of the forms, made when it is first wanted."""
        if number not in self._places:
            places = self._places[number] = defaultdict(list)
            for entry in self._entries:
                for scope, path in dict.fromkeys(_callable_as(entry)):
                    places[scope, _FORMS[number](path)].append(entry)
        return self._places[number]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which names were matched until now although their folders differ."""
        if not self._differing:
            return ()
        count, some = len(self._differing), ", ".join(self._differing[:_SHOWN])
        return (f"{count:,} matched by the file's own name, though the folders differ: {some}.",)

    def _one_of(self, found: list[Entry], within: str) -> Entry | Ambiguous:
        near = [entry for entry in found if entry.within == within] or found
        if len(near) == 1:
            return near[0]
        return Ambiguous(len(near), tuple(_shown(entry) for entry in near[:_SHOWN]))

    def _by_base_name(self, name: str, within: str) -> Entry | Ambiguous | None:
        found = self._base.get(_caseless(posixpath.basename(name)), [])
        if len(found) > _MOST_COMPARED:
            return Ambiguous(len(found), tuple(_shown(entry) for entry in found[:_SHOWN]))
        wanted = _parts(name)
        shared = [(_shared(wanted, _parts(_shown(entry))), entry) for entry in found]
        most = max((count for count, _ in shared), default=0)
        best = [entry for count, entry in shared if count == most]
        one = self._one_of(best, within) if best else None
        if isinstance(one, Entry) and most < min(len(wanted), len(_parts(one.path))):
            if self._contradicts(wanted[most:], _parts(one.path)[most:]):
                return None
            self._differing.append(clean_text(f"{name} is {_shown(one)}"))
        return one

    def _contradicts(self, wanted: list[str], found: list[str]) -> bool:
        """Tell whether two paths, of which these are the folders that differ, cannot mean the same file."""
        return wanted[0] in self._folders or bool(SPLITS.intersection(wanted) and SPLITS.intersection(found))


def plain_path(path: str) -> str:
    """Return a path as entries have it: "/" between its parts, and no `.` or inner `..` among them."""
    name = posixpath.normpath(path.strip().replace("\\", "/")).lstrip("/") if path.strip() else ""
    return "" if name in (".", "..") else name


def _callable_as(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield the scopes (an archive, or "" outside) in which an entry has a path, with that path."""
    path = plain_path(entry.path)
    yield entry.within, path
    if entry.within:
        folder, archive = posixpath.split(plain_path(entry.within))
        for inner in ("", archive.split(".", 1)[0], archive):
            yield "", posixpath.join(folder, inner, path)


def _from(folder: str, name: str) -> dict[str, None]:
    return dict.fromkeys((posixpath.normpath(posixpath.join(folder, name)), name))


def _shown(entry: Entry) -> str:
    return posixpath.join(entry.within, entry.path)


def _parts(path: str) -> list[str]:
    """Return the parts of a path from its end, in one form."""
    return _caseless(path).split("/")[::-1]


def _shared(one: list[str], other: list[str]) -> int:
    """Count the parts that two paths have in common, from their ends."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _as_it_is(path: str) -> str:
    return path


def _one_form(path: str) -> str:
    """Return a path in NFC with its extension in small letters."""
    stem, suffix = posixpath.splitext(path if path.isascii() else unicodedata.normalize("NFC", path))
    return stem + suffix.lower()


def _caseless(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


_FORMS: tuple[Callable[[str], str], ...] = (_as_it_is, _one_form, _caseless)
