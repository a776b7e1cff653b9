"""What an address may ask of a view, and in words what of it cannot be; widgets take their defaults there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.report.view_file import Setting


@dataclass(frozen=True)
class Controls:
    """The controls of a view by their names in an address, and what they may be where that is fixed.

    Of those in `many` several may be chosen; what is in neither table is any words.
    """

    names: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    many: tuple[str, ...] = ()

    def fitting(self, name: str, value: Setting) -> Setting | None:
        """Return a value of a file as its control takes it, None where it cannot be."""
        if name in self.ranges:
            low, high = self.ranges[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return type(low)(value) if number and low <= value <= high else None  # type: ignore[arg-type,operator]
        if name not in self.one_of:
            return value if isinstance(value, list if name in self.many else str) else None
        if name in self.many:
            chosen = isinstance(value, list) and set(value) <= set(self.one_of[name])
            return value if chosen else None
        return value if _spelled(value) in self.one_of[name] else None


def _spelled(value: Setting) -> str:
    """Return a value as an address writes it, and words that a control has as a number in quotes."""
    if isinstance(value, str):
        return repr(value) if value in ("true", "false") or value.replace(".", "").isdigit() else value
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def say_refused(ranges: Mapping[str, tuple[float, float]], one_of: Mapping[str, Sequence[str]]) -> None:
    """Say what the address asks for and cannot be."""
    for words in refused(st.query_params.to_dict(), ranges, one_of):
        st.warning(plain(words))


def refused(
    address: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]],
    one_of: Mapping[str, Sequence[str]],
) -> list[str]:
    """Return a sentence for each value of an address that is not in its range or not one of its list."""
    found = [
        f"The address asks for {name} {address[name]!r}; it can be {', '.join(allowed)}."
        for name, allowed in one_of.items()
        if name in address and address[name] not in allowed
    ]
    for name, (low, high) in ranges.items():
        if name in address and not _within(address[name], low, high):
            found.append(f"The address asks for {name} {address[name]!r}; it can be {low:,} to {high:,}.")
    return found


def _within(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
