"""Two clouds of points with a line from each picture to its text, at one scale for a whole series of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.figures.layout import fixed_layout

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Those of the map, so that a colour means the same on both.
IMAGE_INK, TEXT_INK, LINE_INK = "#009e73", "#e69f00", "rgba(128,128,128,0.35)"


def cloud_chart(
    images: np.ndarray,
    texts: np.ndarray,
    *,
    limit: float,
    height_px: int = 380,
    names: tuple[str, str] = ("pictures", "texts"),
) -> Figure:
    """Draw pictures as discs and texts as squares, row i joined with row i.

    images and texts: (n, 2) float32; both axes run from -limit to limit, so that distances compare from one
    figure to the next. `names` are for the legend, where they are two other modalities.
    """
    import plotly.graph_objects as go

    figure = go.Figure(
        [
            go.Scatter(**_lines(images, texts)),
            go.Scatter(**_points(images, names[0], IMAGE_INK, "circle")),
            go.Scatter(**_points(texts, names[1], TEXT_INK, "square-open")),
        ]
    )
    axis = {"range": [-limit, limit], "showticklabels": False, "zeroline": False, "fixedrange": True}
    figure.update_layout(
        **fixed_layout(height_px, margin={"l": 0, "r": 0, "t": 30, "b": 0}),
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x"},
    )
    return figure


def _lines(images: np.ndarray, texts: np.ndarray) -> dict[str, Any]:
    between = np.full((len(images), 3, 2), np.nan, np.float32)  # the gap ends each line
    between[:, 0], between[:, 1] = images, texts
    x, y = between.reshape(-1, 2).T
    line = {"color": LINE_INK, "width": 1}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip", "name": "pairs"}


def _points(places: np.ndarray, name: str, ink: str, symbol: str) -> dict[str, Any]:
    # Open ones on top: where both lie at one place, both are seen.
    open_ = symbol.endswith("-open")
    marker = {"color": ink, "symbol": symbol, "size": 7 if open_ else 6, "opacity": 0.85}
    x, y = places.T
    return {"x": x, "y": y, "mode": "markers", "marker": marker, "name": name, "hoverinfo": "name"}
