"""Evaluate: retrieval measured over all questions, with and without a reranker, with intervals."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame, resources
from pages.ui.evaluate import form, judgements, results
from pages.ui.jobs import show_jobs

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
    collections = form.ask(workspace, jobs, infos)
    show_jobs(jobs, evaluations=True)
    measured, marked = st.tabs(["Results", "Your marks"], key="evaluate_tabs")
    with measured:
        kept = workspace.evaluations.list()
        if kept:
            results.draw(workspace, results.choose(jobs, kept), kept)
        else:
            st.info("Nothing has been measured yet: choose the questions above, and press Measure.")
    with marked:
        for name in collections[:1]:
            judgements.draw(workspace, name)
