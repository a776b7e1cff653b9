"""The plain map: what plotly tells of a selection finds the right rows, and its figure is whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pages.ui.map import plain_plot
from pages.ui.map.component import Paint

PLACES = np.array([[x, y] for x in range(10) for y in range(10)], np.float32)


def paint(count=100, **parts) -> Paint:
    group = np.zeros(count, np.uint8)
    return Paint(group, group, ("#009e73",), 4, 0.8, **parts)


def drawn(places=PLACES, rows=None, words=None, **parts):
    rows = np.arange(len(places)) if rows is None else rows
    return plain_plot.plot(places, rows, paint(len(places), **parts), words or [""] * len(rows), {})["data"]


def test_a_box_and_a_lasso_select_together():
    told = {"box": [{"x": [1.5, 3.5], "y": [6.5, 4.5]}], "lasso": [{"x": [-1, 0.5, 0.5], "y": [-1, -1, 0.5]}]}
    rows = plain_plot.within(PLACES, plain_plot.polygons(told))
    assert PLACES[rows].tolist() == [[0, 0], [2, 5], [2, 6], [3, 5], [3, 6]]


@pytest.mark.parametrize("told", [{}, {"box": [], "lasso": []}, {"points": [], "box": None}])
def test_nothing_drawn_selects_nothing(told):
    assert len(plain_plot.within(PLACES, plain_plot.polygons(told))) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=7))
def test_inside_is_what_pillow_fills(corners):
    """Compared away from the edges, where a pixel is neither inside nor outside."""
    places = np.array([[x, y] for x in range(41) for y in range(41)], np.float32)
    found = np.zeros(len(places), bool)
    found[plain_plot.within(places + 0.5, [np.array(corners, float)])] = True
    picture = Image.new("1", (41 * 8, 41 * 8))
    ImageDraw.Draw(picture).polygon([(8 * x, 8 * y) for x, y in corners], fill=1)
    filled = np.array(picture)[4::8, 4::8].T.reshape(-1)
    if len(set(corners)) == len(corners) <= 3:  # a triangle does not cross itself, where fill rules differ
        edges = near_edges(places + 0.5, np.array(corners, float))
        assert (found == filled)[~edges].all()


def near_edges(places, corners) -> np.ndarray:
    """Return which places (n, 2) are within half a unit of a side."""
    near = np.zeros(len(places), bool)
    for a, b in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        side = b - a
        share = np.clip((places - a) @ side / max(side @ side, 1e-9), 0, 1)
        near |= np.linalg.norm(places - a - share[:, None] * side, axis=1) < 0.5
    return near


def test_of_many_points_a_sample_is_drawn_and_those_marked_are_in_it():
    marked = np.array([7, 123_456], np.int32)
    rows = plain_plot.shown_rows(200_000, marked)
    assert len(rows) <= plain_plot.MOST and set(marked.tolist()) <= set(rows.tolist())
    assert (np.diff(rows) > 0).all() and (plain_plot.shown_rows(200_000, marked) == rows).all()
    assert plain_plot.shown_rows(3, marked[:0]).tolist() == [0, 1, 2]


def test_marks_lines_question_and_strangers_words():
    question = {"place": [1.0, 2.0], "label": "a <b>bee</b>"}
    lines = np.array([0, 5, 0, 7], np.int32)
    found = drawn(words=["<i>x</i>"] * 100, marked=np.array([3]), lines=lines, question=question)
    pairs, points, asked = found
    assert pairs["x"] == [0, 0, None] * 2 and pairs["y"] == [0, 5, None, 0, 7, None]
    sizes = points["marker"]["size"]
    assert sizes[3] > sizes[2] == sizes[4] and len(sizes) == 100
    assert "selectedpoints" not in points
    assert drawn(chosen=np.array([3, 5]))[0]["selectedpoints"] == [3, 5]
    assert points["text"][0] == "&lt;i&gt;x&lt;/i&gt;" and asked["text"] == ["a &lt;b&gt;bee&lt;/b&gt;"]


def test_three_axes_are_drawn_as_two():
    places = np.concatenate([PLACES, PLACES[:, :1]], 1)
    assert drawn(places)[0]["y"] == PLACES[:, 1].tolist()
