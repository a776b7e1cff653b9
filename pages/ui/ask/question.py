"""What Search and Rerank ask with alike: a question, a collection, and the kinds of items to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.search.balance import crowding_words
from engine.types import BALANCES
from pages.ui import frame, glossary
from pages.ui.ask import picture
from pages.ui.jobs import show_jobs
from pages.ui.wording import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.jobs.queue import Jobs
    from engine.storage.chroma import CollectionInfo
    from engine.types import Balance, SearchTrace
    from engine.workspace import Workspace


def need_collections(workspace: Workspace, jobs: Jobs, *, to: str) -> dict[str, CollectionInfo]:
    """Return the collections by name, or stop the page with what to do where all are empty.

    to: what the page is for, as in "to search".
    """
    infos = {info.name: info for info in workspace.store.collections()}
    if any(info.total for info in infos.values()):
        asked_for = st.query_params.get("collection", "")
        if asked_for and asked_for not in infos:
            st.warning("The collection in this address does not exist here; showing another one.")
        return infos
    if jobs.active():
        st.info("The first collection of pictures is being made; you can ask as soon as it has items.")
        show_jobs(jobs)
    else:
        st.info(f"There is nothing to {to} yet: add pictures or texts in the Library.")
        st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
    st.stop()


def question_box(workspace: Workspace) -> str | None:
    """Draw where words are typed or a picture is given; returns the words."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "What are you looking for?",
            key="q",
            bind="query-params",
            placeholder="words, as you would say them: a bee on a flower",
            max_chars=4096,
            icon=":material/search:",
            on_change=_ask_with_words,
        )
        picture.picker(workspace)
    return words


def collection_box(infos: dict[str, CollectionInfo]) -> str:
    """Draw the choice of a collection, the samples first."""
    names = list(infos)
    return st.selectbox(
        "Collection",
        names,
        index=names.index("samples") if "samples" in names else 0,
        key="collection",
        bind="query-params",
        width=190,
        on_change=_forget_similar,
    )


def show_box(kinds: list[str]) -> str:
    """Draw the choice of what is shown, the first of the kinds by default."""
    return st.segmented_control(
        "Show", kinds, default=kinds[0], required=True, key="show", bind="query-params"
    )


def balance_box(*, mixed: bool) -> Balance | None:
    """Draw how kinds are merged; None where one kind is shown, and there is nothing to merge."""
    asked = st.query_params.get("balance", "")
    if asked and asked not in BALANCES:
        allowed = ", ".join(BALANCES)
        st.warning(plain(f"The order {asked[:40]!r} in this address is none of {allowed}; showing raw."))
    chosen = st.selectbox(
        "Order of kinds",
        BALANCES,
        key="balance",
        bind="query-params",
        width=150,
        disabled=not mixed,
        help="With all kinds in one list, those of the question's own kind crowd out the others. centred "
        "takes the mean of each kind away; standardised counts deviations from unrelated items of each kind; "
        "interleaved deals the kinds in turn. Stored vectors stay as they are.",
    )
    return chosen if mixed else None


def notes(trace: SearchTrace, *more: str, said: Sequence[str] = ()) -> None:
    """Draw what is to be known of an answer, the doubt whether it means anything first; not what was said."""
    if trace.doubt and trace.doubt not in said:
        st.info(plain(trace.doubt), icon=":material/help:")
    for note in (*trace.notes, *more):
        if note != trace.doubt and note not in said:
            glossary.caption(note)


def crowding(trace: SearchTrace) -> None:
    """Draw the crowding meter of a mixed list as one line."""
    if trace.crowding:
        glossary.caption(crowding_words(trace.crowding, trace.query_modality))


def _forget_similar() -> None:
    """'More like this' asks with an item of one collection; another one does not have it."""
    st.query_params.pop("like", None)


def _ask_with_words() -> None:
    """A typed question replaces a picture or 'more like this'."""
    for key in ("like", "picture"):
        st.query_params.pop(key, None)
