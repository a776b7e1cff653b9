"""Lesson 5: make a gap, or none, by the temperature of the loss and the cone the features start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.analysis.two_towers import STARTS, TowerSettings
from engine.jobs.tower_computation import training_of
from engine.report.numbers import numbers_of
from pages.ui import resources
from pages.ui.gap import run, training
from pages.ui.gap.lessons.lesson import Answer, Lesson, Stage
from pages.ui.gap.settings import EXPECTED, TEMPERATURES
from pages.ui.wording import say_error

if TYPE_CHECKING:
    from engine.jobs.computed import Computation
    from engine.towers.train import TrainedTowers


def _draw(stage: Stage) -> Answer | None:
    works = resources.works()
    task = training_of(stage.workspace, stage.collection, _settings(stage))
    work = works.find(task) or works.begin(task)
    if work.active:
        training.live(works, work, stage.slug)
        return None
    if work.state != "done":
        say_error(work.error or "It was cancelled.")
        st.button("Train again", key=stage.key("again"), on_click=_begin, args=(task,))
        return None
    return _shown(work.result, stage)


def _expect_anew(stage: Stage) -> None:
    """Forget what was expected of other settings."""
    st.session_state[stage.key("expected")] = None  # a widget that is only dropped keeps it in the browser


def _begin(task: Computation) -> None:
    resources.works().begin(task)


def _settings(stage: Stage) -> TowerSettings:
    with st.container(horizontal=True):
        temperature = st.selectbox(
            "Temperature",
            TEMPERATURES,
            key=stage.key("temperature"),
            bind="query-params",
            width=150,
            on_change=_expect_anew,
            args=(stage,),
        )
        start = st.selectbox(
            "Features",
            STARTS,
            key=stage.key("start"),
            bind="query-params",
            width=150,
            on_change=_expect_anew,
            args=(stage,),
        )
    return TowerSettings(temperature=float(temperature or TEMPERATURES[0]), start=start or STARTS[0])


def _shown(trained: TrainedTowers, stage: Stage) -> Answer:
    from engine.lessons.picture import form_of

    snapshots, name = trained.snapshots, stage.slug
    last, held = snapshots[-1], snapshots[-1].held_out
    left, right = st.columns(2)
    with left:
        run.clouds(snapshots, -1, by=last, name=name)
    with right:
        run.curves(snapshots, last.step, name)
    run.cosines(last, name)
    again = (
        f" On {held.n:,} held-out pairs R@1 is {held.text_to_image:.2f} (chance {1 / held.n:.2f})."
        if held
        else ""
    )
    settings = trained.settings
    return Answer(
        form_of(last.cross_neighbours),
        f"At temperature {settings.temperature:g}, {settings.start} features: L2M went from "
        f"{snapshots[0].l2m:.2f} to {last.l2m:.2f}. {run.told(last)}{again}",
        f"n = {last.trained.n:,} trained pairs of {trained.features.pairs:,}, {settings.steps:,} steps, 64 "
        f"dimensions, k = 15, seed {settings.seed}, collection {stage.collection}, features of Pocket's "
        "networks.",
        numbers_of(last),
        settings.seed,
    )


LESSON = Lesson(
    number=5,
    slug="towers",
    title="Make a gap",
    question="Two towers learn which caption belongs to which picture, at a low temperature first. What will "
    "the pictures and the texts form?",
    choices=EXPECTED,
    draw=_draw,
    why=(
        "Both heads start from features that lie in two cones, so the clouds are apart before anything is "
        "learned.",
        "The loss asks only that each caption is nearer to its own picture than to the others; at a low "
        "temperature a small difference is enough, and nothing pulls the clouds together.",
        "At a high temperature small differences hardly count, so that the loss falls only as long as "
        "matching pairs come closer, and the clouds meet; with centred features there was no gap to begin "
        "with. Change one of them, and look again.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS): the cone at the start and the temperature. The figures "
    "are computed here.",
    trap="R@1 is near 1 on the trained pairs with a gap and without one, and poor on held-out pairs both "
    "times: a gap says nothing about what was learned.",
    notes="Run 0.01 first, then 0.2, and let people predict each. Then set the features to centred at 0.01. "
    "Ask which of the two made the gap: both were needed.",
    one_of={
        "towers_temperature": [f"{one:g}" for one in TEMPERATURES],
        "towers_start": list(STARTS),
    },
)
