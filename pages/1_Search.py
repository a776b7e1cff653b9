"""Search: ask with words, a picture or a stored item; results per modality, the question in the URL."""

from __future__ import annotations

import streamlit as st

from engine.evaluation.judgements import question_key
from engine.search.search import Query
from engine.types import BALANCES, Filters, Modality, SearchTrace
from pages.ui import cards, frame, glossary, marks, resources
from pages.ui.ask import picture, question, search
from pages.ui.wording import plain, plural

SHOWN: dict[str, Modality | None] = {"Pictures": "image", "Texts": "text", "All by score": None}
COMPARED = 10
frame.start("Search")
workspace, jobs = resources.opened()


@st.fragment
def show_hits(trace: SearchTrace, asked_key: str, page_key: str) -> None:
    """Draw the hits; a mark or another page of them draws this again, without asking again."""
    with frame.errors():
        marks.summary(workspace, trace.collection, asked_key)
        rows = cards.pager(len(trace.results), key=page_key)
        shown = [(hit.item, hit) for hit in trace.results[rows]]
        cards.grid(workspace, trace.collection, shown, key="hit", question=asked_key)


@st.fragment
def show_orders(asked: Query, collection: str, filters: Filters) -> None:
    """Draw the first hits of one question under every order of kinds, side by side."""
    with frame.errors():
        for column, order in zip(st.columns(len(BALANCES)), BALANCES, strict=True):
            one = search.ask(workspace, asked, collection, COMPARED, filters, order)
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
            labels = st.multiselect(
                "With any of these labels",
                resources.labels_of(workspace, collection, infos[collection].total),
                key="labels",
                bind="query-params",
                placeholder="any",
            )

    query = picture.current_query(workspace, words)
    if query is None:
        st.info("Type a few words and press Enter, or ask with a picture.")
        st.stop()

    if query.like is None:
        search.need_model(workspace, infos[collection])
    filters = Filters((modality,) if modality else (), tuple(labels))
    trace = search.ask(workspace, query, collection, k, filters, mode)
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
        st.info(f"No {kind} of this collection match. Choose another kind, or fewer labels.")
        st.stop()
    if compare and modality is None:
        show_orders(query, collection, filters)
        st.stop()
    page_key = f"page_{hash((trace.query, collection, show, k, mode, *labels))}"
    show_hits(trace, question_key(query, st.query_params.get("picture")), page_key)
