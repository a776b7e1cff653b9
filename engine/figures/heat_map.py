"""A table of cosines or scores as a heat map with the numbers in its cells; computes none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.figures.labels import CLEAR, HOVER_CHARS, HOVER_LINES, LABEL_FONT_PX, number, shorten

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from engine.models.playground import Heading, Matrix, Scale

# Lightness rises all the way, so that nobody needs to tell hues apart; and a reranker's scores, which
# share no scale with cosines, share no colours with them either. Every cell is opaque, so that the
# figures in it can be read whatever the theme behind it.
PALETTES: dict[Scale, tuple[str, ...]] = {
    "cosine": ("#17403c", "#0f766e", "#45a996", "#a5d9bf", "#f3f0cf"),
    "own": ("#3b2350", "#7b3a74", "#c05d67", "#eda468", "#faeebd"),
}
INKS = ("#ffffff", "#0b1513")  # of the figures in the cells: whichever stands out more
UNREAD = "not read"
_ROW_PX, _HEAD_PX, _FOOT_PX, _PICTURE_PX = 40, 34, 96, 48
_BAR_PX = 200  # short, so that its title is in sight where a wide map is cut off at the right
_SIDE_CHARS, _FOOT_CHARS = 20, 17
_SIDE_PX, _ROOMY_COLUMNS = 150, 12
_CELL_FONT_PX = 12
_FAINT = "rgba(127,127,127,0.12)"  # what shows through empty cells


def heat_map(
    matrix: Matrix, *, colour_label: str, pictures: Mapping[str, str] | None = None, empty: str = UNREAD
) -> Figure:
    """Draw a matrix: a row per question, a column per document, the value to two decimals in each cell.

    colour_label names the scale in the title of the colour bar, which also tells the range; the
    colours are fitted to the values that are there. Labels are cut, the whole text is shown on hover,
    and nothing in them is taken for markup. A pair without a value is an empty cell, and hover says `empty`
    there. `pictures` maps the ids of columns to data URIs; where every column has one, they stand below it.
    """
    import plotly.graph_objects as go

    low, high = _range(matrix.values)
    heat = go.Heatmap(
        z=[[None if np.isnan(value) else float(value) for value in row] for row in matrix.values],
        customdata=_hover(matrix, empty),
        meta=["question", "document", ""],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br><b>%{customdata[2]}</b><extra></extra>",
        zmin=low,
        zmax=high,
        colorscale=[[step / 4, colour] for step, colour in enumerate(PALETTES[matrix.scale])],
        colorbar=_colour_bar(f"{escape(colour_label)}, {number(low, 2)} to {number(high, 2)}"),
        xgap=2,
        ygap=2,
    )
    heads = [(pictures or {}).get(column.id, "") for column in matrix.columns]
    return go.Figure([heat, _figures(matrix, low, high)], _layout(matrix, heads if all(heads) else []))


def min_width_px(matrix: Matrix) -> int:
    """Return the width below which the numbers of neighbouring cells would touch."""
    longest = max((len(number(value, 2)) for value in matrix.values.flat), default=0)
    return _SIDE_PX + len(matrix.columns) * max(6 + 7 * longest, 41 if _roomy(matrix) else 34)


def _roomy(matrix: Matrix) -> bool:
    """Tell whether there is room for two lines of label to a column."""
    return len(matrix.columns) <= _ROOMY_COLUMNS


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return what the colours of values (rows, columns) float32 span; NaN counts nowhere.

    A single value gets some room, or it would have no colour.
    """
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _figures(matrix: Matrix, low: float, high: float) -> dict[str, Any]:
    """Return the numbers in the cells, as text of their own: the heat map's greys are hard to read."""
    rows, columns = np.nonzero(np.isfinite(matrix.values))
    values = matrix.values[rows, columns]
    return {
        "type": "scatter",
        "mode": "text",
        "x": columns.tolist(),
        "y": rows.tolist(),
        "text": [number(value, 2) for value in values],
        "textfont": {"size": _CELL_FONT_PX, "color": _inks((values - low) / (high - low), matrix.scale)},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _inks(shares: np.ndarray, scale: Scale) -> list[str]:
    """Return for shares of the colour range, (n,) float32 in [0, 1], the inks that are easier to read."""
    steps = np.array([_rgb(colour) for colour in PALETTES[scale]])
    places = np.linspace(0, 1, len(steps))
    cells = np.stack([np.interp(shares, places, steps[:, channel]) for channel in range(3)], axis=1)
    light, dark = _luminance(cells), _luminance(np.array([_rgb(INKS[1])]))  # (n,), (1,)
    return [INKS[int(bright)] for bright in (light + 0.05) / (dark + 0.05) > 1.05 / (light + 0.05)]


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(rgb: np.ndarray) -> np.ndarray:
    """Return the relative luminance (WCAG 2) of colours, (n, 3) in [0, 255] -> (n,) float64 in [0, 1]."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def _hover(matrix: Matrix, empty: str) -> list[list[list[str]]]:
    """Return the lines shown over each cell: question, document, value."""
    rows, columns = (
        [shorten(one.label, HOVER_CHARS, HOVER_LINES) for one in side]
        for side in (matrix.rows, matrix.columns)
    )
    return [
        [[row, column, number(value, 4) or empty] for column, value in zip(columns, values, strict=True)]
        for row, values in zip(rows, matrix.values, strict=True)
    ]


def _layout(matrix: Matrix, heads: Sequence[str]) -> dict[str, Any]:
    room = _PICTURE_PX + 6 if heads else 0
    rows_px = _ROW_PX * len(matrix.rows)
    foot = {"tickangle": -45, "ticklabelstandoff": room + 4}
    return {
        "height": _HEAD_PX + rows_px + _FOOT_PX + room,
        "margin": {"l": 0, "r": 4, "t": _HEAD_PX, "b": _FOOT_PX + room, "pad": 0},
        "plot_bgcolor": _FAINT if np.isnan(matrix.values).any() else CLEAR,
        "dragmode": False,  # a finger that scrolls the page would zoom into the cells
        "xaxis": {**_axis(matrix.columns, _FOOT_CHARS, 2 if _roomy(matrix) else 1), **foot},
        "yaxis": {
            **_axis(matrix.rows, _SIDE_CHARS, 2),
            "range": [len(matrix.rows) - 0.5, -0.5],
            "ticklabelstandoff": 6,
        },
        "hoverlabel": {"align": "left"},
        "images": [_head(place, uri, rows_px) for place, uri in enumerate(heads)],
    }


def _head(place: int, uri: str, rows_px: int) -> dict[str, Any]:
    """Return the picture below a column; sizes are shares of a column and of the plot's height."""
    where = {
        "xref": "x",
        "yref": "paper",
        "x": place,
        "y": -4 / rows_px,
        "xanchor": "center",
        "yanchor": "top",
    }
    return {"source": uri, "sizex": 0.92, "sizey": _PICTURE_PX / rows_px, **where}


def _axis(headings: Sequence[Heading], chars: int, lines: int) -> dict[str, Any]:
    """Return an axis with a label per place; places are numbers, for two labels may be the same."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(headings))),
        "ticktext": [shorten(one.label, chars, lines) for one in headings],
        "tickfont": {"size": LABEL_FONT_PX},
        "range": [-0.5, len(headings) - 0.5],
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "automargin": True,
    }


def _colour_bar(title: str) -> dict[str, Any]:
    return {
        "orientation": "h",
        "title": {"text": title, "side": "top", "font": {"size": LABEL_FONT_PX}},
        "thickness": 8,
        "lenmode": "pixels",
        "len": _BAR_PX,
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "ypad": 6,
        "xpad": 0,
        "showticklabels": False,
        "outlinewidth": 0,
    }
