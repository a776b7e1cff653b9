"""Lesson 8: is the gap closed? By its centroids, by a linear classifier, by neighbours."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.lessons.closed import CHOSEN
from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about

if TYPE_CHECKING:
    from engine.analysis.edits import EditName
    from engine.lessons.closed import Ladder, Rungs
    from engine.lessons.pairs import Pairs
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

# By how many rungs of the ladder, from the first on, are closed.
_CHOICES = (
    "not even the centroids",
    "the centroids, not the classifier",
    "centroids and classifier, not the neighbours",
    "all three",
)
_STYLE = """<style>
.gs-rungs {border-collapse: collapse; margin: .4rem 0; font-variant-numeric: tabular-nums;}
.gs-rungs :is(th, td) {padding: .3rem 1rem .3rem 0; text-align: left; font-weight: 400;
  border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent);}
.gs-rungs td {font-weight: 600;}
</style>"""


def _compute(folder: DataFolder, collection: str, watch: Watch, *, edit: EditName) -> tuple[Pairs, Ladder]:
    from engine.lessons.closed import ladder
    from engine.lessons.pairs import read_pairs

    pairs = read_pairs(folder, collection)
    return pairs, ladder(pairs, edit)


def _draw(stage: Stage) -> Answer | None:
    edit = (
        st.segmented_control(
            "Treatment",
            CHOSEN,
            default="centre",
            required=True,
            key=stage.key("edit"),
            bind="query-params",
            help="centre: each modality less its mean. shift: both along the line of centroids until these "
            "meet. project-out: without that direction. standardise: each dimension less its mean, divided "
            "by its spread. All at unit length again.",
        )
        or "centre"
    )
    computed = stage.computed(partial(_compute, edit=edit), edit, title="Climbing the ladder")
    if computed is None:
        return None
    pairs, found = computed
    _clouds(stage, found)
    st.html(_STYLE + _table(found))
    return Answer(
        _CHOICES[found.climbed],
        _said(edit, found),
        about(
            pairs,
            f"fitted on {found.fitted:,} pairs and measured on {found.held:,} others",
            f"k = {found.k}",
            f"split by seed {pairs.seed}",
        ),
        numbers_of(found),
        pairs.seed,
    )


def _clouds(stage: Stage, found: Ladder) -> None:
    """Draw the held-out pairs before and after, in one plane and at one scale."""
    from engine.figures.clouds import cloud_chart

    both = {"before": found.before, "after": found.after}
    reach = 1.05 * max(
        float(np.abs(part).max()) for one in both.values() for part in (one.places_x, one.places_y)
    )
    for column, (name, one) in zip(st.columns(2), both.items(), strict=True):
        with column:
            st.markdown(f"**{name.capitalize()}**, in the plane of the gap as it was")
            chart = cloud_chart(one.places_x, one.places_y, limit=reach, height_px=300)
            figure.show(chart, key=stage.key(name), name=f"{stage.collection} {name} the treatment")


def _table(found: Ladder) -> str:
    before, after = found.before, found.after
    rows = (
        ("1 · distance of centroids, L2M", before.l2m, after.l2m, f"up to {found.l2m_limit:.2f}"),
        (
            "2 · accuracy of a linear classifier",
            before.linear,
            after.linear,
            f"up to {found.linear_limit:.2f}",
        ),
        (
            f"3 · share of the {found.k} nearest neighbours of the other modality",
            before.crossing,
            after.crossing,
            f"from {found.crossing_limit:.2f}",
        ),
    )
    head = "".join(f"<th>{one}</th>" for one in ("on held-out pairs", "before", "after", "closed"))
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{was:.2f}</td><td>{now:.2f}</td><th>{limit}</th></tr>"
        for name, was, now, limit in rows
    )
    return f'<table class="gs-rungs"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'


def _said(edit: EditName, found: Ladder) -> str:
    return (
        f"{_change(edit, found.before, found.after)} {_CLIMBED[found.climbed]} "
        f"Without it: {_CHOICES[found.climbed_before]}. Closed means no more than chance leaves with "
        f"{found.held:,} pairs, and for neighbours at least four fifths of a full mix."
    )


def _change(edit: EditName, before: Rungs, after: Rungs) -> str:
    return (
        f"With “{edit}” the distance of centroids goes from {before.l2m:.2f} to {after.l2m:.2f}, the "
        f"classifier from {before.linear:.0%} to {after.linear:.0%} right (guessing: 50%), and the "
        f"neighbours of the other modality from {before.crossing:.0%} to {after.crossing:.0%}."
    )


_CLIMBED = (
    "The centroids are farther apart than chance would leave them.",
    "The centroids meet, and a classifier still tells the modalities apart better than guessing.",
    "No line tells the modalities apart any more, and yet most neighbours are of an item's own.",
    "It is closed on all three rungs.",
)

LESSON = Lesson(
    number=8,
    slug="closed",
    title="Is it closed?",
    question="A treatment moves the centroids of pictures and texts together. Is the gap closed: by "
    "centroids, by a linear classifier, by nearest neighbours?",
    choices=_CHOICES,
    draw=_draw,
    why=(
        "L2M compares two means and nothing else: clouds of different shapes can have one centroid.",
        "A linear classifier looks at every direction, and neighbours at shape and spread as well, so that a "
        "gap may be closed on one rung and open on the next.",
        "“The gap is closed” says something only together with the measure it is closed by; whether the "
        "search is better for it is another question, and the one to ask.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS), for the distance of centroids; GR-CLIP for centring by "
    "means of items that are not searched.",
    trap="Means taken from the items that are measured too make a gap look better closed than it is: the "
    "treatment and the classifier are fitted on one half here, and everything is measured on the other.",
    notes="Read the table rung by rung, and let the room say “closed” or “open” at each before you point to "
    "the last column. Then ask which of the three rungs a search across modalities needs. None of them by "
    "itself: recall is measured in lesson 7.",
    home=TOWERS,
    one_of={"closed_edit": CHOSEN},
)
