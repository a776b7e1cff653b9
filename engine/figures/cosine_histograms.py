"""Histograms of cosines, one line for each kind of pairs, with its mean; computes no cosine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Kinds differ in their dashes too, and not in colour alone.
_INKS = (("#c0392b", "solid"), ("#7f8c8d", "dot"), ("#009e73", "dash"), ("#e69f00", "dashdot"))


class Histogram(NamedTuple):
    """The cosines of one kind of pairs: counts (b,) int64 between b + 1 edges, and their mean."""

    name: str
    counts: np.ndarray
    mean: float


def cosine_chart(kinds: Sequence[Histogram], edges: np.ndarray, *, height_px: int = 300) -> Figure:
    """Draw the share of each kind's cosines in every bin, for at most four kinds; edges: (b + 1,) float64."""
    import plotly.graph_objects as go

    traces = []
    for kind, (ink, dash) in zip(kinds, _INKS, strict=False):
        shares = kind.counts / max(1, int(kind.counts.sum()))
        traces.append(
            go.Scatter(
                x=np.repeat(edges, 2)[1:-1],
                y=np.repeat(shares, 2),
                mode="lines",
                line={"color": ink, "dash": dash, "width": 2},
                name=f"{kind.name}, mean {kind.mean:.2f}",
                hovertemplate="%{x:.2f}: %{y:.0%}<extra>" + kind.name + "</extra>",
            )
        )
    figure = go.Figure(traces)
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 8, "t": 8, "b": 40}),
        xaxis={"title": "cosine", "range": [-1, 1], "fixedrange": True, "zeroline": False},
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "fixedrange": True, "automargin": True},
    )
    return figure
