"""Keeping what two towers make as a collection, which the other pages ask like any other; a job does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from pages.ui import frame
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.analysis.two_towers import TowerSettings
    from engine.jobs.queue import Jobs

_KEPT = "towers_kept"  # in the session: the name that a job was begun for


def draw(jobs: Jobs, collection: str, settings: TowerSettings) -> None:
    """Offer to keep the towers and what they make; the source stays as it is."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Keep as a collection",
            value=f"{collection}-{settings.start}-{settings.temperature:g}",
            key=f"towers_name_{collection}_{settings.start}_{settings.temperature:g}",
            max_chars=400,
            width=280,
            help="The vectors of all items with their media, and both heads as a model, so that words and "
            "pictures can be asked in that space: in Search, on the Map and in Evaluate.",
        )
        if st.button("Keep", key="towers_keep", icon=":material/save:"):
            try:
                jobs.train_towers(collection, settings, name or "")
            except GapscopeError as error:
                say_error(str(error))
                return
            st.session_state[_KEPT] = name
    if kept := st.session_state.get(_KEPT):
        st.page_link(
            frame.LIBRARY,
            label=plain(f"See how far the new collection is: {kept}"),
            icon=":material/photo_library:",
            query_params={"browse": kept},
        )
