"""What figures share in their layout: no dragging, the legend above, and no background of their own."""

from __future__ import annotations

from typing import Any

from engine.figures.labels import CLEAR


def fixed_layout(height_px: int, *, margin: dict[str, int]) -> dict[str, Any]:
    """Return plotly's layout of a figure that stays as it is; axes are added by each figure."""
    return {
        "height": height_px,
        "margin": margin,
        "plot_bgcolor": CLEAR,
        "dragmode": False,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    }
