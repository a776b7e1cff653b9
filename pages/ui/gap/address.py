"""What an address may ask of a view, and in words what of it cannot be; widgets take their defaults there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.ui.wording import plain


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
