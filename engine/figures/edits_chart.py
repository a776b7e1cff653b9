"""Edits of a gap as points: how far the centroids are apart after each, and what is found first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SYMBOLS = ("star", "circle", "square", "diamond", "cross", "triangle-up")
_INK = "#2c7fb8"


class Point(NamedTuple):
    """One edit: L2M after it, in [0, 2], and R@1 each way, in [0, 1]."""

    name: str
    l2m: float
    there: float
    back: float


def edits_chart(points: Sequence[Point], *, ways: tuple[str, str], height_px: int = 330) -> Figure:
    """Draw at most six edits, each with a symbol of its own: full for the first way, open for the other.

    A line joins the two. `ways` name them, for those who point at one.
    """
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=[one.l2m, one.l2m],
            y=[one.there, one.back],
            mode="markers+lines",
            marker={"symbol": [symbol, f"{symbol}-open"], "size": 12, "color": _INK},
            line={"color": "rgba(128,128,128,0.5)", "width": 1},
            name=one.name,
            text=[*ways],
            hovertemplate="%{text}: %{y:.0%}, L2M %{x:.2f}<extra>" + one.name + "</extra>",
        )
        for one, symbol in zip(points, _SYMBOLS, strict=False)
    ]
    figure = go.Figure(traces)
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 8, "t": 8, "b": 40}),
        xaxis={
            "title": "L2M: distance of the centroids",
            "rangemode": "tozero",
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "title": "R@1",
            "tickformat": ".0%",
            "rangemode": "tozero",
            "fixedrange": True,
            "automargin": True,
        },
    )
    return figure
