"""Folders of BEIR and MTEB: the documents of `corpus.jsonl` as sources, under the ids that judgements name.

Its questions and judgements are no documents: `evaluation/judgement_files.py` reads them. The format:
https://github.com/beir-cellar/beir (a line is an object with "_id", "text" and maybe "title" and "metadata").
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from engine.datasets.entries import Entry, LeftOut
from engine.errors import MediaError, UnreadableMediaError
from engine.media.metadata import metadata_of
from engine.media.sources import Source
from engine.text import clean_name
from engine.types import Failure

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
# Of a corpus in an archive all is held, as there is no way to the middle of it; of any other only where the
# documents begin.
MAX_PACKED_BYTES = 200_000_000
_MAX_LINE_BYTES = 10_000_000
_NAMED = 3
_NOT_DOCUMENTS = (
    "Questions and judgements are no documents: take them on the Evaluate page, or with `judgements --qrels`."
)
_EMPTY = "Documents without a word are not taken."


@dataclass(frozen=True)
class Beir:
    """What was found: documents, the entries that are something else, and what there is to tell.

    `layouts` says in a sentence what was recognised; `left_out` is not taken on purpose, `failed` could not
    be.
    """

    sources: tuple[Source, ...] = field(repr=False)
    rest: tuple[Entry, ...] = field(repr=False)
    layouts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed: tuple[Failure, ...] = ()


def read_beir(entries: Iterable[Entry]) -> Beir:
    """Take the documents of every BEIR folder among some entries; `rest` are all others, in their order."""
    kept = tuple(entries)
    corpora = [one for one in kept if posixpath.basename(one.path) == CORPUS and _is_corpus(one)]
    places = {(one.within, posixpath.dirname(one.path)) for one in corpora}
    beside = [one for one in kept if _is_beside(one, places)]
    taken = {id(one) for one in (*corpora, *beside)}
    found = [_Corpus(one) for one in corpora]
    left = [LeftOut(_NOT_DOCUMENTS, len(beside), _names(one.path for one in beside))] if beside else []
    return Beir(
        sources=tuple(source for one in found for source in one.sources),
        rest=tuple(one for one in kept if id(one) not in taken),
        layouts=tuple(one.words for one in found),
        notes=tuple(note for one in found for note in one.notes()),
        left_out=(*left, *(LeftOut(_EMPTY, len(one.empty), _names(one.empty)) for one in found if one.empty)),
        failed=tuple(failure for one in found for failure in one.failures()),
    )


class _Corpus:
    """One corpus.jsonl, read once from its beginning to its end."""

    def __init__(self, entry: Entry) -> None:
        self._entry, self.sources = entry, list[Source]()
        self.empty, self._bad, self._error = list[str](), list[int](), ""
        self._texts: set[bytes] = set()
        self._ids: set[str] = set()
        self._same, self._again = list[str](), list[str]()
        try:
            if entry.within and entry.size_bytes > MAX_PACKED_BYTES:
                raise UnreadableMediaError(
                    f"It has {entry.size_bytes / 1e6:,.0f} MB, and from an archive up to "
                    f"{MAX_PACKED_BYTES / 1e6:,.0f} MB are taken: unpack it and give the folder."
                )
            for number, (start, line) in enumerate(_lines(entry), start=1):
                self._take(number, start, line)
        except MediaError as error:
            self._error = error.reason

    @property
    def words(self) -> str:
        """Say what was recognised."""
        return f"{self._entry.path} is a corpus of BEIR: {len(self.sources):,} documents, known by their ids."

    def notes(self) -> Iterator[str]:
        """Yield what was taken, but not as it stands there."""
        for some, what in ((self._same, "have the same words as another"), (self._again, "have an id twice")):
            if some:
                yield (
                    f"{self._entry.path}: {len(some):,} documents {what} ({', '.join(_names(some))}): of "
                    f"those the first is stored, and judgements that name the others find nothing."
                )

    def failures(self) -> Iterator[Failure]:
        """Yield what could not be read."""
        name = clean_name(self._entry.path)
        if self._error:
            yield Failure(name, self._error)
        if self._bad:
            first = ", ".join(f"{number:,}" for number in self._bad[:_NAMED])
            yield Failure(name, f'{len(self._bad):,} lines ({first} …) are no object with "_id" and "text".')

    def _take(self, number: int, start: int, line: bytes) -> None:
        if not line.strip():
            return
        row = _document(line)
        if row is None:
            self._bad.append(number)
            return
        id_, text = str(row["_id"]).strip(), _text(row)
        if not text:
            self.empty.append(id_)
            return
        digest = blake2b(text, digest_size=16).digest()
        if digest in self._texts or id_ in self._ids:
            (self._again if id_ in self._ids else self._same).append(id_)
            return
        self._texts.add(digest)
        self._ids.add(id_)
        read = partial(bytes, text) if self._entry.within else partial(_read, self._entry, start, len(line))
        self.sources.append(Source(_named(id_), read, metadata=_columns(row), given_id=id_))


def _is_corpus(entry: Entry) -> bool:
    """Tell whether a file begins with a document of BEIR; what cannot be read is for others to name."""
    try:
        first = next((line for _, line in _lines(entry) if line.strip()), b"")
    except MediaError:
        return False
    return _document(first) is not None


def _is_beside(entry: Entry, places: set[tuple[str, str]]) -> bool:
    """Tell whether an entry is the questions or judgements of a corpus in one of these places."""
    folder, name = posixpath.split(entry.path)
    if (entry.within, folder) in places and name == QUERIES:
        return True
    above, last = posixpath.split(folder)
    return last == QRELS and (entry.within, above) in places and name.lower().endswith((".tsv", ".jsonl"))


def _lines(entry: Entry) -> Iterator[tuple[int, bytes]]:
    """Yield where every line begins, in bytes, and the line. Raises MediaError."""
    start = 0
    with closing(entry.open()) as stream:
        readline: Callable[[int], bytes] = stream.readline
        while line := readline(_MAX_LINE_BYTES + 1):
            if len(line) > _MAX_LINE_BYTES:
                raise UnreadableMediaError(f"A line of it is longer than {_MAX_LINE_BYTES / 1e6:.0f} MB.")
            yield start, line
            start += len(line)


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        return None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return None
    id_ = row.get("_id")
    return row if isinstance(id_, str | int) and str(id_).strip() else None


def _text(row: dict[str, Any]) -> bytes:
    """Return what is embedded of a document: its title and its text, as BEIR's own models read them."""
    title = row.get("title")
    parts = (title if isinstance(title, str) else "", row["text"])
    return "\n".join(part.strip() for part in parts if part.strip()).encode("utf-8", "replace")


def _read(entry: Entry, start: int, size: int) -> bytes:
    with closing(entry.open()) as stream:
        stream.seek(start)
        row = _document(stream.read(size))
    if row is None:
        raise UnreadableMediaError(f"{entry.path} has changed since it was looked at.")
    return _text(row)


def _columns(row: dict[str, Any]) -> tuple[tuple[str, str | int | float | bool], ...]:
    nested = row.get("metadata")
    more = nested.items() if isinstance(nested, dict) else ()
    return metadata_of([*((key, row[key]) for key in row if key not in ("_id", "text", "title")), *more])


def _named(id_: str) -> str:
    """Return an id as the name of a text: with an ending of its own it would be taken for another kind."""
    name = clean_name(id_)
    return f"{name}.txt" if posixpath.splitext(name)[1] else name


def _names(some: Iterable[str]) -> tuple[str, ...]:
    return tuple(clean_name(one) for one, _ in zip(some, range(_NAMED), strict=False))
