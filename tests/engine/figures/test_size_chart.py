"""Recall against size: every way at its place, ways of one size under one tick, kinds told by shape too."""

from __future__ import annotations

from engine.figures.size_chart import Kept, size_chart


def test_every_way_stands_at_its_size_and_two_of_one_size_share_a_tick():
    kept = [Kept("as it is", 2.0), Kept("cut <b>", 0.5), Kept("int8", 0.5), Kept("binary", 0.06)]
    figure = size_chart(kept, {"R@1": [0.6, 0.3, 0.5, 0.4], "R@10": [0.9, 0.8, 0.9, 0.8]})
    first, tenth = figure.data
    assert list(first.x) == [2.0, 0.5, 0.5, 0.06] and list(tenth.y) == [0.9, 0.8, 0.9, 0.8]
    assert first.marker.symbol != tenth.marker.symbol and figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals) == [2.0, 0.5, 0.06]
    assert figure.layout.xaxis.ticktext[1] == "cut &lt;b&gt;; int8: 0.5"
