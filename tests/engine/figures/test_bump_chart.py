"""What a bump chart draws: lines from rank to rank, told apart without colour; captions never markup."""

from __future__ import annotations

import json

import pytest

from engine.evaluation.rank_changes import Move
from engine.figures.bump_chart import bump_chart
from engine.types import Item


def moves(*ranks: tuple[int, int], caption: str = "", score: float | None = 1.5) -> list[Move]:
    """Return a hit for each pair of ranks, before and after."""
    read = "below" if score is None else "whole"
    return [
        Move(Item(f"i{n}", "image", f"{n}.jpg", "image/jpeg", "", caption), *pair, 0.5, score, read)
        for n, pair in enumerate(ranks)
    ]


def bumps(some: list[Move], **more) -> dict[str, dict]:
    """Return the lines of a bump chart by their name in the legend."""
    figure = json.loads(bump_chart(some, **more).to_json())
    return {one["name"]: one for one in figure["data"] if one["mode"] != "text"}


def test_a_line_goes_from_the_rank_before_to_the_rank_after():
    lines = bumps(moves((3, 1), (1, 2), (2, 3), (4, 4)))
    assert set(lines) == {"rose", "fell", "stayed"}
    rose, fell = lines["rose"], lines["fell"]
    assert (rose["x"][0], rose["y"][0], rose["x"][-2], rose["y"][-2]) == (0, 3, 1, 1)
    assert rose["y"][-1] is None  # a gap, or the next line would be joined on
    ends = [(fell["y"][at], fell["y"][at + len(fell["y"]) // 2 - 2]) for at in (0, len(fell["y"]) // 2)]
    assert ends == [(1, 2), (2, 3)]
    assert len(fell["x"]) == len(fell["y"]) == len(fell["customdata"]) == len(fell["marker"]["size"])


def test_ways_differ_in_more_than_colour():
    lines = bumps(moves((3, 1), (1, 2), (4, 4)))
    for look in (lambda one: one["line"]["dash"], lambda one: one["marker"]["symbol"]):
        assert len({look(one) for one in lines.values()}) == 3


def test_right_answers_are_thick_and_on_top():
    some = moves((3, 1), (2, 2), (1, 3))
    figure = json.loads(bump_chart(some, right={"i0"}).to_json())
    names = [one["name"] for one in figure["data"] if one["mode"] != "text"]
    assert names == ["fell", "stayed", "right answer, rose"]
    widths = [one["line"]["width"] for one in figure["data"] if one["mode"] != "text"]
    assert widths[2] > 2 * widths[0]
    assert "a right answer" in figure["data"][2]["customdata"][0][1]


def test_hovering_tells_caption_ranks_and_score_and_takes_nothing_for_markup():
    [line] = bumps(moves((27, 4), caption="<b>a</b> bee", score=-1.234)).values()
    assert line["customdata"][0] == [
        "&lt;b&gt;a&lt;/b&gt; bee",
        "rank 27 → 4, up 23<br>score −1.23 on its own scale",
    ]
    [line] = bumps(moves((5, 5), score=None)).values()
    assert line["customdata"][0] == ["0.jpg", "rank 5 → 5, stayed<br>not reranked"]


@pytest.mark.parametrize("count", [0, 1, 2, 12, 13, 25, 50, 200, 1000])
def test_a_bump_chart_fits_a_page_with_a_dozen_ranks_named(count):
    figure = json.loads(bump_chart(moves(*((n, n) for n in range(1, count + 1)))).to_json())
    assert 200 <= figure["layout"]["height"] <= 700
    labels = figure["data"][-1]["text"]
    assert labels[0] == "1" and len(labels) <= 2 * 14
    assert figure["layout"]["xaxis"]["fixedrange"] and figure["layout"]["dragmode"] is False
