"""Gap lab: make a modality gap by training two towers on pairs, and see when it comes and when it goes."""

from __future__ import annotations

import streamlit as st

from pages.ui import frame, resources
from pages.ui.gap import settings, training
from pages.ui.jobs import show_jobs

frame.start(
    "Gap lab",
    lead="Train two towers on the collection's own pictures and captions, and watch whether words and "
    "pictures end up in one cloud or on two islands.",
)
workspace, jobs = resources.opened()

with frame.errors():
    names = settings.collections(workspace)
    if not names:
        if jobs.active():
            st.info("The first collection is being made; towers can be trained on it as soon as it is done.")
            show_jobs(jobs)
        else:
            st.info("Towers are trained on pictures with captions, and there are none yet.")
            st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        st.stop()
    training.draw(workspace, jobs, settings.ask(names))
