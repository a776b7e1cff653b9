"""Lesson 2: four histograms; matching pairs may lie left of unrelated pictures and be ranked first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about, learned

if TYPE_CHECKING:
    from engine.lessons.histograms import FourHistograms
    from engine.lessons.pairs import Pairs
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_CLOSER, _FARTHER, _SAME = "closer", "farther apart", "about the same"
_KINDS = ("matching pairs", "other pairs across", "pictures and pictures", "texts and texts")
_NEAR = 0.05  # a difference of median cosines below it is none that can be seen


def _compute(folder: DataFolder, collection: str, watch: Watch) -> tuple[Pairs, FourHistograms]:
    from engine.lessons.histograms import four_histograms
    from engine.lessons.pairs import read_pairs

    pairs = read_pairs(folder, collection)
    return pairs, four_histograms(pairs)


def _draw(stage: Stage) -> Answer | None:
    found = stage.computed(_compute, title="Comparing every vector with every other")
    if found is None:
        return None
    pairs, four = found
    kinds = dict(zip(_KINDS, (four.paired, four.unpaired, four.within_a, four.within_b), strict=True))
    chosen = st.pills(
        "Histograms",
        list(kinds),
        default=list(kinds),
        selection_mode="multi",
        key=stage.key("shown"),
        bind="query-params",
        help="Other pairs across: a picture and the caption of another one.",
    )
    from engine.figures.cosine_histograms import Histogram, cosine_chart
    from engine.lessons.histograms import EDGES

    rows = [Histogram(name, kinds[name].counts, kinds[name].mean) for name in kinds if name in chosen]
    figure.show(cosine_chart(rows, EDGES), key=stage.key("chart"), name=f"{stage.collection} cosines")
    apart = four.paired.median - four.within_a.median
    word = _SAME if abs(apart) < _NEAR else _CLOSER if apart > 0 else _FARTHER
    return Answer(
        word,
        f"A picture and its caption have a median cosine of {four.paired.median:.2f}, two unrelated pictures "
        f"{four.within_a.median:.2f} (the figure names means). Two unrelated pictures are nearer than "
        f"a matching pair in {four.beaten:.0%} of all draws; a matching pair is nearer than a picture and "
        f"another caption in {four.auc:.1%}{_found_first(four)}{learned(pairs)}.",
        about(pairs),
        numbers_of(four),
        pairs.seed,
    )


def _found_first(four: FourHistograms) -> str:
    if four.a_to_b is None:
        return ""
    first, chance = four.a_to_b.hits["1"].mean, four.a_to_b.chance_hits["1"]
    return f"; {first:.0%} of the pictures find their own caption first (chance {chance:.1%})"


LESSON = Lesson(
    number=2,
    slug="histograms",
    title="Four histograms",
    question="A picture and its own caption beside two unrelated pictures: are the first two closer?",
    choices=(_CLOSER, _FARTHER, _SAME),
    draw=_draw,
    why=(
        "Every kind of pair has a scale of its own: how far apart the modalities lie, and how widely each is "
        "spread, is part of every cosine.",
        "A search across compares one picture with captions only, and what all captions share changes no "
        "order: what counts is that matching pairs lie right of other pairs across.",
        "So a cosine of 0.5 may be the best there is, and 0.6 may be nothing: the number means something "
        "only beside others of its kind.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS): the gap is there, and retrieval across it works.",
    trap="A threshold on the cosine (“above 0.5 is a match”) that was set within one modality misses "
    "matches across, and is wrong again with another model: what trains a model is how much larger one "
    "cosine is than others, divided by its temperature, so that each training comes to rest on a scale of "
    "its own (lesson 5 makes two).",
    notes="Let people draw the four curves on paper first. Then switch all off but two pictures and "
    "matching pairs: the room sees that the match is the smaller number. Switch on other pairs across: the "
    "match is the larger one of what it competes with.",
    home=TOWERS,
    one_of={"histograms_shown": _KINDS},
    many=("histograms_shown",),
)
