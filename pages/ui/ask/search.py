"""Asking from the Search page: the collection's model first, and the way out where it cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import (
    CollectionModelError,
    GapscopeError,
    ImportedVectorsError,
    ModelError,
    NotDownloadedError,
)
from engine.models.catalog import DEFAULT_MODEL
from pages.ui import frame, resources
from pages.ui.models import picker
from pages.ui.wording import say_error

if TYPE_CHECKING:
    from engine.search.search import Query
    from engine.storage.chroma import CollectionInfo
    from engine.types import Balance, Filters, SearchTrace
    from engine.workspace import Workspace


def need_model(workspace: Workspace, info: CollectionInfo) -> None:
    """Load the model that made a collection, or stop the page with its progress or its error.

    Pocket is not waited for here: it loads in a second, within the search.
    """
    from engine.models.base import ModelChoice

    try:
        choice = ModelChoice.of(info.made_by).weights
    except ImportedVectorsError as error:  # nothing to download or to load
        say_error(str(error))
        st.stop()
    if choice.id == DEFAULT_MODEL:
        return
    try:
        here = workspace.models.loader.resolve(choice).weights  # a folder may hold something else by now
    except ModelError as error:
        say_error(str(error))
        _ways_out(info.name, error)
        st.stop()
    if not picker.ensure_loaded(workspace, here, key="search", at_once=True):
        if workspace.models.loads.error(here):
            _ways_out(info.name)
        st.stop()


def ask(
    workspace: Workspace,
    query: Query,
    collection: str,
    k: int,
    filters: Filters,
    balance: Balance | None,
    copies: float | None = None,
) -> SearchTrace:
    """Search, or stop the page with what is wrong with the model and the ways out."""
    measured = "how the kinds crowd each other" if balance else "how unrelated questions score here"
    try:
        with st.spinner(f"Asking; the first question after a change also measures {measured} …"):
            return workspace.search(
                query, collection=collection, k=k, filters=filters, balance=balance, copies=copies
            )
    except (ModelError, CollectionModelError) as error:
        say_error(str(error))
        _ways_out(collection, error)
        st.stop()


def _ways_out(collection: str, error: GapscopeError | None = None) -> None:
    with st.container(horizontal=True):
        if isinstance(error, NotDownloadedError):
            label = (
                "Download it" if error.revision is None else f"Download its revision {error.revision[:12]}"
            )
            if st.button(label, key="to_download", icon=":material/download:"):
                resources.opened()[0].models.downloads.start(error.model, error.revision)
                st.switch_page(frame.MODELS)
        if st.button("Re-embed this collection", key="to_remake", icon=":material/autorenew:"):
            st.switch_page(frame.LIBRARY, query_params={"browse": collection, "remake": "yes"})
        st.page_link(frame.MODELS, label="Open Models", icon=":material/deployed_code:")
