"""Library: add files, watch them being indexed, browse and delete what is stored."""

from __future__ import annotations

import streamlit as st

from pages.ui import exports, frame, library, resources
from pages.ui.jobs import show_jobs

frame.start("Library", lead="Add your own pictures and texts, and look at what is stored.")
workspace, jobs = resources.opened()

with frame.errors():
    infos = {info.name: info for info in workspace.store.collections()}
    own = [name for name, info in infos.items() if not info.made_by.imported]  # others take no files
    library.add_files(workspace, jobs, own)
    show_jobs(jobs, opens=infos)
    st.subheader("Collections", anchor=False)
    if not infos:
        st.info("No collection yet: drop some pictures above, or wait for the samples to be indexed.")
        st.stop()
    chosen = library.browse_box(jobs, list(infos))
    library.describe(infos[chosen])
    library.browse(workspace, infos[chosen])
    library.reembed(workspace, jobs, infos[chosen])
    exports.draw(workspace, jobs, infos[chosen])
    library.danger(infos[chosen], jobs)
    library.credits(chosen)
