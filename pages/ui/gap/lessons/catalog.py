"""The lessons in the order in which they are walked."""

from __future__ import annotations

from pages.ui.gap.lessons import histograms, towers

LESSONS = (
    histograms.LESSON,
    towers.LESSON,
)
