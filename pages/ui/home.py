"""What Home shows: a first question, what is indexed, which model runs where, and some pictures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import frame, resources
from pages.ui.jobs import POLL_SECONDS, progress_line
from pages.ui.models import wording
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.jobs.queue import Jobs
    from engine.workspace import Workspace

EXAMPLES = ("a bee on a flower", "a snowy mountain", "an ancient temple", "a sailing boat", "a wild cat")
STRIP = (
    "bee-on-purple-flower",
    "kingfisher-on-branch",
    "dutch-windmills-by-canal",
    "red-panda-on-branch",
    "suspension-bridge-at-night",
    "clownfish-in-anemone",
    "colosseum",
    "ginger-kitten-on-wood",
    "path-to-snowy-mountains",
    "hot-air-balloon",
    "dandelions-in-meadow",
    "drum-kit-and-guitar",
)


NOTE = (
    "From the bundled sample photographs; sources, authors and licences are in the Library. The built-in "
    "model, Pocket, works offline on a CPU. It knows a thousand kinds of things and English words; it does "
    "not know colours, counts or relations."
)


def draw() -> None:
    """Draw the page; nothing heavy happens before its first words are on the screen."""
    frame.start(
        "Gapscope",
        lead="Put words and pictures into one vector space, search across them, and see how far apart "
        "they stay.",
    )
    _question()
    st.page_link(
        frame.GAP_LAB, label="Show me the gap", icon=":material/science:", query_params={"view": "See"}
    )
    state = resources.boot()
    busy = not state.ended or (state.jobs is not None and state.jobs.active() is not None)
    st.fragment(_status, run_every=POLL_SECONDS if busy else None)(busy)
    _strip()


def _question() -> None:
    with st.form("home_ask", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(
            "Search the sample photographs",
            key="home_q",
            placeholder="for example: a bee on a flower",
            max_chars=4096,
            icon=":material/search:",
        )
        pressed = st.form_submit_button("Search", type="primary", key="home_go")
    with st.container(horizontal=True, gap="xsmall"):
        for number, example in enumerate(EXAMPLES):
            if st.button(example, key=f"example_{number}"):
                st.switch_page(frame.SEARCH, query_params={"q": example})
    if pressed and typed and typed.strip():
        st.switch_page(frame.SEARCH, query_params={"q": typed})


def _status(busy: bool) -> None:
    state = resources.boot()
    if not state.ended:
        st.progress(0.0, text=f"{state.stage} …")
    elif state.workspace is None or state.jobs is None:
        resources.show_boot_error(state)
        if busy:
            st.rerun()
    else:
        _facts(state.workspace, state.jobs)
        if busy and state.jobs.active() is None:
            st.rerun()


def _facts(workspace: Workspace, jobs: Jobs) -> None:
    with frame.errors():
        counts = [info.counts for info in workspace.store.collections()]
        numbers = {
            "collections": len(counts),
            "pictures": sum(count.get("image", 0) for count in counts),
            "texts": sum(count.get("text", 0) for count in counts),
        }
        shown = "".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in numbers.items())
        st.html(f'<div class="gs-facts">{shown}{_models(workspace)}</div>')
    job = jobs.active()
    if job:
        st.progress(job.progress.share, text=f"{plain(job.spec.title)}: {plain(progress_line(job))}")
    failed = [one for one in jobs.list() if one.state == "failed"]
    if failed:
        say_error(failed[0].error)
        st.page_link(frame.LIBRARY, label="See it in the Library", icon=":material/photo_library:")


def _models(workspace: Workspace) -> str:
    """Return which models are in memory and where they run; Pocket is there as soon as it is asked."""
    loaded = workspace.models.loaded.list()
    names = [wording.short(model.choice.id) for model in loaded] or ["Pocket"]
    devices = ", ".join(sorted({model.device for model in loaded} or {"cpu"})).replace("cpu", "the CPU")
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    word = "model" if len(names) == 1 else "models"
    return f"<div><b>{escape(', '.join(names[:2]))}{more}</b>{word}, on {escape(devices)}</div>"


def _strip() -> None:
    from engine.ingest.samples import SAMPLE_DIR

    uris = [(name, resources.sample_uri(str(SAMPLE_DIR / "photos" / f"{name}.jpg"))) for name in STRIP]
    pictures = "".join(f'<img src="{uri}" alt="{name.replace("-", " ")}">' for name, uri in uris)
    st.html(f'<div class="gs-strip">{pictures}</div><p class="gs-note">{NOTE}</p>')
