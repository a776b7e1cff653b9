"""What the figures of a training draw: every point and pair line, one scale, shares that sum to one."""

from __future__ import annotations

import numpy as np
import pytest

from engine.figures.clouds import cloud_chart
from engine.figures.cosine_histograms import Histogram, cosine_chart
from engine.figures.curves import curve_chart


def test_a_line_leads_from_each_picture_to_its_own_text_at_one_scale():
    images, texts = np.float32([[0, 1], [2, 3]]), np.float32([[4, 5], [6, 7]])
    figure = cloud_chart(images, texts, limit=9)
    lines, pictures, words = figure.data
    assert np.array_equal(lines.x, [0, 4, np.nan, 2, 6, np.nan], equal_nan=True)
    assert np.array_equal(lines.y, [1, 5, np.nan, 3, 7, np.nan], equal_nan=True)
    assert list(pictures.x) == [0, 2] and list(words.y) == [5, 7]
    assert pictures.marker.symbol != words.marker.symbol
    assert figure.layout.xaxis.range == (-9, 9) and figure.layout.yaxis.scaleanchor == "x"


def test_histograms_of_any_count_are_shares_and_differ_in_more_than_colour():
    edges = np.linspace(-1, 1, 5)
    kinds = [
        Histogram("few", np.array([0, 0, 1, 1]), 0.5),
        Histogram("many", np.array([10, 20, 30, 40]), 0.1),
    ]
    few, many = cosine_chart(kinds, edges).data
    assert list(few.x) == [-1, -0.5, -0.5, 0, 0, 0.5, 0.5, 1]
    for trace in (few, many):
        assert sum(trace.y[::2]) == pytest.approx(1)
    assert few.line.dash != many.line.dash and "mean 0.50" in few.name


def test_an_empty_histogram_is_flat():
    empty = Histogram("none", np.zeros(4, np.int64), 0.0)
    [trace] = cosine_chart([empty], np.linspace(-1, 1, 5)).data
    assert not np.any(trace.y)


def test_curves_share_their_steps_and_a_line_marks_the_one_looked_at():
    lines = {"L2M": [0.6, 0.7, 0.8], "R@1": [0, 0.5, 1]}
    figure = curve_chart([0, 10, 20], lines, at=10, last=20)
    assert [one.name for one in figure.data] == ["L2M", "R@1"]
    assert list(figure.data[1].x) == [0, 10, 20]
    [mark] = figure.layout.shapes
    assert mark.x0 == mark.x1 == 10 and figure.layout.xaxis.range == (0, 20)
