"""What is wrong with the rows of a table, counted by kind: one line a kind, however many rows there are."""

from __future__ import annotations

from engine.datasets.cells import CUT, CUT_LABEL, MORE_CELLS
from engine.text import clean_name
from engine.types import Failure

TAKEN = (CUT, CUT_LABEL, MORE_CELLS)
_SHOWN_LINES = 5
_SHOWN_NAMES = 3


class Problems:
    """Counts what is wrong with the rows of one table; `unit` is what its rows are called, "" if nothing."""

    def __init__(self, unit: str = "") -> None:
        self._unit = unit
        self._lines: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}
        self._names: dict[str, dict[str, None]] = {}

    def add(self, kind: str, line: int = 0, name: str = "") -> None:
        """Count a problem of this kind in a line (from 1), with the name of the file it is about."""
        lines = self._lines.setdefault(kind, [])
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(lines) < _SHOWN_LINES:
            lines.append(line)
        names = self._names.setdefault(kind, {})
        if name and len(names) < _SHOWN_NAMES:
            names[clean_name(name)] = None

    def failures(self, table: str) -> list[Failure]:
        """Return a Failure for each kind of problem: how many rows, the first of them, a few names."""
        return [Failure(table, self._sentence(kind)) for kind in self._counts if kind not in TAKEN]

    def notes(self, table: str) -> list[str]:
        """Return a sentence for each kind of what was taken, but not whole."""
        return [f"{table}: {self._sentence(kind)}" for kind in self._counts if kind in TAKEN]

    def _sentence(self, kind: str) -> str:
        count, lines, names = self._counts[kind], self._lines[kind], ", ".join(self._names[kind])
        about = f": {names}" if names else ""
        if not self._unit:
            return f"{kind} ({count:,}){about}."
        if count == 1:
            return f"{self._unit} {lines[0]}: {kind}{about}."
        more = f" and {count - len(lines):,} more" if count > len(lines) else ""
        return f"{count:,} {self._unit.lower()}s ({', '.join(map(str, lines))}{more}): {kind}{about}."
