"""Evaluate: retrieval measured over all questions, with and without a reranker, with intervals."""

from __future__ import annotations

import streamlit as st

from pages.ui import evaluate_view, evaluation_view, frame, resources
from pages.ui.jobs_view import show_jobs

frame.start(
    "Evaluate",
    lead="Does it find what it should? Measured over every question whose right answers are known.",
)
workspace, jobs = resources.opened()

with frame.errors():
    infos = {info.name: info for info in workspace.store.collections() if info.total}
    if not infos:
        st.info("There is nothing to measure yet: add pictures with captions or labels in the Library.")
        st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        show_jobs(jobs)
        st.stop()
    evaluate_view.ask(workspace, jobs, infos)
    show_jobs(jobs, evaluations=True)
    st.subheader("Results", anchor=False)
    kept = workspace.evaluations.list()
    if not kept:
        st.info("Nothing is measured yet: choose what to ask above, and press Measure.")
        st.stop()
    chosen = evaluation_view.choose(kept)
    evaluation_view.draw(workspace, chosen, kept)
