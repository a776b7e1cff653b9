"""Trainings of two towers: begun, drawn while they run, and the last one beside the one before."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs.tower_computation import training_of
from engine.report.numbers import numbers_of
from pages.ui import resources
from pages.ui.frame import errors
from pages.ui.gap import keep, run
from pages.ui.gap.shown import Shown
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.analysis.two_towers import Snapshot, TowerSettings
    from engine.background import Work
    from engine.jobs.computed import Computations
    from engine.jobs.queue import Jobs
    from engine.workspace import Workspace
    from pages.ui.gap.settings import Asked

_LIVE_SECONDS = 0.7  # between two drawings of a training that runs
_AGAIN = "towers_again"  # in the session: to be trained without a press
_RUNS = "tower_runs"  # in the session: what was trained last, and before


def draw(workspace: Workspace, jobs: Jobs, asked: Asked) -> Shown | None:
    """Begin what is asked for, and draw the last run, beside the one before where that is wanted.

    Returns what the last run showed.
    """
    runs: list[tuple[str, TowerSettings, str]] = st.session_state.setdefault(_RUNS, [])
    if asked.pressed or st.session_state.pop(_AGAIN, False):
        wanted = (asked.collection, asked.settings, asked.expected)
        runs[:] = [*(one for one in runs if one[:2] != wanted[:2]), wanted][-2:]
        resources.works().begin(training_of(workspace, *wanted[:2]))
    if not runs:
        st.caption(run.BEFORE)
        return None
    both = len(runs) > 1 and st.toggle("Beside it the run before", key="towers_both")
    seen: Snapshot | None = None
    if both:
        for place, column in enumerate(st.columns(2)):
            with column:
                seen = _one(workspace, *runs[place], name="ba"[place])
    else:
        seen = _one(workspace, *runs[-1], name="a")
        if seen:
            keep.draw(jobs, *runs[-1][:2])
    return None if seen is None else _shown(*runs[-1], seen)


def begin_again() -> None:
    """Let the next drawing train what its controls ask for, as if the button had been pressed."""
    st.session_state[_AGAIN] = True


def _shown(collection: str, settings: TowerSettings, expected: str, seen: Snapshot) -> Shown:
    asked = {"collection": collection, **asdict(settings), **({"expected": expected} if expected else {})}
    return Shown((collection,), settings.seed, numbers_of(seen), asked)


def _one(
    workspace: Workspace, collection: str, settings: TowerSettings, expected: str, *, name: str
) -> Snapshot | None:
    """Draw a run as it stands, and return the step that is looked at if it was trained to its end."""
    works = resources.works()
    work = works.find(training_of(workspace, collection, settings))
    st.subheader(plain(run.title(collection, settings)), anchor=False)
    if work is None:
        st.info("The collection has changed since, or too much was computed since: train again to see it.")
    elif work.active:
        live(works, work, name)
    elif work.state == "done":
        return run.draw(work.result, expected, name=name)
    elif work.error:
        say_error(work.error)
    else:
        st.caption("It was cancelled.")
    return None


def live(works: Computations, work: Work, name: str) -> None:
    """Draw the newest snapshot again and again until the training has ended, then the page once."""

    @st.fragment(run_every=_LIVE_SECONDS)
    def show() -> None:
        with errors():
            if not work.active:
                st.rerun(scope="app")
            with st.container(horizontal=True, vertical_alignment="center"):
                st.progress(min(1.0, work.progress.share), text=plain(_line(works, work)))
                st.button("Cancel", key=f"stop_{name}", type="tertiary", on_click=_cancel, args=(work,))
            if seen := list(work.partial):
                run.clouds(seen, -1, by=seen[0], name=name)
                run.numbers(seen[-1])
                run.cosines(seen[-1], name)

    show()


def _line(works: Computations, work: Work) -> str:
    if work.state == "waiting":
        before = works.busy()
        return f"Waiting for {before.title!r}" if before and before is not work else "Waiting"
    if not work.partial:
        return "Reading pictures and captions by Pocket's networks"
    return f"Training: step {work.partial[-1].step:,}, loss {work.partial[-1].loss:.2f}"


def _cancel(work: Work) -> None:
    work.cancel(at_once=True)
