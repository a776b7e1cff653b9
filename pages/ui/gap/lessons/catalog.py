"""The lessons in the order in which they are walked."""

from __future__ import annotations

from pages.ui.gap.lessons import closed, cone, four, histograms, islands, towers

LESSONS = (
    four.LESSON,
    histograms.LESSON,
    islands.LESSON,
    cone.LESSON,
    towers.LESSON,
    closed.LESSON,
)
