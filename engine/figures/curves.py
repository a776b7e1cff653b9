"""Numbers over steps, of a training, of layers or of a setting, with a mark at the one that is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_INKS = (("#c0392b", "solid"), ("#2c7fb8", "dash"), ("#0f9d8a", "dot"), ("#d97706", "dashdot"))


def curve_chart(
    steps: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    at: float,
    last: float,
    first: float = 0,
    step: str = "step",
    height_px: int = 260,
) -> Figure:
    """Draw at most four lines over steps first to last, each as long as steps; a vertical line is at `at`.

    `step` names what is counted.
    """
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=list(steps),
            y=list(values),
            mode="lines",
            name=name,
            showlegend=True,  # of one line too, which plotly would leave unnamed
            line={"color": ink, "dash": dash, "width": 2},
        )
        for (name, values), (ink, dash) in zip(lines.items(), _INKS, strict=False)
    ]
    figure = go.Figure(traces)
    figure.add_vline(x=at, name="here", line={"color": "rgba(128,128,128,0.7)", "width": 1})
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 8, "t": 8, "b": 40}),
        xaxis={"title": step, "range": [first, last], "fixedrange": True, "zeroline": False},
        yaxis={"rangemode": "tozero", "fixedrange": True, "automargin": True},
    )
    return figure
