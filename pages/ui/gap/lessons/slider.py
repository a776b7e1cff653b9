"""Lesson 6: one slider from widened to closed and beyond, and what it does to the search across."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.storage.columns import last_change
from pages.ui import resources
from pages.ui.gap import readings as shown
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about, learned
from pages.ui.wording import plural

if TYPE_CHECKING:
    from engine.evaluation.metrics import Interval
    from engine.lessons.readings import Curve, Readings
    from engine.lessons.split import Split

_BETTER, _WORSE, _SAME = "better", "worse", "no difference to be told"


def _compute(split: Split) -> tuple[Readings, Readings, Curve]:
    from engine.lessons.readings import curve, readings
    from engine.lessons.split import Change

    return readings(split), readings(split, Change("shift", 1.0)), curve(split)


def _draw(stage: Stage) -> Answer | None:
    workspace, name = stage.workspace, stage.collection
    # Shared with the view Change, and not kept with every answer: it holds all vectors.
    split = resources.split_of(workspace, name, "image", "text", last_change(workspace.folder, name))
    found = stage.computed(lambda *_: _compute(split), title="Shifting both modalities")
    if found is None:
        return None
    before, closed, curve = found
    share = st.slider(
        "Shift: -1 wider, 0 as it is, 1 middles together, 2 crossed",
        *_RANGE,
        1.0,
        0.05,
        key=stage.key("share"),
        bind="query-params",
        help="0: as it is. 1: closed before vectors are made unit length again. Below 0 wider, above 1 past.",
    )
    from engine.lessons.readings import readings
    from engine.lessons.split import Change

    here = stage.computed(
        lambda *_: readings(split, Change("shift", float(share))), share, title="Reading all of it"
    )
    if here is None:
        return None
    left, right = st.columns(2)
    with left:
        shown.clouds(split, here, key=stage.key("map"))
    with right:
        shown.cosines(split, here, key=stage.key("cosines"))
    shown.curves(split, curve, float(share), key=stage.slug)
    a, b = plural(split.measured.a), plural(split.measured.b)
    change = closed.b_to_a.change(before.b_to_a, seed=split.measured.seed)
    holds = ", which holds 0: no difference that can be told from chance" if _word(change) == _SAME else ""
    return Answer(
        _word(change),
        f"With the middles brought together, L2M goes from {before.l2m:.2f} to {closed.l2m:.2f} and RMG from "
        f"{before.rmg:.2f} to {closed.rmg:.2f}, while {closed.b_to_a.recall(1):.0%} of the {b} find their "
        f"own among the {a} first instead of {before.b_to_a.recall(1):.0%}: a change of "
        f"{100 * change.mean:+.1f} points (95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f}"
        f"{holds}){learned(split.measured)}. "
        f"At {share:g} on the slider matching pairs have a mean cosine of {here.paired.mean:.2f}, and that "
        f"share is {here.b_to_a.recall(1):.0%}.",
        about(split.measured, f"fitted on {len(split.fitted):,} other pairs", "k = 1"),
        shown.numbers({"as it is": before, "closed": closed, "here": here}),
        split.measured.seed,
    )


def _word(change: Interval) -> str:
    """Return which choice a change of R@1 is: none where its interval holds 0."""
    return _BETTER if change.low > 0 else _WORSE if change.high < 0 else _SAME


_RANGE = (-1.0, 2.0)
LESSON = Lesson(
    number=6,
    slug="slider",
    title="One slider from widened to closed and beyond",
    question="Shift pictures and texts towards each other until their centroids are one. Do texts find their "
    "pictures better then, or worse?",
    choices=(_BETTER, _WORSE, _SAME),
    draw=_draw,
    why=(
        "A shift takes the same from every vector of a modality, but vectors are made unit length again "
        "after it, and that moves each by another amount.",
        "So ranks change in both directions, although what a model knows of pictures and texts is the same "
        "as before.",
        "All this is a search among one kind; in one list of both kinds a treatment decides which kind comes "
        "first, and may change everything there (lesson 9).",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS), figure 3 and table 1: which gap is best depends on the "
    "task, in both directions.",
    trap="How far the slider went is not the gap: at 1 the centroids are one only before vectors are made "
    "unit length again, and were fitted on other pairs. Measure the distance after every edit.",
    notes="Let people guess first, then go slowly from -1 to 2 and have them watch the curves and not the "
    "clouds. Ask where they would stop, and for which task.",
    home=TOWERS,
    ranges={"slider_share": _RANGE},
)
