"""Lesson 7: five ways to close a gap, and which of them keep the search across modalities."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import figure
from pages.ui.gap import readings
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.lessons.readings import Readings, Tried
    from engine.lessons.split import Split
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_ALL, _SOME, _NONE = "after all of them", "after some of them", "after none"
_DIMS = (1, 20)


def _compute(
    folder: DataFolder, collection: str, watch: Watch, *, dims: int
) -> tuple[Split, Readings, list[Tried]]:
    from engine.lessons.readings import five_edits
    from engine.lessons.split import read_split

    split = read_split(folder, collection)
    return split, *five_edits(split, dims=dims)


def _draw(stage: Stage) -> Answer | None:
    dims = st.slider(
        "Dimensions that drop-dims sets to 0",
        *_DIMS,
        3,
        key=stage.key("dims"),
        bind="query-params",
        width=320,
    )
    found = stage.computed(partial(_compute, dims=dims), dims, title="Trying five edits")
    if found is None:
        return None
    split, before, tried = found
    _figures(stage, split, before, tried)
    could = [one for one in tried if one.keeps is not None]
    kept = [one.name for one in could if one.keeps]
    lost = [one.name for one in could if not one.keeps]
    word = "" if not could else _ALL if not lost else _SOME if kept else _NONE
    losing = f"R@1 falls, one way or both, by more than chance after {', '.join(lost)}. " if lost else ""
    keeping = f"No fall of R@1 can be told from chance after {', '.join(kept)}. " if kept else ""
    return Answer(
        word,
        f"{losing}{keeping}As it is, L2M is {before.l2m:.2f}; after the edits it is "
        f"{_between([one.readings.l2m for one in could if one.readings])}.",
        about(
            split.measured,
            f"fitted on {len(split.fitted):,} other pairs",
            "95 % intervals",
            "k = 10 for hubs",
        ),
        readings.numbers({"none": before, **{one.name: one.readings for one in tried if one.readings}}),
        split.measured.seed,
    )


def _between(numbers: list[float]) -> str:
    if not numbers:
        return "not known, as none could be made"
    return f"{min(numbers):.2f} to {max(numbers):.2f}"


def _figures(stage: Stage, split: Split, before: Readings, tried: list[Tried]) -> None:
    """Draw L2M against R@1, and all numbers in a table; says which edits could not be."""
    from engine.figures.edits_chart import Point, edits_chart

    a, b = plural(split.measured.a), plural(split.measured.b)
    ways = (f"{a} to {b}", f"{b} to {a}")
    rows = [("none", before), *((one.name, one.readings) for one in tried if one.readings)]
    points = [Point(name, one.l2m, one.a_to_b.recall(1), one.b_to_a.recall(1)) for name, one in rows]
    chart = edits_chart(points, ways=ways)
    figure.show(chart, key=stage.key("chart"), name=f"{stage.collection} after five edits")
    st.caption(f"A full mark is {ways[0]}, an open one {ways[1]}.")
    st.dataframe(
        {
            "edit": [name for name, _ in rows],
            "L2M": [f"{one.l2m:.3f}" for _, one in rows],
            "RMG": [f"{one.rmg:.3f}" for _, one in rows],
            f"R@1 {ways[0]}": [f"{one.a_to_b.recall(1):.1%}" for _, one in rows],
            f"R@1 {ways[1]}": [f"{one.b_to_a.recall(1):.1%}" for _, one in rows],
            f"hub skew of {b}": ["" if one.hubs_b is None else f"{one.hubs_b:.2f}" for _, one in rows],
            f"hub skew of {a}": ["" if one.hubs_a is None else f"{one.hubs_a:.2f}" for _, one in rows],
        },
        hide_index=True,
        key=stage.key("table"),
    )
    for one in tried:
        if one.refused:
            st.caption(plain(f"{one.name}: {one.refused}"))


LESSON = Lesson(
    number=7,
    slug="edits",
    title="Five ways to close it",
    question="Five edits bring the centroids closer: shift, centre, standardise, project out, drop "
    "dimensions. After which are pictures and texts still found as well as before?",
    choices=(_ALL, _SOME, _NONE),
    draw=_draw,
    why=(
        "L2M sees only two centroids: edits that leave the same L2M move single vectors very differently.",
        "Taking each modality's mean away makes both cones wider; shifting both along one line leaves the "
        "cones and may push some items among all questions, as hubs.",
        "So an edit is chosen by what it does to the search on pairs it was not fitted on, not by the gap "
        "that it leaves.",
    ),
    paper="Schrodi et al. 2024, Two Effects, One Trigger: few dimensions carry most of the gap, and closing "
    "it afterwards does not guarantee better retrieval.",
    trap="Over-closing. On 500 pairs of CLIP ViT-B/16 a shift that closes the gap lowers R@1 from 55 to 36 % "
    "and raises the hub skew from 1.65 to 3.64, where centring leaves 54 % and 1.72 (picture to text, k = 10 "
    "for hubs, fitted and measured on the same rows).",
    notes="Have people rank the five edits before the table. Then ask which number they would look at to "
    "choose one, and why L2M is not it.",
    home=TOWERS,
    ranges={"edits_dims": _DIMS},
)
