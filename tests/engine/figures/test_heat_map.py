"""What a heat map draws: numbers in cells; labels whole on hover, never markup."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.figures.heat_map import INKS, PALETTES, UNREAD, _inks, _luminance, _rgb, heat_map, min_width_px
from engine.models.playground import Heading, Matrix

NAN = float("nan")
LONG = "a very long sentence about a bee that flies from one purple flower to the next one, all day long"


def matrix(values, *, rows=None, columns=None, scale="cosine") -> Matrix:
    values = np.array(values, np.float32)
    rows = rows or [f"text {n}" for n in range(values.shape[0])]
    columns = columns or [f"picture {n}" for n in range(values.shape[1])]
    return Matrix(
        tuple(Heading(f"t{n}", label, "text") for n, label in enumerate(rows)),
        tuple(Heading(f"p{n}", label, "image") for n, label in enumerate(columns)),
        values,
        "fake",
        scale,
    )


def drawn(table: Matrix, label: str = "cosine", **more) -> dict:
    """Return the figure as the browser gets it."""
    return json.loads(heat_map(table, colour_label=label, **more).to_json())


def cells(figure: dict) -> dict[tuple[int, int], str]:
    """Return (row, column) -> the number printed there."""
    text = figure["data"][1]
    return {(y, x): shown for x, y, shown in zip(text["x"], text["y"], text["text"], strict=True)}


def test_every_value_is_printed_in_its_own_cell_with_two_decimals():
    figure = drawn(matrix([[0.123, 0.456, 0.0], [-0.5, 0.999, -0.001]]))
    assert cells(figure) == {
        (0, 0): "0.12",
        (0, 1): "0.46",
        (0, 2): "0.00",
        (1, 0): "−0.50",
        (1, 1): "1.00",
        (1, 2): "0.00",
    }
    assert np.allclose(figure["data"][0]["z"], [[0.123, 0.456, 0.0], [-0.5, 0.999, -0.001]])


def test_the_first_row_is_at_the_top_and_labels_stand_at_their_places():
    figure = drawn(matrix([[0.1, 0.2]], rows=["first"], columns=["left", "right"]))
    x, y = figure["layout"]["xaxis"], figure["layout"]["yaxis"]
    assert (x["ticktext"], x["tickvals"]) == (["left", "right"], [0, 1])
    assert y["ticktext"] == ["first"]
    assert y["range"][0] > y["range"][1]


def test_two_rows_of_the_same_label_stay_two():
    figure = drawn(matrix([[0.1], [0.2]], rows=["same", "same"]))
    assert figure["layout"]["yaxis"]["ticktext"] == ["same", "same"]
    assert set(cells(figure)) == {(0, 0), (1, 0)}


def test_a_long_label_is_cut_and_whole_on_hover():
    figure = drawn(matrix([[0.1]], rows=[LONG]))
    [shown] = figure["layout"]["yaxis"]["ticktext"]
    assert shown.endswith("…")
    assert all(len(line) <= 20 for line in shown.split("<br>"))
    assert len(shown.split("<br>")) == 2
    assert figure["data"][0]["customdata"][0][0][0].replace("<br>", " ") == LONG


@pytest.mark.parametrize("label", ["x" * 4096, "蜜" * 300, "a\nb", " ", "…"])
def test_labels_of_any_kind_stay_short(label):
    figure = drawn(matrix([[0.1]], rows=[label], columns=[label]))
    for axis in ("xaxis", "yaxis"):
        lines = figure["layout"][axis]["ticktext"][0].split("<br>")
        assert len(lines) <= 2
        assert all(0 < len(line) <= (10 if "蜜" in label else 20) for line in lines)


def test_labels_are_never_taken_for_markup():
    hostile = '<b>x</b><br><a href="http://evil">y</a><sub>%{z}'
    figure = drawn(matrix([[0.1]], rows=[hostile], columns=[hostile]), label="<i>scale</i>")
    heat, layout = figure["data"][0], figure["layout"]
    shown = [*layout["xaxis"]["ticktext"], *layout["yaxis"]["ticktext"], *heat["customdata"][0][0]]
    for text in [*shown, heat["colorbar"]["title"]["text"]]:
        assert "<" not in text.replace("<br>", "")
    assert heat["customdata"][0][0][0].replace("<br>", "").startswith("&lt;b&gt;x&lt;/b&gt;&lt;br&gt;")
    assert "%{z}" not in heat["hovertemplate"]


def test_a_pair_that_was_not_read_is_empty_and_says_so_on_hover():
    figure = drawn(matrix([[NAN, 0.5], [0.25, NAN]]))
    heat = figure["data"][0]
    assert heat["z"] == [[None, 0.5], [0.25, None]]
    assert set(cells(figure)) == {(0, 1), (1, 0)}
    assert [row[2] for line in heat["customdata"] for row in line] == [UNREAD, "0.5000", "0.2500", UNREAD]
    assert heat.get("hoverongaps", True)
    told = drawn(matrix([[NAN, 0.5], [0.25, NAN]]), empty="no pairs")["data"][0]["customdata"]
    assert [told[0][0][2], told[0][1][2]] == ["no pairs", "0.5000"]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([[0.2, 0.7]], 0.2, 0.7), ([[-8, 12.5]], -8, 12.5), ([[0.3, NAN]], 0.29, 0.31)],
)
def test_the_colours_span_the_values_and_the_title_says_so(values, low, high):
    heat = drawn(matrix(values, scale="own"), "the reranker's own scale")["data"][0]
    assert (heat["zmin"], heat["zmax"]) == (pytest.approx(low), pytest.approx(high))
    title = f"the reranker&#x27;s own scale, {low:.2f} to {high:.2f}".replace("-", "−")
    assert heat["colorbar"]["title"]["text"] == title


def test_nothing_read_can_still_be_drawn():
    assert cells(drawn(matrix([[NAN, NAN]]))) == {}


def test_cosines_and_a_rerankers_scores_share_no_colour():
    assert not set(PALETTES["cosine"]) & set(PALETTES["own"])
    scales = [drawn(matrix([[0.1, 0.9]], scale=scale))["data"][0]["colorscale"] for scale in PALETTES]
    assert scales[0] != scales[1]


@pytest.mark.parametrize("scale", PALETTES)
def test_lightness_rises_through_the_palette(scale):
    light = _luminance(np.array([_rgb(colour) for colour in PALETTES[scale]]))
    assert (np.diff(light) > 0.04).all()


@pytest.mark.parametrize("scale", PALETTES)
def test_the_numbers_can_be_read_on_every_colour(scale):
    shares = np.linspace(0, 1, 101)
    steps = np.array([_rgb(colour) for colour in PALETTES[scale]])
    cell = [np.interp(shares, np.linspace(0, 1, len(steps)), steps[:, channel]) for channel in range(3)]
    behind = _luminance(np.stack(cell, axis=1))
    ink = _luminance(np.array([_rgb(colour) for colour in _inks(shares, scale)]))
    contrast = (np.maximum(ink, behind) + 0.05) / (np.minimum(ink, behind) + 0.05)
    assert contrast.min() >= 4.2  # 4.58 is the most that the worst grey allows
    assert set(_inks(shares, scale)) == set(INKS)


def test_pictures_stand_below_the_columns_only_where_all_have_one():
    table, uris = matrix([[0.1, 0.2]]), {"p0": "data:image/webp;base64,AA", "p1": "data:image/webp;base64,BB"}
    images = drawn(table, pictures=uris)["layout"]["images"]
    assert [(one["source"], one["x"]) for one in images] == [(uris["p0"], 0), (uris["p1"], 1)]
    assert not drawn(table, pictures={"p0": uris["p0"]})["layout"].get("images")


def test_the_background_is_the_pages_own_and_a_finger_cannot_zoom():
    layout = drawn(matrix([[0.1]]))["layout"]
    assert layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert layout["dragmode"] is False
    assert layout["xaxis"]["fixedrange"]
    assert layout["yaxis"]["fixedrange"]


def test_the_height_grows_with_the_rows_and_the_width_with_the_columns():
    heights = [drawn(matrix(np.zeros((rows, 2))))["layout"]["height"] for rows in (1, 2, 24)]
    assert heights[1] - heights[0] == 40
    assert heights[2] - heights[0] == 23 * 40
    assert min_width_px(matrix(np.zeros((1, 5)))) <= 358  # what a phone of 390 px leaves
    assert min_width_px(matrix(np.zeros((1, 24)))) > 900
    assert min_width_px(matrix([[-1234.5]], scale="own")) > min_width_px(matrix([[0.5]]))
