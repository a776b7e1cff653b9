"""What an interval chart draws: means with both ends, reranked ones of another shape; labels never markup."""

from __future__ import annotations

import json

import pytest

from engine.evaluation.metrics import Interval
from engine.figures.intervals import interval_chart


def drawn(*rows: tuple[str, Interval, bool]) -> dict:
    """Return the figure as the browser gets it."""
    return json.loads(interval_chart(rows, metric="recall@5").to_json())


def test_a_dot_stands_at_the_mean_with_the_interval_to_both_sides():
    figure = drawn(("one", Interval(0.5, 0.4, 0.7, 30), False), ("two", Interval(0.6, 0.55, 0.61, 12), False))
    [dots] = figure["data"]
    assert (dots["x"], dots["y"]) == ([0.5, 0.6], [0, 1])
    assert dots["error_x"]["array"] == pytest.approx([0.2, 0.01])
    assert dots["error_x"]["arrayminus"] == pytest.approx([0.1, 0.05])
    assert [told[1:] for told in dots["customdata"]] == [[0.4, 0.7, 30], [0.55, 0.61, 12]]


def test_rows_keep_their_places_from_the_top_and_reranked_ones_differ_in_shape():
    rows = [("b", Interval(0.6, 0.5, 0.7, 9), True), ("a", Interval(0.5, 0.4, 0.6, 9), False)]
    figure = drawn(*rows)
    retrieved, reranked = figure["data"]
    assert (retrieved["y"], reranked["y"]) == ([1], [0])
    assert retrieved["marker"]["symbol"] != reranked["marker"]["symbol"]
    axis = figure["layout"]["yaxis"]
    assert axis["ticktext"] == ["b", "a"] and axis["range"][0] > axis["range"][1]
    assert "recall@5" in figure["layout"]["xaxis"]["title"]["text"]


def test_labels_are_never_taken_for_markup():
    figure = drawn(("<b>x</b>" * 40, Interval(0.5, 0.4, 0.6, 9), False))
    for text in (figure["layout"]["yaxis"]["ticktext"][0], figure["data"][0]["customdata"][0][0]):
        assert text.endswith("…") and "<" not in text.replace("<br>", "")
