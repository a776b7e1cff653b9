"""Gap against retrieval: a dot for every two modalities of a collection; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.figures.labels import HOVER_CHARS, shorten
from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Kinds differ in shape and not in colour alone.
_MARKS = (
    ("#009e73", "circle"),
    ("#e69f00", "square"),
    ("#2c7fb8", "diamond"),
    ("#c0392b", "cross"),
    ("#7b3a74", "triangle-up"),
    ("#7f8c8d", "star"),
)


class GapDot(NamedTuple):
    """A dot: what it is of, for the legend (`kind`) and on hover (`label`), its gap and its R@1."""

    kind: str
    label: str
    gap: float
    r1: float


def gap_dots_chart(dots: Sequence[GapDot], *, measure: str, chance: float, height_px: int = 340) -> Figure:
    """Draw R@1 over the gap, for at most six kinds; `measure` names the gap, a line stands at chance."""
    import plotly.graph_objects as go

    kinds = list(dict.fromkeys(one.kind for one in dots))
    traces = [
        go.Scatter(**_marks([one for one in dots if one.kind == kind], kind, *mark))
        for kind, mark in zip(kinds, _MARKS, strict=False)
    ]
    figure = go.Figure(traces)
    figure.add_hline(
        y=chance,
        name="chance",
        line={"color": "rgba(128,128,128,0.7)", "width": 1, "dash": "dot"},
        annotation_text="chance",
    )
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 8, "t": 30, "b": 40}),
        showlegend=True,
        xaxis={"title": measure, "rangemode": "tozero", "fixedrange": True, "zeroline": False},
        yaxis={"title": "R@1, mean of both ways", "range": [-0.03, 1.03], "fixedrange": True},
    )
    return figure


def _marks(dots: Sequence[GapDot], kind: str, ink: str, symbol: str) -> dict[str, Any]:
    return {
        "x": [one.gap for one in dots],
        "y": [one.r1 for one in dots],
        "mode": "markers",
        "name": kind,
        "marker": {"color": ink, "symbol": symbol, "size": 11},
        "customdata": [shorten(one.label, HOVER_CHARS, 3) for one in dots],
        "meta": ["of"],
        "hovertemplate": "%{customdata}<br>gap %{x:.3f}, R@1 %{y:.3f}<extra></extra>",
    }
