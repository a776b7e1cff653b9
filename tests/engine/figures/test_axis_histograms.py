"""Two histograms along an axis: every item counted, and told apart by more than colour."""

from __future__ import annotations

import numpy as np

from engine.figures.axis_histograms import axis_chart


def test_both_modalities_are_counted_between_the_same_edges():
    figure = axis_chart(np.array([1, 2]), np.array([3, 0]), np.array([-1.0, 0, 1]), axis="place")
    pictures, texts = figure.data
    assert list(pictures.x) == list(texts.x) == [-1, 0, 0, 1]
    assert list(pictures.y) == [1, 1, 2, 2] and list(texts.y) == [3, 3, 0, 0]
    assert pictures.line.dash != texts.line.dash and figure.layout.xaxis.title.text == "place"
