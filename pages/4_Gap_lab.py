"""Gap lab: see a modality gap, understand it in lessons, and make one by training two towers on pairs."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame, resources
from pages.ui.gap import settings, views
from pages.ui.jobs import show_jobs

frame.start(
    "Gap lab",
    lead="A model turns every item into a point. Often pictures gather in one place and texts in another, "
    "even where they show the same things: that is the modality gap.",
)
workspace, jobs = resources.opened()

with frame.errors():
    if not settings.collections(workspace) and jobs.active():
        st.info("The first collection is being made; the lab opens as soon as it is done.")
        show_jobs(jobs)
        st.stop()
    views.draw(workspace, jobs)
