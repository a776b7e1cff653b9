"""Recall against size: what each way of keeping vectors gives for the space it takes; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from engine.figures.labels import HOVER_CHARS, shorten
from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Differ in shape and not in colour alone.
_MARKS = (
    ("#c0392b", "circle"),
    ("#2c7fb8", "square"),
    ("#d97706", "circle-open"),
    ("#0f9d8a", "square-open"),
)


class Kept(NamedTuple):
    """A way of keeping vectors and what it takes in megabytes."""

    name: str
    megabytes: float


def size_chart(
    kept: Sequence[Kept], recall: Mapping[str, Sequence[float]], *, height_px: int = 340
) -> Figure:
    """Draw at most four kinds of recall, each as long as `kept`, over a logarithmic axis of sizes.

    The axis names every way where it stands.
    """
    import plotly.graph_objects as go

    sizes = [one.megabytes for one in kept]
    names: dict[float, list[str]] = {}
    for one in kept:  # two ways may take the same
        names.setdefault(one.megabytes, []).append(one.name)
    traces = [
        go.Scatter(
            x=sizes,
            y=list(values),
            mode="markers",
            name=name,
            showlegend=True,
            marker={"color": ink, "symbol": symbol, "size": 11, "line": {"width": 2}},
            customdata=[shorten(one.name, HOVER_CHARS, 2) for one in kept],
            hovertemplate="%{customdata}<br>%{x:.3g} MB, %{y:.1%}<extra></extra>",
        )
        for (name, values), (ink, symbol) in zip(recall.items(), _MARKS, strict=False)
    ]
    figure = go.Figure(traces)
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 12, "t": 30, "b": 110}),
        xaxis={
            "title": "MB for the collection",
            "type": "log",
            "tickvals": list(names),
            "ticktext": [
                f"{shorten('; '.join(of), HOVER_CHARS, 2)}: {size:.3g}" for size, of in names.items()
            ],
            "tickangle": -30,
            "fixedrange": True,
        },
        yaxis={"title": "recall", "range": [-0.03, 1.05], "tickformat": ".0%", "fixedrange": True},
    )
    return figure
