"""Opening a kept map, or fitting it in the background with progress and cancel; new items and a refit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import resources
from pages.ui.frame import errors
from pages.ui.jobs import POLL_SECONDS, progress_line
from pages.ui.map.component import MANY
from pages.ui.map.settings import in_words
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.jobs.queue import Jobs
    from engine.jobs.run import Job
    from engine.maps.drawn import DrawnMap
    from engine.maps.projection import ProjectionSettings
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

_STARTED = "map_started"  # the fits that this visit has begun by itself: each one once


def opened(
    workspace: Workspace, jobs: Jobs, info: CollectionInfo, settings: ProjectionSettings, *, name: str
) -> DrawnMap | None:
    """Return the map, or None after drawing how far its fit is; starts the fit where none is kept.

    name tells the maps of a page apart.
    """
    from engine.storage.columns import last_change

    job = jobs.fit_of(info.name, settings)
    text = json.dumps(settings.to_dict(), sort_keys=True)
    done = [one.spec.id for one in jobs.list() if one.spec.kind == "fit-map" and one.state == "done"]
    drawn = resources.map_of(workspace, info.name, text, f"{last_change(workspace.folder, info.name)} {done}")
    if job and job.active:
        _progress(jobs, job, name)
    elif drawn is None:
        _start_or_say(jobs, info, settings, job, text, name)
    return drawn


def about(jobs: Jobs, info: CollectionInfo, drawn: DrawnMap, *, name: str) -> None:
    """Say how the map was made, and offer a new fit where items were placed since."""
    found, projection = drawn.map, drawn.map.projection
    parts = [_shown(len(projection), info.total)]
    parts += [in_words(found.settings, projection.method), f"model {found.made_by.model}"]
    st.caption(plain(" · ".join(parts)))
    for note in projection.notes:
        st.caption(plain(note))
    if found.settings.fit_on and found.placed:
        st.caption(f"{found.placed:,} of them were placed at their nearest fitted neighbours, not fitted.")
    if not found.added or found.settings.fit_on:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        new = "1 new item was" if found.added == 1 else f"{found.added:,} new items were"
        st.caption(f"{new} placed at the nearest fitted neighbours, not fitted.")
        job = jobs.fit_of(info.name, found.settings)
        if not (job and job.active) and st.button(
            "Refit",
            key=f"map_refit_{name}",
            type="primary" if found.wants_refit else "secondary",
            icon=":material/refresh:",
        ):
            jobs.project(info.name, found.settings)
            st.rerun()


def _shown(items: int, total: int) -> str:
    """Return how many items are drawn, and of how many where that is not plain."""
    if items == total and items < MANY:
        return "1 item" if items == 1 else f"{items:,} items"
    moving = " (a sample of them while it moves)" if items > MANY else ""
    return f"Showing {items:,} of {total:,} items{moving}"


def _start_or_say(
    jobs: Jobs, info: CollectionInfo, settings: ProjectionSettings, job: Job | None, text: str, name: str
) -> None:
    """Begin the fit by itself the first time; after one that failed or was cancelled, offer a button."""
    begun = st.session_state.setdefault(_STARTED, set())
    key = f"{info.name} {info.created_at} {info.total} {text}"
    if key not in begun and (job is None or job.state == "done"):
        begun.add(key)
        _progress(jobs, jobs.project(info.name, settings), name)
        return
    if job and job.state == "failed":
        say_error(job.error)
    elif job and job.state == "cancelled":
        st.info("The fit was cancelled.")
    else:
        st.info("This map is not fitted yet.")
    if st.button("Fit the map", key=f"map_fit_{name}", icon=":material/play_arrow:"):
        jobs.project(info.name, settings)
        st.rerun()


def _progress(jobs: Jobs, job: Job, name: str) -> None:
    """Draw how far a fit is until it ends, then the whole page once."""

    @st.fragment(run_every=POLL_SECONDS)
    def draw() -> None:
        with errors():
            if not job.active:
                st.rerun(scope="app")
            with st.container(border=True, key=f"map_job_{name}"), st.container(horizontal=True):
                text = "Stopping …" if job.stop.is_set() else plain(_stage(jobs, job))
                st.progress(job.progress.share, text=text)
                if st.button("Cancel", key=f"map_cancel_{name}", type="tertiary", disabled=job.stop.is_set()):
                    jobs.cancel(job.spec.id)
                    st.rerun(scope="app")

    draw()


def _stage(jobs: Jobs, job: Job) -> str:
    line = f"{job.spec.title}: {progress_line(job)}"
    running = jobs.active()
    return f"{line} · after {running.spec.title!r}" if running and running is not job else line
