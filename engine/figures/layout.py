"""What figures share in their layout: no dragging, the legend above, and no background of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.figures.labels import CLEAR

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PROJECTED_FONT_PX = 18


def fixed_layout(height_px: int, *, margin: dict[str, int]) -> dict[str, Any]:
    """Return plotly's layout of a figure that stays as it is; axes are added by each figure."""
    return {
        "height": height_px,
        "margin": margin,
        "plot_bgcolor": CLEAR,
        "dragmode": False,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    }


def enlarge(figure: Figure) -> None:
    """Set all words and numbers of a figure in type that is read from the back of a room, in place."""
    size = {"size": PROJECTED_FONT_PX}
    height = figure.layout.height  # None: plotly's own, which is high enough
    figure.update_layout(font=size, legend_font=size, height=height and round(height * 1.4))
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(tickfont=size, title_font=size, automargin=True)
    figure.update_annotations(font=size)
    figure.update_traces(textfont=size)
