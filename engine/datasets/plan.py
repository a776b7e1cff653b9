"""What is understood of what was given: the layout, which file has which captions, labels and columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from engine.datasets.beir import read_beir
from engine.datasets.columns import Choices, Said, Use
from engine.datasets.doubtful import doubts
from engine.datasets.entries import Entry, LeftOut, Listing
from engine.datasets.finder import Finder
from engine.datasets.folders import Key, read_folders, together
from engine.datasets.same_names import BesideReader, beside_pictures, is_picture
from engine.datasets.table_formats import may_be_table
from engine.datasets.table_reading import Reading, may_be_list
from engine.datasets.tables import Inside
from engine.errors import MediaError
from engine.media.sources import Source
from engine.text import clean_name, clean_path, clean_text
from engine.types import Failure

SAMPLE_ROWS = 10
_BESIDE = "files beside pictures"
_LISTS = (".txt", ".token")  # Flickr's lists of captions are called so, as notes are


@dataclass(frozen=True)
class Column:
    """A column of the tables: what it is used as, in which tables it stands, and something it holds."""

    name: str
    use: Use
    tables: tuple[str, ...]
    example: str = ""


@dataclass(frozen=True)
class Plan:
    """What was understood of a listing, before anything is read of the media.

    `layouts` say in a sentence each what was recognised and how it is used, `columns` what stands in
    tables, `notes` what was guessed or cut. `left_out` is not taken on purpose, `failed` could not be.
    """

    sources: tuple[Source, ...] = field(repr=False)
    layouts: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def files(self) -> int:
        """Return how many files would be taken in."""
        return len(self.sources)

    @property
    def captions(self) -> int:
        """Return how many captions they have together."""
        return sum(len(source.captions) for source in self.sources)

    @property
    def labelled(self) -> int:
        """Return how many of them have a label."""
        return sum(bool(source.labels) for source in self.sources)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, sorted, each once."""
        return tuple(sorted({label for source in self.sources for label in source.labels}))

    @property
    def sample(self) -> tuple[Source, ...]:
        """Return ten sources with what is said of them, spread over all."""
        places = dict.fromkeys(row * len(self.sources) // SAMPLE_ROWS for row in range(SAMPLE_ROWS))
        return tuple(self.sources[place] for place in places) if self.sources else ()


def understand(listing: Listing, columns: Choices | None = None, *, max_file_bytes: int) -> Plan:
    """Understand a listing: which of its files say something of others, and what.

    `columns` are what a person chose by hand; everything else is recognised. Reads tables and the texts
    beside pictures, and no media. A source's `read` raises TooLargeError beyond `max_file_bytes`.
    """
    return _Understanding(listing, columns or Choices(), max_file_bytes).plan()


class _Understanding:
    """One listing while it is understood, step by step: texts beside pictures, tables, folders, names."""

    def __init__(self, listing: Listing, choices: Choices, max_file_bytes: int) -> None:
        self._listing, self._choices, self._limit = listing, choices, max_file_bytes
        self._reading = Reading()
        self._said: dict[Key, Said] = {}
        self._layouts: list[str] = []

    def plan(self) -> Plan:
        """Return what was understood."""
        beir = read_beir(self._listing.entries)
        entries = self._without_beside(list(beir.rest))
        entries = self._without_tables(entries)
        described = set(self._reading.said)
        for key, said in self._said.items():
            before = self._reading.said.get(key)
            self._said[key] = before + said if before else said
        self._said = {**self._reading.said, **self._said}
        with_folders = self._read_folders([one for one in entries if is_picture(one.path)], described)
        sources = self._sources(entries, with_folders)
        reading = self._reading
        reading.notes += self._unknown_columns() + doubts(entries)
        return Plan(
            beir.sources + sources,
            (*beir.layouts, *reading.layouts, *self._layouts),
            tuple(
                Column(name, use, tuple(tables), reading.examples.get(name, ""))
                for (name, use), tables in reading.uses.items()
            ),
            self._listing.notes + beir.notes + tuple(reading.notes),
            self._listing.left_out + beir.left_out + reading.left.left_out,
            beir.failed + tuple(reading.failed) + self._listing.failed,
        )

    def _unknown_columns(self) -> list[str]:
        """Say which of the chosen columns are nowhere."""
        one = self._choices
        chosen = (one.file, one.split, *(one.captions or ()), *(one.labels or ()), *one.left_out)
        there = {name for name, _ in self._reading.uses}
        unknown = [name for name in chosen if name and clean_text(name) not in there]
        return [f"No table that was used has a column called {clean_text(name)}." for name in unknown]

    def _without_beside(self, entries: list[Entry]) -> list[Entry]:
        """Read what is called like a picture beside it; returns the other entries."""
        if self._choices.same_names is False:
            return entries
        reader, read, captioned = BesideReader(self._choices), set(), set()
        for beside in beside_pictures(entries):
            key = (beside.entry.within, beside.entry.path)
            read.add(key)
            try:
                said = reader.read(beside)
            except MediaError as error:
                self._reading.failed.append(Failure(clean_name(beside.entry.path), error.reason))
                continue
            if isinstance(said, str):
                self._reading.left.add(said, clean_name(beside.entry.path))
                continue
            for picture in beside.pictures:
                owner = (picture.within, picture.path)
                self._said[owner] = self._said.get(owner, Said()) + said
                captioned.add(owner)
        self._reading.failed += reader.problems.failures(_BESIDE)
        self._reading.notes += reader.problems.notes(_BESIDE)
        for column, use in reader.uses.items():
            self._reading.uses.setdefault((clean_text(column), use), []).append(_BESIDE)
        if captioned:
            have = "picture has" if len(captioned) == 1 else "pictures have"
            self._layouts.append(
                f"{len(captioned):,} {have} files of the same name beside them, which say what they show: "
                "captions (.txt, .caption), columns (.json), a class (.cls)."
            )
        return [one for one in entries if (one.within, one.path) not in read]

    def _without_tables(self, entries: list[Entry]) -> list[Entry]:
        """Read the tables; returns the other entries."""
        tables = [one for one in entries if may_be_table(one.path)]
        others = [one for one in entries if not may_be_table(one.path)]
        texts = [one for one in others if one.path.lower().endswith(_LISTS)]
        if not tables and len(texts) in (0, len(others)):
            return others
        finder = Finder(others)
        for entry in tables:
            self._reading.read(entry, finder, self._choices)
        lists = set()
        if len(texts) < len(others):
            for entry in may_be_list(texts):
                if self._reading.read_text(entry, finder, self._choices):
                    lists.add((entry.within, entry.path))
        self._reading.notes += finder.notes
        return [one for one in others if (one.within, one.path) not in lists]

    def _read_folders(self, pictures: list[Entry], described: set[Key]) -> set[Key]:
        """Add what folders say; returns the pictures that are to be shown with their folders."""
        groups: dict[str, list[Entry]] = {}
        for one in pictures:
            groups.setdefault(together(one), []).append(one)
        shown: set[Key] = set()
        for group in groups.values():
            found = read_folders(
                group,
                wanted=self._choices.folder_labels,
                described=any((one.within, one.path) in described for one in group),
            )
            self._layouts += found.words
            if found.why_not:
                self._reading.notes.append(f"Folders are not taken as labels: {found.why_not}.")
            for key in found.labels.keys() | found.splits.keys():
                split = (("split", found.splits[key]),) if key in found.splits else ()
                label = (found.labels[key],) if found.labels.get(key) else ()
                self._said[key] = self._said.get(key, Said()) + Said((), label, split)
                shown.add(key)
        return shown

    def _sources(self, entries: list[Entry], with_folders: set[Key]) -> tuple[Source, ...]:
        bases = Counter(clean_name(one.path) for one in entries)
        paths = Counter(one.path for one in entries)
        found = []
        for one in entries:
            key, name = (one.within, one.path), clean_name(one.path)
            if key in with_folders or bases[name] > 1:
                name = clean_path(one.path if paths[one.path] == 1 else f"{one.within}/{one.path}")
            found.append(self._source(name, one, self._said.get(key, Said())))
        for inside, said in self._reading.inside:
            found.append(self._source(clean_path(inside.name), inside, said))
        return tuple(found)

    def _source(self, name: str, given: Entry | Inside, said: Said) -> Source:
        name, read = clean_path(said.name) if said.name else name, partial(given.read, self._limit)
        return Source(name, read, said.captions, said.labels, said.metadata, given.size_bytes)
