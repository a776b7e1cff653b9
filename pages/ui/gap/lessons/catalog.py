"""The lessons in the order in which they are walked."""

from __future__ import annotations

from pages.ui.gap.lessons import (
    anchored,
    closed,
    cone,
    edits,
    four,
    histograms,
    islands,
    many,
    mixed,
    rerank,
    slider,
    towers,
)

LESSONS = (
    four.LESSON,
    histograms.LESSON,
    islands.LESSON,
    cone.LESSON,
    towers.LESSON,
    slider.LESSON,
    edits.LESSON,
    closed.LESSON,
    mixed.LESSON,
    many.LESSON,
    rerank.LESSON,
    anchored.LESSON,
)
