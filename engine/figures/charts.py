"""Typed tables into plotly figures; the only file that imports plotly."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from engine.evaluation.metrics import Interval
    from engine.evaluation.rank_changes import Move
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
_SIDE_CHARS, _FOOT_CHARS, _HOVER_CHARS = 20, 17, 44
_HOVER_LINES = 12
_SIDE_PX, _ROOMY_COLUMNS = 150, 12
_CELL_FONT_PX, _LABEL_FONT_PX = 12, 12
_CLEAR, _FAINT = "rgba(0,0,0,0)", "rgba(127,127,127,0.12)"  # faint: what shows through empty cells


def heat_map(matrix: Matrix, *, colour_label: str, pictures: Mapping[str, str] | None = None) -> Figure:
    """Draw a matrix: a row per question, a column per document, the value to two decimals in each cell.

    colour_label names the scale in the title of the colour bar, which also tells the range; the
    colours are fitted to the values that are there. Labels are cut, the whole text is shown on hover,
    and nothing in them is taken for markup. A pair the model does not read is an empty cell.
    `pictures` maps the ids of columns to data URIs; where every column has one, they stand below it.
    """
    import plotly.graph_objects as go

    low, high = _range(matrix.values)
    heat = go.Heatmap(
        z=[[None if np.isnan(value) else float(value) for value in row] for row in matrix.values],
        customdata=_hover(matrix),
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br><b>%{customdata[2]}</b><extra></extra>",
        zmin=low,
        zmax=high,
        colorscale=[[step / 4, colour] for step, colour in enumerate(PALETTES[matrix.scale])],
        colorbar=_colour_bar(f"{escape(colour_label)}, {_number(low, 2)} to {_number(high, 2)}"),
        xgap=2,
        ygap=2,
    )
    heads = [(pictures or {}).get(column.id, "") for column in matrix.columns]
    return go.Figure([heat, _figures(matrix, low, high)], _layout(matrix, heads if all(heads) else []))


def min_width_px(matrix: Matrix) -> int:
    """Return the width below which the numbers of neighbouring cells would touch."""
    longest = max((len(_number(value, 2)) for value in matrix.values.flat), default=0)
    return _SIDE_PX + len(matrix.columns) * max(6 + 7 * longest, 41 if _roomy(matrix) else 34)


def _roomy(matrix: Matrix) -> bool:
    """Tell whether there is room for two lines of label to a column."""
    return len(matrix.columns) <= _ROOMY_COLUMNS


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return what the colours span; a single value gets some room, or it would have no colour."""
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _number(value: float, decimals: int) -> str:
    if np.isnan(value):
        return ""
    shown = f"{value:.{decimals}f}"
    return shown.lstrip("-") if not float(shown) else shown.replace("-", "−")  # no "-0.00"


def _figures(matrix: Matrix, low: float, high: float) -> dict[str, Any]:
    """Return the numbers in the cells, as text of their own: the heat map's greys are hard to read."""
    rows, columns = np.nonzero(np.isfinite(matrix.values))
    values = matrix.values[rows, columns]
    return {
        "type": "scatter",
        "mode": "text",
        "x": columns.tolist(),
        "y": rows.tolist(),
        "text": [_number(value, 2) for value in values],
        "textfont": {"size": _CELL_FONT_PX, "color": _inks((values - low) / (high - low), matrix.scale)},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _inks(shares: np.ndarray, scale: Scale) -> list[str]:
    """Return for each share of the colour range, (n,) in [0, 1], the ink that is easier to read on it."""
    steps = np.array([_rgb(colour) for colour in PALETTES[scale]])
    places = np.linspace(0, 1, len(steps))
    cells = np.stack([np.interp(shares, places, steps[:, channel]) for channel in range(3)], axis=1)
    light, dark = _luminance(cells), _luminance(np.array([_rgb(INKS[1])]))  # (n,), (1,)
    return [INKS[int(bright)] for bright in (light + 0.05) / (dark + 0.05) > 1.05 / (light + 0.05)]


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(rgb: np.ndarray) -> np.ndarray:
    """Return the relative luminance (WCAG 2) of colours, (n, 3) in [0, 255] -> (n,) in [0, 1]."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def _hover(matrix: Matrix) -> list[list[list[str]]]:
    """Return the lines shown over each cell: question, document, value."""
    rows, columns = (
        [_lines(one.label, _HOVER_CHARS, _HOVER_LINES) for one in side]
        for side in (matrix.rows, matrix.columns)
    )
    return [
        [[row, column, _number(value, 4) or UNREAD] for column, value in zip(columns, values, strict=True)]
        for row, values in zip(rows, matrix.values, strict=True)
    ]


def _lines(label: str, chars: int, lines: int) -> str:
    """Break a label into lines and cut it; its own "<b>" is shown as it was typed."""
    if any(unicodedata.east_asian_width(char) in "WF" for char in label):
        chars //= 2
    broken = textwrap.wrap(label, chars)
    shown = broken[:lines]
    if len(broken) > lines:
        shown[-1] = f"{shown[-1][: chars - 1].rstrip()}…"
    return "<br>".join(escape(line, quote=False) for line in shown) or "(empty)"


def _layout(matrix: Matrix, heads: Sequence[str]) -> dict[str, Any]:
    room = _PICTURE_PX + 6 if heads else 0
    rows_px = _ROW_PX * len(matrix.rows)
    foot = {"tickangle": -45, "ticklabelstandoff": room + 4}
    return {
        "height": _HEAD_PX + rows_px + _FOOT_PX + room,
        "margin": {"l": 0, "r": 4, "t": _HEAD_PX, "b": _FOOT_PX + room, "pad": 0},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _FAINT if np.isnan(matrix.values).any() else _CLEAR,
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
        "ticktext": [_lines(one.label, chars, lines) for one in headings],
        "tickfont": {"size": _LABEL_FONT_PX},
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
        "title": {"text": title, "side": "top", "font": {"size": _LABEL_FONT_PX}},
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


# Told apart without their colour too: by dashes, by the shape at both ends, and by the words on hover.
_WAYS: dict[str, dict[str, str]] = {
    "rose": {"colour": "#14a394", "dash": "solid", "symbol": "triangle-up"},
    "fell": {"colour": "#d97706", "dash": "dash", "symbol": "triangle-down"},
    "stayed": {"colour": "#8a918d", "dash": "dot", "symbol": "circle"},
}
_CURVE = np.linspace(0, 1, 13)  # of one line, from the rank before (x = 0) to the rank after (x = 1)
_LINE_PX, _RIGHT_PX, _END_PX = 1.6, 5, 7
_RANK_PX, _BUMP_PX = 13, (260, 620)  # height of a rank, and of the whole drawing at least and at most


def bump_chart(moves: Sequence[Move], *, right: Collection[str] = ()) -> Figure:
    """Draw a line per hit from its rank before (left) to its rank after reranking (right), best on top.

    `right` names by id the right answers, which are drawn thick. Captions are shown whole on hover and
    nothing in them is taken for markup.
    """
    import plotly.graph_objects as go

    traces = [
        _bumps(way, [one for one in moves if way == _way(one) and thick == (one.item.id in right)], thick)
        for thick in (False, True)  # thick ones last, so that they lie on top
        for way in _WAYS
    ]
    last = max((max(one.before, one.after) for one in moves), default=1)
    return go.Figure([*(one for one in traces if one), _rank_labels(last)], _bump_layout(last))


def _way(move: Move) -> str:
    return "rose" if move.moved > 0 else "fell" if move.moved < 0 else "stayed"


def _bumps(way: str, moves: Sequence[Move], thick: bool) -> dict[str, Any] | None:
    """Return the lines of one kind as one trace, with gaps between them; None where there are none."""
    if not moves:
        return None
    look, steps = _WAYS[way], len(_CURVE)
    y = [[*(one.before + (one.after - one.before) * _eased()).tolist(), None] for one in moves]
    end = _END_PX + (4 if thick else 0)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"right answer, {way}" if thick else way,
        "x": [*_CURVE.tolist(), None] * len(moves),
        "y": [value for line in y for value in line],
        "customdata": [line for one in moves for line in [list(_told(one, thick))] * (steps + 1)],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "line": {
            "color": look["colour"],
            "width": _RIGHT_PX if thick else _LINE_PX,
            "dash": "solid" if thick else look["dash"],
            "shape": "spline",
        },
        "marker": {
            "color": look["colour"],
            "symbol": look["symbol"],
            "size": [*[end, *[0] * (steps - 2), end], 0] * len(moves),
            "line": {"width": 0},
            "opacity": 1,
        },
        "opacity": 1 if thick else 0.8,
    }


def _eased() -> np.ndarray:
    """Return shares of the way that begin and end level, (13,) in [0, 1]."""
    return _CURVE**2 * (3 - 2 * _CURVE)


def _told(move: Move, thick: bool) -> Iterator[str]:
    """Yield what hovering a line tells: the caption, and ranks and score."""
    yield _lines(move.item.caption or move.item.name, _HOVER_CHARS, _HOVER_LINES)
    how = f"up {move.moved:,}" if move.moved > 0 else f"down {-move.moved:,}" if move.moved < 0 else "stayed"
    score = "not reranked" if move.read == "below" else "no score"
    if move.rerank_score is not None:
        score = f"score {_number(move.rerank_score, 2)}, its own scale"
    yield f"rank {move.before:,} → {move.after:,}, {how}<br>{score}" + ("<br>a right answer" if thick else "")


def _rank_labels(last: int) -> dict[str, Any]:
    """Return the numbers of some ranks beside both ends."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1_000) if last / step <= 12)
    ranks = [1, *range(step, last + 1, step)] if step > 2 else [*range(1, last + 1, step)]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [-0.05] * len(ranks) + [1.05] * len(ranks),
        "y": ranks * 2,
        "text": [f"{rank:,}" for rank in ranks] * 2,
        "textposition": ["middle left"] * len(ranks) + ["middle right"] * len(ranks),
        "textfont": {"size": _LABEL_FONT_PX},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _bump_layout(last: int) -> dict[str, Any]:
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True}
    top = {"y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {
        "height": int(np.clip(last * _RANK_PX + 90, *_BUMP_PX)),
        "margin": {"l": 0, "r": 0, "t": 24, "b": 0, "pad": 0},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": {**hidden, "range": [-0.16, 1.16]},
        "yaxis": {**hidden, "range": [last + 0.8, 0.2]},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": _LABEL_FONT_PX}},
        "annotations": [
            {**top, "x": 0, "xanchor": "center", "text": "retrieved"},
            {**top, "x": 1, "xanchor": "center", "text": "reranked"},
        ],
    }


def interval_chart(rows: Sequence[tuple[str, Interval, bool]], *, metric: str) -> Figure:
    """Draw a dot with its 95 % interval per row, the first row on top: (label, interval, reranked).

    Reranked rows differ in shape and not in colour alone. Nothing in a label is taken for markup.
    """
    import plotly.graph_objects as go

    traces = []
    for reranked, name in ((False, "as retrieved"), (True, "reranked")):
        places = [place for place, row in enumerate(rows) if row[2] is reranked]
        if places:
            some = [rows[place] for place in places]
            traces.append(go.Scatter(**_dots(places, some, name, _INTERVAL_INKS[reranked], metric)))
    figure = go.Figure(traces)
    figure.update_layout(
        height=96 + 44 * len(rows),
        margin={"l": 0, "r": 12, "t": 34, "b": 44},
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        xaxis={"title": f"{metric}, mean and 95 % interval", "fixedrange": True, "zeroline": False},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": [_lines(label, _ROW_CHARS, 2) for label, *_ in rows],
            "range": [len(rows) - 0.5, -0.5],
            "fixedrange": True,
            "automargin": True,
            "showgrid": False,
        },
    )
    return figure


_INTERVAL_INKS = {False: ("#d97706", "circle-open"), True: ("#0f9d8a", "diamond")}
_ROW_CHARS = 26


def _dots(
    places: Sequence[int],
    rows: Sequence[tuple[str, Interval, bool]],
    name: str,
    ink: tuple[str, str],
    metric: str,
) -> dict[str, Any]:
    means = [one.mean for _, one, _ in rows]
    return {
        "mode": "markers",
        "name": name,
        "x": means,
        "y": list(places),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.mean for _, one, _ in rows],
            "arrayminus": [one.mean - one.low for _, one, _ in rows],
            "color": ink[0],
            "thickness": 1.5,
        },
        "marker": {"size": 11, "color": ink[0], "symbol": ink[1], "line": {"width": 2}},
        "customdata": [[_lines(label, _HOVER_CHARS, 3), one.low, one.high, one.n] for label, one, _ in rows],
        "hovertemplate": "%{customdata[0]}<br><b>%{x:.3f}</b> [%{customdata[1]:.3f}, %{customdata[2]:.3f}]"
        "<br>n = %{customdata[3]:,}<extra></extra>",
    }
