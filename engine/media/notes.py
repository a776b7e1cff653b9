"""What must be said of files that were taken, though not just as they are: counted by kind for a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.types import Noted

# kind -> what is said of one file, and of more; their number comes first, and their names after it.
_WORDS = {
    "flat": ("picture is one flat colour", "pictures are one flat colour"),
    "frame": (
        "animation begins with one flat colour: a later frame was taken",
        "animations begin with one flat colour: a later frame was taken",
    ),
    "ground": (
        "picture is drawn in white on transparency: it was put on black",
        "pictures are drawn in white on transparency: they were put on black",
    ),
    "depth": (
        "picture of 16 bits uses fewer of them: it was made brighter by that",
        "pictures of 16 bits use fewer of them: they were made brighter by that",
    ),
    "strip": (
        "picture is so long and narrow that models are shown its middle only",
        "pictures are so long and narrow that models are shown their middle only",
    ),
    "cut": (
        "JPEG is cut short: its last rows are missing",
        "JPEGs are cut short: their last rows are missing",
    ),
    "tail": (
        "file goes on after the end of its picture: what follows is not kept",
        "files go on after the end of their picture: what follows is not kept",
    ),
    "long": (
        "text is long: only its beginning was taken",
        "texts are long: only their beginning was taken",
    ),
    "warned": ("file made its decoder warn", "files made their decoder warn"),
    "same": (
        "file is the same as another of these and was taken once",
        "files are the same as others of these and were taken once",
    ),
    "copy": (
        "file has the bytes of another: its labels and columns were added to that one",
        "files have the bytes of others: their labels and columns were added to those",
    ),
    "known": (
        "file is stored already with other labels or columns: those were left as they are",
        "files are stored already with other labels or columns: those were left as they are",
    ),
}
_NAMED = 8  # files that a sentence names
_DETAIL_CHARS = 160


class Tally:
    """Counts the notes of many files by kind, and remembers the first names of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._named: dict[str, list[str]] = {}

    def add(self, name: str, notes: Iterable[Noted]) -> None:
        """Take in what is to be said of a file."""
        for kind, detail in notes:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            named = self._named.setdefault(kind, [])
            if len(named) < _NAMED:
                named.append(f"{name} ({detail[:_DETAIL_CHARS]})" if detail else name)

    def sentences(self) -> Iterator[str]:
        """Yield one sentence per kind: how many, what, and which."""
        for kind in _WORDS:
            if count := self._counts.get(kind, 0):
                one, several = _WORDS[kind]
                more = count - len(self._named[kind])
                names = ", ".join(self._named[kind]) + (f" and {more:,} more" if more else "")
                yield f"{count:,} {one if count == 1 else several}: {names}."
