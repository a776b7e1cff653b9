"""Choosing the rerankers of the Rerank page, having them in memory, and running each once for a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.errors import GapscopeError, ModelError, NotDownloadedError
from engine.models.catalog import CATALOG, DEFAULT_RERANKER
from engine.search.unrelated import MEASURING
from pages.ui import frame, resources
from pages.ui.ask import search
from pages.ui.models import picker, wording
from pages.ui.wording import duration, plain, say_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.evaluation.rank_changes import Comparison
    from engine.models.base import ModelChoice
    from engine.search.search import Query
    from engine.storage.chroma import CollectionInfo
    from engine.types import Balance, Filters, Hit, Reranked, SearchTrace
    from engine.workspace import Workspace

NONE = "None"
_SLOW_SECONDS = 15.0  # what is reranked without asking
_KEPT = 6  # results per visitor: going back and forth between two rerankers asks neither again
_TRACE, _RANKED = "rerank_trace", "rerank_ranked"


def choose(workspace: Workspace) -> list[str]:
    """Draw the choice of one reranker, and of a second to compare with; returns one id or two."""
    ids = _rerankers(workspace)
    box: dict[str, Any] = {
        "bind": "query-params",
        "accept_new_options": True,
        "width": 320,
        "placeholder": "a hub id or a folder",
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox(
            "Reranker", ids, key="reranker", help="Or type a hub id, or a folder on this machine.", **box
        )
        second = st.selectbox(
            "Compare with", [NONE, *ids], key="second", help="A second reranker, in a third column.", **box
        )
    chosen = [(first or DEFAULT_RERANKER).strip() or DEFAULT_RERANKER, (second or NONE).strip()]
    return list(dict.fromkeys(one for one in chosen if one and one != NONE))


def _rerankers(workspace: Workspace) -> list[str]:
    """Return ids: those of this machine, then the rest of the catalog."""
    known = [spec.id for spec in CATALOG.values() if spec.kind == "reranker"]
    return list(dict.fromkeys([*picker.rerankers(workspace), *known]))


def need(workspace: Workspace, id_: str, *, key: str) -> ModelChoice | None:
    """Return a reranker that is in memory, or None with the way there: progress, a button, an error.

    One that an address names, and that this machine does not list, waits for a press of the button.
    Pocket's own is not waited for here: it loads in a second, as it is used.
    """
    from engine.models.base import ModelChoice

    try:
        here = workspace.models.loader.resolve(ModelChoice(id_)).weights
    except ModelError as error:
        say_error(str(error))
        _ways_out(error, key)
        return None
    listed = id_ in resources.local_models()
    if id_ != DEFAULT_RERANKER and not picker.ensure_loaded(
        workspace, here, key=key, kind="reranker", at_once=listed
    ):
        return None
    return here


def _ways_out(error: GapscopeError, key: str) -> None:
    with st.container(horizontal=True):
        if isinstance(error, NotDownloadedError) and st.button(
            "Download it", key=f"{key}_download", icon=":material/download:"
        ):
            with frame.errors():
                resources.opened()[0].models.downloads.start(error.model, error.revision)
                st.switch_page(frame.MODELS)
        st.page_link(frame.MODELS, label="Open Models", icon=":material/deployed_code:")


def traced(
    workspace: Workspace,
    query: Query,
    question: str,
    info: CollectionInfo,
    k: int,
    filters: Filters,
    balance: Balance | None,
    copies: float | None,
) -> SearchTrace:
    """Return what is retrieved for a question, asked again only where something changed."""
    version = workspace.ledger.version(info.name)  # one deleted and one added leave the total as it was
    made = (info.name, info.total, version, info.created_at, info.made_by)
    key = (question, made, filters, k, balance, copies)
    kept = st.session_state.get(_TRACE)
    if kept and kept[0] == key:
        return kept[1]
    trace = search.ask(workspace, query, info.name, k, filters, balance, copies)
    if MEASURING not in trace.notes:  # the next time it is known
        st.session_state[_TRACE] = key, trace
    st.session_state[_RANKED] = {}
    return trace


def compared(
    workspace: Workspace, query: Query, hits: Sequence[Hit], ids: Sequence[str], top: int
) -> dict[str, Comparison]:
    """Return what each reranker made of the hits, by its name; draws why where one is missing."""
    from engine.evaluation.rank_changes import compare

    found = {}
    for number, id_ in enumerate(ids):
        try:
            choice = need(workspace, id_, key=f"rerank_{number}")
            one = _reranked(workspace, query, hits, choice, top, key=f"rerank_{number}") if choice else None
        except ModelError as error:
            say_error(str(error))
            continue
        if one:
            name = wording.short(id_)
            found[id_ if name in found else name] = compare(hits, one)
    return found


def _reranked(
    workspace: Workspace, query: Query, hits: Sequence[Hit], choice: ModelChoice, top: int, *, key: str
) -> Reranked | None:
    """Return the new order of what `traced` gave, asked for once; None where a press is waited for."""
    slot = (choice, top)
    kept: dict[tuple[ModelChoice, int], Reranked] = st.session_state[_RANKED]
    if slot in kept:
        return kept[slot]
    name = wording.short(choice.id)
    if not _wanted(workspace, hits[:top], choice, name, key):
        return None
    with st.spinner(f"{plain(name)} is reading {len(hits[:top]):,} hits …"):
        found = workspace.rerank(query, hits, choice, top=top)
    while len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    kept[slot] = found
    return found


def _wanted(workspace: Workspace, hits: Sequence[Hit], choice: ModelChoice, name: str, key: str) -> bool:
    """Ask before what takes long here; tell whether to do it."""
    loaded = next((model for model in workspace.models.loaded.list() if model.choice == choice), None)
    if loaded is None or choice.id == DEFAULT_RERANKER:  # its time goes into pictures it has not seen yet
        return True
    speeds = loaded.seconds_per_item
    seconds = sum(speeds.get(hit.item.modality) or speeds.get("text", 0.0) for hit in hits)
    if seconds <= _SLOW_SECONDS:
        return True
    asking = st.empty()
    with asking.container():
        st.info(
            f"{plain(name)} needs about {duration(seconds)} for {len(hits):,} hits on {plain(loaded.device)} "
            f"(measured on one). Rerank fewer, or wait for it."
        )
        pressed = st.button("Rerank anyway", key=f"{key}_slow", icon=":material/play_arrow:")
    if pressed:
        asking.empty()
    return pressed
