"""Items as the rows of a data set: a file with all its captions, or a text of its own; writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePath

from engine.datasets.columns import NAME_COLUMN, Choices, recognised
from engine.datasets.entries import LeftOut
from engine.media.formats import suffix_of
from engine.media.metadata import as_kind, file_name
from engine.storage.captions import Caption
from engine.text import clean_name
from engine.types import Item, Metadata

OWN_COLUMNS = ("file_name", "image", "captions", "labels", "text", NAME_COLUMN)
# By one of these words in any path the datasets library takes what it finds for a split, and leaves the rest.
_SPLIT_WORDS = {
    *("train", "training", "validation", "valid", "dev", "val"),
    *("test", "testing", "eval", "evaluation"),
}
_SLUG_CHARS = 40
_EXAMPLES = 5


@dataclass(frozen=True)
class DatasetRow:
    """One row of a data set: a file, by `media` and `mime`, or a text of its own, by its bytes in `text`."""

    name: str
    captions: tuple[str, ...]
    labels: tuple[str, ...]
    metadata: Metadata
    media: str = ""
    mime: str = ""
    text: bytes = b""


@dataclass
class Tally:
    """Counts what an export writes, and what it does not: by reason, with a few names."""

    files: int = 0
    captions: int = 0
    texts: int = 0
    own_words: int = 0  # captions whose labels or metadata are not those of their picture
    _left: dict[str, list[str]] = field(default_factory=dict)

    def leave(self, reason: str, name: str) -> None:
        """Count a file that is left out."""
        self._left.setdefault(reason, []).append(name)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what was left out, by reason."""
        return tuple(
            LeftOut(reason, len(names), tuple(names[:_EXAMPLES])) for reason, names in self._left.items()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Say in words what is written in another form than it is kept."""
        if not self.own_words:
            return ()
        what = "1 caption has" if self.own_words == 1 else f"{self.own_words:,} captions have"
        return (f"{what} labels or columns of their own; written are those of the picture.",)


def media_rows(
    items: Iterable[Item], captions: Mapping[str, Sequence[Caption]], tally: Tally
) -> Iterator[tuple[Item, DatasetRow]]:
    """Yield a row for every file that items are of, with its captions in order, and the first of its items.

    captions are by the items' pair. An item without a stored file is left out, and counted.
    """
    seen: set[str] = set()
    for item in items:
        if item.media is None:
            tally.leave("Only the vector was imported, without the file", item.name)
        elif item.media not in seen:  # the parts of one file have it in common
            seen.add(item.media)
            told = captions.get(item.pair, ())
            texts = dict.fromkeys(filter(None, (item.caption, *(one.text for one in told))))
            tally.own_words += sum((one.labels, one.metadata) != (item.labels, item.metadata) for one in told)
            row = DatasetRow(item.name, tuple(texts), item.labels, item.metadata, item.media, item.mime)
            yield item, row


def text_rows(items: Iterable[Item], written: set[str]) -> Iterator[DatasetRow]:
    """Yield a row for every text that is no caption of what was written, by the pairs of that."""
    for item in items:
        if item.pair == item.id or item.pair not in written:
            yield DatasetRow(item.name, (), item.labels, item.metadata, text=_bytes_of(item))


def _bytes_of(item: Item) -> bytes:
    """Return a text as its file was, as far as that can be told: an id is the hash of the file's bytes."""
    windows = item.caption.replace("\n", "\r\n")
    forms = (item.caption, f"{item.caption}\n", windows, f"{windows}\r\n")
    for form in (*forms, *(f"\ufeff{one}" for one in forms)):
        if sha256(form.encode()).hexdigest() == item.id:
            return form.encode()
    return item.caption.encode()


def path_of(number: int, row: DatasetRow) -> str:
    """Return what the file of a row, from 1, is called: numbered, with a readable part of its name.

    Raises UnknownFormatError for a file of no known kind.
    """
    words = re.findall(r"[A-Za-z0-9]+", PurePath(clean_name(row.name)).stem)
    letters = re.findall(r"[a-z]+", " ".join(words).lower())
    slug = "" if _SPLIT_WORDS.intersection(letters) else "-".join(words)[:_SLUG_CHARS].strip("-")
    stem = f"{number:06d}-{slug}" if slug else f"{number:06d}"
    return f"{stem}{suffix_of(row.mime)}" if row.media else f"texts/{stem}.txt"


def column_names(kinds: Iterable[str]) -> dict[str, str]:
    """Return what columns of metadata are called in a data set, so that they come back as what they are.

    One that would be taken for a caption or a label gets our prefix, as one that is called like our own.
    """
    return {name: file_name(name, OWN_COLUMNS if not _means_more(name) else (name,)) for name in kinds}


def cells(row: DatasetRow, kinds: Mapping[str, str], names: Mapping[str, str]) -> dict[str, object]:
    """Return the other columns of a row: every one of them, None where it says nothing."""
    said = dict(row.metadata)
    return {names[name]: as_kind(said.get(name), kind) for name, kind in kinds.items()}


def _means_more(name: str) -> bool:
    uses = recognised([name], Choices())
    return bool(uses.captions or uses.labels)
