"""What a search is limited to: labels, columns and copies, chosen in a popover, in the address, and as chips.

The address and the command line write a condition alike: `where=width_px>=1000`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.errors import QueryError
from pages.ui import resources
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.storage.chroma import CollectionInfo
    from engine.storage.conditions import Kind
    from engine.types import Condition
    from engine.workspace import Workspace

WHERE = "where"
SHOWN, RELEVANCE = "off", "relevance"
COPIES = (SHOWN, "exact", "0.99", "0.97", "0.95", "0.9")
_LISTED = 500  # different values up to which they are listed; of more a part is typed
_ROUND = "where_round"
_SECONDS = "start_seconds"


def fields(workspace: Workspace, info: CollectionInfo) -> tuple[str, ...]:
    """Draw what goes into the popover of filters; returns the labels of which an item has any."""
    labels = st.multiselect(
        "With any of these labels",
        resources.labels_of(workspace, info.name, info.total),
        key="labels",
        bind="query-params",
        placeholder="any",
    )
    st.selectbox(
        "Hide copies of better hits",
        COPIES,
        key="copies",
        bind="query-params",
        accept_new_options=True,
        help="exact hides what has the same vector as a better hit; a number, what has that cosine with one "
        "or more. How many are hidden is said, and they can be looked at.",
    )
    kinds = offered(workspace, info.name)
    column = st.selectbox(
        "Column", [*kinds], index=None, key="where_column", placeholder="choose one to filter by"
    )
    if column:
        _values(workspace, info.name, column, kinds[column])
    return tuple(labels)


def offered(workspace: Workspace, collection: str) -> dict[str, Kind]:
    """Return the columns to choose from: seconds from the start only where they tell items apart."""
    matching = workspace.folder.matching
    kinds = dict(matching.kinds(collection))
    if len(matching.said(collection, _SECONDS)) < 2:
        del kinds[_SECONDS]
    return kinds


def conditions(workspace: Workspace, collection: str) -> tuple[Condition, ...]:
    """Draw the conditions of the address as chips that can be taken off; stops at one that is wrong."""
    from engine.storage.conditions import read_conditions

    written = st.query_params.get_all(WHERE)
    if not written:
        return ()
    try:
        found = read_conditions(written, workspace.folder.matching.kinds(collection))
    except QueryError as error:
        say_error(str(error))
        _chips(written)
        st.stop()
    _chips(written)
    return found


def copies() -> float | None:
    """Return the cosine from which on copies are hidden, or None; stops the page where it is none."""
    from engine.search.copies import copy_cosine

    chosen = st.session_state.get("copies") or SHOWN
    try:
        return None if chosen == SHOWN else copy_cosine(chosen)
    except QueryError as error:
        say_error(str(error))
        st.stop()


def order_warning(kinds: Mapping[str, Kind]) -> str:
    """Return in words that the order an address asks for cannot be had, or ""."""
    asked = st.query_params.get("sort", "")
    if not asked or asked in _orders(kinds):
        return ""
    return plain(f"The order {asked[:60]!r} in this address is of no column here: by relevance.")


def sort_box(kinds: Mapping[str, Kind]) -> tuple[str | None, bool]:
    """Draw the choice of the order; returns the column, None for relevance, and whether it descends."""
    chosen = st.selectbox(
        "Sort by",
        _orders(kinds),
        key="sort",
        bind="query-params",
        help="The order of the hits that were found; which ones were found stays the same.",
    )
    return (None, False) if chosen == RELEVANCE else (chosen[:-2], chosen.endswith("↓"))


def _orders(kinds: Mapping[str, Kind]) -> list[str]:
    return [RELEVANCE, *(f"{name} {way}" for name in kinds for way in "↑↓")]


def _chips(written: Sequence[str]) -> None:
    with st.container(horizontal=True, gap="xsmall", key="where_chips"):
        for number, one in enumerate(written):
            st.button(
                plain(one[:80]),
                key=f"where_{number}",
                icon=":material/close:",
                on_click=partial(_keep, [other for other in written if other != one]),
                help="Take this filter off",
            )
        st.button("Clear filters", key="where_clear", type="tertiary", on_click=partial(_keep, []))


def _keep(written: Sequence[str]) -> None:
    if written:
        st.query_params[WHERE] = list(written)
    else:
        st.query_params.pop(WHERE, None)


def _values(workspace: Workspace, collection: str, column: str, kind: Kind) -> None:
    """Draw where the values of a column are chosen, and the button that adds them to the filters."""
    key = f"where_{st.session_state.get(_ROUND, 0)}_{column}"
    if kind == "number":
        chosen = _range(partial(st.number_input, value=None, format="%g"), column, key)
    elif kind == "date":
        chosen = _range(partial(st.date_input, value=None, min_value="1826-01-01"), column, key)
    else:
        chosen = _one_of(workspace, collection, column, key)
    st.button(
        "Add the filter",
        key="where_add",
        type="primary",
        disabled=not chosen,
        on_click=partial(_add, chosen),
        icon=":material/add:",
    )


def _range(draw: Callable[..., Any], column: str, key: str) -> list[str]:
    with st.container(horizontal=True):
        low = draw("From", key=f"{key}_from", width=150)
        high = draw("To", key=f"{key}_to", width=150)
    if low is not None and high is not None and low > high:
        st.warning("From is beyond To: nothing can be in this range.", icon=":material/rule:")
        return []
    bounds = ((">=", low), ("<=", high))
    written = [(operator, _written(value)) for operator, value in bounds if value is not None]
    return [f"{column}{operator}{value}" for operator, value in written]


def _written(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _one_of(workspace: Workspace, collection: str, column: str, key: str) -> list[str]:
    said = workspace.folder.matching.said(collection, column)
    if len(said) > _LISTED:
        part = st.text_input(f"A part of one of {len(said):,} values", key=f"{key}_part", max_chars=200)
        return [f"{column}~{part.strip()}"] if part and part.strip() else []
    count = dict(said)
    chosen = st.multiselect(
        "Any of these values",
        [*count],
        format_func=lambda value: f"{value[:60]} ({count[value]:,})",  # options are no Markdown
        key=f"{key}_values",
        placeholder="any" if said else "no item says anything here",
    )
    return [f"{column}={value}" for value in chosen]


def _add(chosen: Sequence[str]) -> None:
    st.query_params[WHERE] = list(dict.fromkeys([*st.query_params.get_all(WHERE), *chosen]))
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
    st.session_state.where_column = None
