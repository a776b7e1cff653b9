"""Search: ask with words, a picture or a stored item; results per modality, the question in the URL."""

from __future__ import annotations

import streamlit as st

from engine.evaluation.judgements import question_key
from engine.search.search import Query
from engine.search.sorting import sort_hits
from engine.types import BALANCES, Filters, Hit, Modality, SearchTrace
from pages.ui import cards, frame, glossary, marks, resources
from pages.ui.ask import filters, picture, question, search
from pages.ui.wording import plain, plural

SHOWN: dict[str, Modality | None] = {"Pictures": "image", "Texts": "text", "All by score": None}
COMPARED = 10
frame.start("Search")
workspace, jobs = resources.opened()


@st.fragment
def show_hits(trace: SearchTrace, hits: tuple[Hit, ...], size: str, asked_key: str, page_key: str) -> None:
    """Draw the hits; a mark or another page of them draws this again, without asking again."""
    with frame.errors():
        marks.summary(workspace, trace.collection, asked_key)
        rows = cards.pager(len(hits), key=page_key)
        cards.grid(
            workspace,
            trace.collection,
            [(hit.item, hit) for hit in hits[rows]],
            key="hit",
            question=asked_key,
            within=[hit.item for hit in hits],
            size=size,
            copies=trace.copies,
        )
        cards.hidden_copies(workspace, trace, size=size)


@st.fragment
def show_orders(asked: Query, collection: str, limits: Filters, copies: float | None) -> None:
    """Draw the first hits of one question under every order of kinds, side by side."""
    with frame.errors():
        for column, order in zip(st.columns(len(BALANCES)), BALANCES, strict=True):
            one = search.ask(workspace, asked, collection, COMPARED, limits, order, copies)
            with column:
                st.markdown(f"**{order}**")
                question.notes(one, said=trace.notes)
                share = one.crowding.share if one.crowding else {}
                st.caption(", ".join(f"{part * 100:.0f} % {plural(kind)}" for kind, part in share.items()))
                cards.grid(workspace, collection, [(hit.item, hit) for hit in one.results], key=f"in_{order}")


with frame.errors():
    infos = question.need_collections(workspace, jobs, to="search")
    words = question.question_box(workspace)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        collection = question.collection_box(infos)
        show = question.show_box(list(SHOWN))
        modality = SHOWN[show]
        mode = question.balance_box(mixed=modality is None)
        compare = st.toggle(
            "Compare orders",
            key="compare",
            bind="query-params",
            disabled=modality is not None,
            help=f"The first {COMPARED} of every order side by side.",
        )
        with st.popover("Filters", icon=":material/tune:"):
            k = st.selectbox("Results (k)", [24, 48, 96, 240, 1000], key="k", bind="query-params")
            labels = filters.fields(workspace, infos[collection])
        kinds = filters.offered(workspace, collection)
        warn = filters.order_warning(kinds)  # before the box takes what it does not know out of the address
        with st.popover("View", icon=":material/sort:"):
            column, descending = filters.sort_box(kinds)
            size = cards.size_box()
    if warn:
        st.warning(warn)
    conditions, copies = filters.conditions(workspace, collection), filters.copies()

    query = picture.current_query(workspace, words)
    if query is None:
        st.info("Type a few words and press Enter, or ask with a picture.")
        st.stop()

    if query.like is None:
        search.need_model(workspace, infos[collection])
    limits = Filters((modality,) if modality else (), labels, conditions)
    trace = search.ask(workspace, query, collection, k, limits, mode, copies)
    question.notes(trace)
    searched = " and ".join(f"{n:,} {plural(m)}" for m, n in trace.searched.items()) or "nothing"
    times = trace.timings_ms
    st.caption(
        f"{len(trace.results):,} of {searched} · model {plain(trace.model)} · "
        f"{times['embed']:.0f} ms to embed, {times['retrieve']:.0f} ms to retrieve"
    )
    question.crowding(trace)
    if modality is None and trace.balance == "raw":
        glossary.caption(
            "Cosine similarities of two modalities are not on one scale: one kind can crowd out the other, "
            "which may be just as relevant. That is the modality gap. Choose another order."
        )
    if not trace.results:
        kind = plural(modality) if modality else "items"
        st.info(f"No {kind} of this collection match. Choose another kind, or fewer filters.")
        st.stop()
    if compare and modality is None:
        show_orders(query, collection, limits, copies)
        st.stop()
    hits = sort_hits(trace.results, column, descending=descending) if column else trace.results
    page_key = f"page_{hash((trace.query, collection, k, mode, limits, copies, column, descending))}"
    show_hits(trace, hits, size, question_key(query, st.query_params.get("picture")), page_key)
