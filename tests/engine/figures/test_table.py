"""What a figure draws comes out as rows: every point and cell, no more, and no formula for a spreadsheet."""

from __future__ import annotations

import csv
import io

import numpy as np

from engine.evaluation.metrics import Interval
from engine.figures.clouds import cloud_chart
from engine.figures.cosine_histograms import Histogram, cosine_chart
from engine.figures.curves import curve_chart
from engine.figures.edits_chart import Point, edits_chart
from engine.figures.gap_dots import GapDot, gap_dots_chart
from engine.figures.heat_map import heat_map
from engine.figures.intervals import interval_chart
from engine.figures.table import table, to_csv
from engine.models.playground import Heading, Matrix


def read(figure) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(figure).decode("utf-8-sig"))))


def test_clouds_come_out_with_both_ends_of_every_pair():
    x, y = np.float32([[0.1, 0.2], [0.3, 0.4]]), np.float32([[1, 2], [3, 4]])
    rows = table(cloud_chart(x, y, limit=5))
    pairs = [(one["line"], one["x"], one["y"]) for one in rows if one["trace"] == "pairs"]
    assert pairs == [(1, 0.1, 0.2), (1, 1, 2), (2, 0.3, 0.4), (2, 3, 4)]
    assert [(one["x"], one["y"]) for one in rows if one["trace"] == "pictures"] == [(0.1, 0.2), (0.3, 0.4)]
    assert len(rows) == 8


def test_a_histogram_comes_out_as_it_is_drawn():
    rows = table(cosine_chart([Histogram("pairs", np.array([1, 3]), 0.5)], np.array([-1.0, 0, 1])))
    assert [(one["cosine"], one["y"]) for one in rows] == [(-1, 0.25), (0, 0.25), (0, 0.75), (1, 0.75)]
    assert {one["trace"] for one in rows} == {"pairs, mean 0.50"}


def test_marks_across_a_figure_and_words_on_its_points_are_kept():
    rows = table(curve_chart([0, 1], {"L2M": [0.5, 0.25]}, at=1, last=1))
    assert rows[-1] == {"trace": "here", "step": 1} and rows[1] == {"trace": "L2M", "step": 1, "y": 0.25}
    dots = table(gap_dots_chart([GapDot("pictures", "<b> &", 0.5, 0.7)], measure="L2M", chance=0.1))
    assert dots[0]["of"] == "<b> &" and dots[0]["L2M"] == 0.5
    assert dots[-1] == {"trace": "chance", "R@1, mean of both ways": 0.1}
    [there, back] = table(edits_chart([Point("none", 0.5, 0.7, 0.6)], ways=("there", "back")))
    assert (there["text"], there["R@1"], back["symbol"]) == ("there", 0.7, "star-open")


def test_intervals_have_both_ends():
    [row] = table(interval_chart([("one", Interval(0.5, 0.4, 0.7, 9), True)], metric="R@1"))
    title = "R@1, mean and 95 % confidence interval"
    assert np.isclose(row[f"{title} from"], 0.4) and np.isclose(row[f"{title} to"], 0.7)
    assert row["of"] == "one" and row["n"] == 9 and row["trace"] == "reranked"


def test_a_heat_map_is_a_row_for_each_cell_and_its_numbers_are_not_there_twice():
    sides = tuple(Heading(str(n), f"caption {n}", "text") for n in range(2))
    values = np.array([[1, 0.123456], [np.nan, 0]], np.float32)
    rows = table(heat_map(Matrix(sides, sides, values, "pocket", "cosine"), colour_label="cosine"))
    assert [one["document"] for one in rows] == ["caption 0", "caption 1"] * 2
    assert [one["value"] for one in rows] == [1, float(values[0, 1]), None, 0]


def test_a_figure_that_is_a_dictionary_and_names_that_are_formulas():
    figure = {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": [1.5],
                "y": [-2],
                "text": ["=1+1"],
                "name": "@sum",
                "marker": {"color": ["#fff"], "size": 3},
            }
        ],
        "layout": {},
    }
    assert read(figure) == [
        {"trace": "'@sum", "x": "1.5", "y": "-2", "text": "'=1+1", "colour": "#fff"},
    ]
