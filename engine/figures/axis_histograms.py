"""How many pictures and texts lie where along one axis, as two histograms; computes no place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.figures.clouds import IMAGE_INK, TEXT_INK
from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def axis_chart(
    images: np.ndarray, texts: np.ndarray, edges: np.ndarray, *, axis: str, height_px: int = 240
) -> Figure:
    """Draw how many pictures and texts are in each bin: a full line and a dashed one, both filled.

    images and texts: counts (b,) int64 between edges (b + 1,) float64; `axis` names what is along it.
    """
    import plotly.graph_objects as go

    figure = go.Figure(
        [
            go.Scatter(
                x=np.repeat(edges, 2)[1:-1],
                y=np.repeat(counts, 2),
                mode="lines",
                fill="tozeroy",
                line={"color": ink, "dash": dash, "width": 2},
                name=name,
                hovertemplate="%{x:.2f}: %{y}<extra>" + name + "</extra>",
            )
            for counts, name, ink, dash in (
                (images, "pictures", IMAGE_INK, "solid"),
                (texts, "texts", TEXT_INK, "dash"),
            )
        ]
    )
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 8, "t": 8, "b": 40}),
        xaxis={"title": axis, "fixedrange": True, "zeroline": False},
        yaxis={"title": "items", "rangemode": "tozero", "fixedrange": True, "automargin": True},
    )
    return figure
