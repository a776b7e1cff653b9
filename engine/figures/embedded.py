"""Figures as parts of an HTML page that opens without a network, with plotly.js once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_CONFIG = {"displaylogo": False, "responsive": True, "toImageButtonOptions": {"scale": 2}}


def plotly_script() -> str:
    """Return the script that draws the parts, some 5 MB, with its tags; it belongs before the first part."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def part(figure: Figure, name: str) -> str:
    """Return the part of a figure, dark on white; `name` is its id on the page, in letters and digits."""
    figure.update_layout(template="plotly_white", paper_bgcolor="#ffffff")
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=_CONFIG, div_id=name))
