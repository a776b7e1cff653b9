"""The views of the gap lab, one at a time; which one is in the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import frame
from pages.ui.gap import change, compare, see, settings, take, training
from pages.ui.gap.lessons import walk
from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.jobs.queue import Jobs
    from engine.workspace import Workspace

SEE, LESSONS, TRAIN, CHANGE, COMPARE = "See", "Lessons", "Train", "Change", "Compare"
VIEWS = (SEE, LESSONS, TRAIN, CHANGE, COMPARE)


def draw(workspace: Workspace, jobs: Jobs) -> None:
    """Ask which view is wanted, and draw it."""
    if (asked := st.query_params.get("view")) and asked not in VIEWS:
        st.warning(plain(f"There is no view {asked!r}; there are {', '.join(VIEWS)}."))
    default = LESSONS if "lesson" in st.query_params else VIEWS[0]
    view = st.segmented_control(
        "View",
        VIEWS,
        default=default,
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    take.say_opened()
    if view in (SEE, TRAIN) and not settings.collections(workspace):
        st.info("This works on pictures with captions, and there are none yet.")
        st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        shown = None
    elif view == TRAIN:
        shown = training.draw(workspace, jobs, settings.ask(settings.collections(workspace)))
    elif view == CHANGE:
        shown = change.draw(workspace)
    elif view == COMPARE:
        shown = compare.draw(workspace)
    elif view == LESSONS:
        shown = walk.draw(workspace)
    else:
        shown = see.draw(workspace)
    take.draw(workspace, view or SEE, shown)
