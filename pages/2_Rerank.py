"""Rerank: the retrieval order beside the reranked order, what moved, at what cost, and was it worth it."""

from __future__ import annotations

import re

import streamlit as st

from engine.evaluation.judgements import question_key
from engine.types import Filters, Modality
from pages.ui import cards, frame, resources
from pages.ui.ask import filters, picture, question, search
from pages.ui.rerank import models, summary, wording
from pages.ui.wording import plural

SHOWN: dict[str, Modality | None] = {"Pictures": "image", "Texts": "text", "All": None}
DEPTHS = [10, 20, 50, 100, 200]
frame.start("Rerank")
workspace, jobs = resources.opened()


def depth_box(label: str, key: str, words: str) -> int:
    """Draw the choice of a number of hits; an address may name any from 1 to 1,000."""
    asked = st.query_params.get(key, "")
    fits = re.fullmatch(r"[1-9]\d{0,2}|1000", asked, re.ASCII)
    depths = sorted({*DEPTHS, *([int(asked)] if fits else [])})
    return st.selectbox(label, depths, depths.index(50), key=key, bind="query-params", width=110, help=words)


with frame.errors():
    infos = question.need_collections(workspace, jobs, to="rerank")
    st.query_params.pop("like", None)  # "more like this" asks with no words that could be read again
    words = question.question_box(workspace)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        collection = question.collection_box(infos)
        show = question.show_box(list(SHOWN))
        modality = SHOWN[show]
        mode = question.balance_box(mixed=modality is None)
        k = depth_box("Retrieve", "k", "How many hits are retrieved from the collection.")
        top = depth_box("Rerank top", "top", "How many of them, from the first on, the reranker scores.")
        with st.popover("Filters", icon=":material/tune:"):
            labels = filters.fields(workspace, infos[collection])
    conditions, copies = filters.conditions(workspace, collection), filters.copies()
    chosen = models.choose(workspace)

    query = picture.current_query(workspace, words)
    if query is None:
        summary.invite(collection)
        st.stop()

    search.need_model(workspace, infos[collection])
    asked_key = question_key(query, st.query_params.get("picture"))
    limits = Filters((modality,) if modality else (), labels, conditions)
    trace = models.traced(workspace, query, asked_key, infos[collection], k, limits, mode, copies)
    question.notes(trace, *wording.warnings(trace, chosen, k))
    question.crowding(trace)
    if not trace.retrieval:
        kind = plural(modality) if modality else "items"
        only = " that match" if limits.of_columns else ""
        st.info(f"This collection has no {kind}{only}. Choose another kind, or fewer filters.")
        st.stop()
    found = models.compared(workspace, query, trace.retrieval, chosen, min(top, k))
    summary.draw(workspace, summary.View(asked_key, trace, found, modality))
    cards.hidden_copies(workspace, trace)
