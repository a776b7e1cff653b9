"""Waiting for what is computed for a page: the button that begins it, its progress with cancel, its error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.ui import resources
from pages.ui.frame import errors
from pages.ui.jobs import POLL_SECONDS
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.background import Work
    from engine.jobs.computed import Computation, Computations

QUICK_SECONDS = 30  # for which a page waits for what is quick, before it shows how far that is


def results(tasks: Sequence[Computation], *, label: str, key: str) -> list[Any] | None:
    """Return what the tasks compute, or None after drawing what there is to press or to wait for.

    All are quick and begin by themselves, or else when somebody presses the button; `label` is its text,
    `key` tells places of a page apart. What another visitor began is shown here too.
    """
    works = resources.works()
    found = [works.find(task) for task in tasks]
    if all(task.quick for task in tasks):
        found = [works.begin(task) if one is None else one for task, one in zip(tasks, found, strict=True)]
        _wait([one for one in found if one is not None])
    there = [one for one in found if one is not None]
    if any(one.active for one in there):
        _progress(works, there, key)
    elif any(one.state == "failed" for one in there):
        _failed(works, tasks, there, key)
    elif len(there) == len(tasks) and all(one.state == "done" for one in there):
        return [one.result for one in there]
    else:
        _button(works, tasks, there, label, key)
    return None


def _begin(works: Computations, tasks: Sequence[Computation]) -> None:
    for task in tasks:
        works.begin(task)


def _cancel(found: Sequence[Work]) -> None:
    for work in found:
        work.cancel(at_once=True)


def _wait(found: Sequence[Work]) -> None:
    ends = time.monotonic() + QUICK_SECONDS
    for work in found:
        if not work.ended.is_set():
            with st.spinner(plain(f"{work.title} …")):
                work.ended.wait(max(0.0, ends - time.monotonic()))


def _button(
    works: Computations, tasks: Sequence[Computation], there: Sequence[Work], label: str, key: str
) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        items = max(task.items for task in tasks)
        st.button(
            f"{label} ({items:,} items)",
            key=key,
            icon=":material/straighten:",
            on_click=_begin,
            args=(works, tasks),
        )
        if any(one.state == "cancelled" for one in there):
            st.caption("It was cancelled.")


def _failed(works: Computations, tasks: Sequence[Computation], there: Sequence[Work], key: str) -> None:
    for text in dict.fromkeys(one.error for one in there if one.state == "failed"):
        say_error(text)
    st.button(
        "Try again", key=f"{key}_again", icon=":material/refresh:", on_click=_begin, args=(works, tasks)
    )


def _progress(works: Computations, found: Sequence[Work], key: str) -> None:
    """Draw how far works are until all have ended, then the whole page once."""

    @st.fragment(run_every=POLL_SECONDS)
    def draw() -> None:
        with errors():
            if not any(work.active for work in found):
                st.rerun(scope="app")
            with st.container(border=True, key=f"{key}_work"), st.container(horizontal=True):
                share = sum(1.0 if work.ended.is_set() else work.progress.share for work in found) / len(
                    found
                )
                st.progress(min(1.0, share), text=plain(_line(works, found)))
                st.button("Cancel", key=f"{key}_cancel", type="tertiary", on_click=_cancel, args=(found,))

    draw()


def _line(works: Computations, found: Sequence[Work]) -> str:
    """Return what is under way and how far, or what it waits for."""
    active = [work for work in found if work.active]
    work = next((one for one in active if one.state == "running"), active[0] if active else found[-1])
    if work.state != "waiting":
        return f"{work.title} · {round(100 * work.progress.share)} %"
    before = works.busy()
    if before is None or before is work:
        return f"{work.title} · Waiting"
    stopping = "" if before.active else ", which is stopping"
    return f"{work.title} · Waiting for {before.title!r}{stopping}"
