"""Search: ask with words, a picture or a stored item; results per modality, the question in the URL."""

from __future__ import annotations

import streamlit as st

from engine.judgements import question_key
from engine.types import Filters, Modality, SearchTrace
from pages.ui import cards, frame, marks, query_picture, resources, search_view
from pages.ui.jobs_view import show_jobs
from pages.ui.wording import plain, plural

SHOWN: dict[str, Modality | None] = {"Pictures": "image", "Texts": "text", "All by score": None}
frame.start("Search")
workspace, jobs = resources.opened()


def forget_similar() -> None:
    """'More like this' asks with an item of one collection; another one does not have it."""
    st.query_params.pop("like", None)


def ask_with_words() -> None:
    """A typed question replaces a picture or 'more like this'."""
    for key in ("like", "picture"):
        st.query_params.pop(key, None)


@st.fragment
def show_hits(trace: SearchTrace, question: str, page_key: str) -> None:
    """Draw the hits; a mark or another page of them draws this again, without asking again."""
    with frame.errors():
        marks.summary(workspace, trace.collection, question)
        rows = cards.pager(len(trace.results), key=page_key)
        shown = [(hit.item, hit) for hit in trace.results[rows]]
        cards.grid(workspace, trace.collection, shown, key="hit", question=question)


with frame.errors():
    infos = {info.name: info for info in workspace.store.collections()}
    if not any(info.total for info in infos.values()):
        if jobs.active():
            st.info("The first collection is being made; you can ask as soon as it has items.")
            show_jobs(jobs)
        else:
            st.info("There is nothing to search yet: add pictures or texts in the Library.")
            st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        st.stop()

    asked_for = st.query_params.get("collection", "")
    if asked_for and asked_for not in infos:
        st.warning("The collection in this address does not exist here; showing another one.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "What are you looking for?",
            key="q",
            bind="query-params",
            placeholder="words, as you would say them: a bee on a flower",
            max_chars=4096,
            icon=":material/search:",
            on_change=ask_with_words,
        )
        query_picture.picker(workspace)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = list(infos)
        first = names.index("samples") if "samples" in names else 0
        collection = st.selectbox(
            "Collection",
            names,
            index=first,
            key="collection",
            bind="query-params",
            width=190,
            on_change=forget_similar,
        )
        show = st.segmented_control(
            "Show",
            list(SHOWN),
            default="Pictures",
            required=True,
            key="show",
            bind="query-params",
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

    query = query_picture.current_query(workspace, st.session_state.q)
    if query is None:
        st.info("Type a few words and press Enter, or ask with a picture.")
        st.stop()

    if query.like is None:
        search_view.need_model(workspace, infos[collection])
    modality = SHOWN[show]
    filters = Filters((modality,) if modality else (), tuple(labels))
    trace = search_view.ask(workspace, query, collection, k, filters)
    for note in trace.notes:
        st.caption(plain(note))
    searched = " and ".join(f"{n:,} {plural(m)}" for m, n in trace.searched.items()) or "nothing"
    times = trace.timings_ms
    st.caption(
        f"{len(trace.results):,} of {searched} · model {plain(trace.model)} · "
        f"{times['embed']:.0f} ms to embed, {times['retrieve']:.0f} ms to retrieve"
    )
    if modality is None:
        st.caption(
            "Raw cosines of two modalities share no scale: texts crowd out pictures here although the "
            "pictures may be just as right. That is the modality gap."
        )
    if not trace.results:
        kind = plural(modality) if modality else "items"
        st.info(f"This collection has no {kind} that fit. Choose another kind, or fewer labels.")
        st.stop()
    page_key = f"page_{hash((trace.query, collection, show, k, *labels))}"
    show_hits(trace, question_key(query, st.query_params.get("picture")), page_key)
