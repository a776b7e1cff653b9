"""Means with their 95 % intervals, a row each, to be compared at a glance; computes no interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.figures.labels import CLEAR, HOVER_CHARS, shorten

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from engine.evaluation.metrics import Interval

_INTERVAL_INKS = {False: ("#d97706", "circle-open"), True: ("#0f9d8a", "diamond")}
_ROW_CHARS = 26


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
        plot_bgcolor=CLEAR,
        dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        xaxis={
            "title": f"{metric}, mean and 95 % confidence interval",
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": [shorten(label, _ROW_CHARS, 2) for label, *_ in rows],
            "range": [len(rows) - 0.5, -0.5],
            "fixedrange": True,
            "automargin": True,
            "showgrid": False,
        },
    )
    return figure


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
        "customdata": [[shorten(label, HOVER_CHARS, 3), one.low, one.high, one.n] for label, one, _ in rows],
        "meta": ["of", "", "", "n"],
        "hovertemplate": "%{customdata[0]}<br><b>%{x:.3f}</b> [%{customdata[1]:.3f}, %{customdata[2]:.3f}]"
        "<br>n = %{customdata[3]:,}<extra></extra>",
    }
