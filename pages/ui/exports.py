"""A collection's files taken away from the Library page: written in the background, then fetched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import streamlit as st

from engine.datasets.exported import FORMS
from engine.errors import GapscopeError
from pages.ui.wording import say_error

if TYPE_CHECKING:
    from engine.datasets.exported import Exported
    from engine.jobs.queue import Jobs
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

FORM_NAMES = dict(zip(FORMS, ("A folder in a zip", "Parquet"), strict=True))
FETCHED_BYTES = 1_000_000_000  # held in memory while a browser fetches it
_ABOUT = (
    "Pictures and texts with all captions, labels and other columns, as a data set: a folder with "
    "metadata.jsonl (imagefolder) in a zip, or Parquet with the pictures inside. The Hugging Face datasets "
    "library opens both, and dropped here again they are the same collection. Vectors go out by "
    "`python -m engine export`."
)
_MIMES = dict(zip(FORMS, ("application/zip", "application/vnd.apache.parquet"), strict=True))


def draw(workspace: Workspace, jobs: Jobs, info: CollectionInfo) -> None:
    """Offer to write the files of a collection as a data set, and what was written before."""
    with st.expander("Export the files with captions and labels", icon=":material/download:"):
        st.caption(_ABOUT)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            form = st.segmented_control(
                "Form",
                FORMS,
                default=FORMS[0],
                required=True,
                format_func=FORM_NAMES.__getitem__,
                key="export_form",
            )
            if st.button("Write it", key="export_go", icon=":material/download:"):
                _begin(jobs, info.name, form)
        for one in workspace.exports.of(info.name):
            _written(workspace, info.name, one)


def _begin(jobs: Jobs, collection: str, form: str) -> None:
    try:
        jobs.export_media(collection, form)
    except GapscopeError as error:
        say_error(str(error))
        return
    st.rerun()


def _written(workspace: Workspace, collection: str, one: Exported) -> None:
    form, when = one.path.suffix, time.strftime("%Y-%m-%d %H:%M", time.localtime(one.written_at))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{one.path.name}, {one.size_bytes / 1e6:,.1f} MB, written {when}")
        if one.size_bytes <= FETCHED_BYTES:
            st.download_button(
                "Download",
                one.path.read_bytes,
                file_name=one.path.name,
                mime=_MIMES[form],
                key=f"export_fetch_{form}",
                icon=":material/download:",
                on_click="ignore",
            )
        if st.button("Delete the file", key=f"export_delete_{form}", type="tertiary"):
            workspace.exports.delete(collection, form)
            st.rerun()
    st.caption(f"On the server: `{one.path}`")
