"""The map as a plotly chart: for a browser without WebGL2; forgets its zoom when the colours change.

Of many points a sample is drawn, and a lasso still selects among all of them. `component.py` draws the
map that keeps its zoom, shows pictures and takes a million points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from pages.ui import figure
from pages.ui.map.component import Heard, Paint

MOST = 5_000  # points of SVG that a browser still moves
_SYMBOLS = ("circle", "square", "triangle-up", "diamond")  # as in js/shaders.js
_FAINT = "rgba(127,127,127,0.35)"


def draw(
    name: str,
    places: np.ndarray,
    version: str,
    paint: Paint,
    *,
    height_px: int = 560,
    on_select: Callable[[], None] = lambda: None,
    words_of: Callable[[np.ndarray], Sequence[str]] = lambda rows: [""] * len(rows),
) -> Heard:
    """Draw a map and return what was selected on it; as `component.draw`, but with words on hover.

    places: (n, 2 or 3) float32, of which the first two axes are drawn; words_of gives the words of rows.
    """
    rows = shown_rows(len(places), paint.marked)
    if len(rows) < len(places):
        st.caption(f"Showing {len(rows):,} of {len(places):,} points; a lasso selects among all of them.")
    if places.shape[1] == 3:
        st.caption("The plain plot shows the first two of three axes.")
    done = figure.show(
        plot(places, rows, paint, words_of(rows), _layout(version, height_px)),
        key=f"map_plain_{name}",
        name=f"map {name}",
        on_select=on_select,
        selection_mode=("lasso", "box"),
        config={"scrollZoom": True, "displaylogo": False},
    )
    return Heard(within(places, polygons(done.get("selection") or {})))


def shown_rows(count: int, marked: np.ndarray) -> np.ndarray:
    """Return the rows that are drawn, sorted: (at most MOST,) int64, those marked, (m,) int32, among them."""
    if count <= MOST:
        return np.arange(count)
    some = np.random.default_rng(0).choice(count, MOST - min(len(marked), MOST), replace=False)
    return np.unique(np.concatenate([some, marked]))


def plot(
    places: np.ndarray, rows: np.ndarray, paint: Paint, words: Sequence[str], layout: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a plotly figure of some rows with their words, the lines between pairs, and the question.

    places: (n, 2 or 3) float32; rows: (m,) int64, which `words` has one for each of.
    """
    marked, chosen = np.isin(rows, paint.marked), np.flatnonzero(np.isin(rows, paint.chosen))
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": places[rows, 0].tolist(),
        "y": places[rows, 1].tolist(),
        "text": [_escaped(one) for one in words],
        "hoverinfo": "text",
        **({"selectedpoints": chosen.tolist()} if len(paint.chosen) else {}),
        "marker": {
            "color": [paint.palette[group] for group in paint.group[rows]],
            "symbol": [_SYMBOLS[symbol] for symbol in paint.symbol[rows]],
            "size": np.where(marked, 2.2, 1.0) * (paint.size_px + 1),
            "opacity": paint.opacity,
        },
    }
    return {
        "data": [*_lines(places, paint.lines), points, *_question(paint)],
        "layout": dict(layout),
    }


def polygons(selection: Mapping[str, Any]) -> list[np.ndarray]:
    """Return what was drawn round points, as corners (m, 2) float64, from plotly's words on a selection."""
    lassos = [np.array([one["x"], one["y"]], float).T for one in selection.get("lasso") or ()]
    boxes = [(*one["x"], *one["y"]) for one in selection.get("box") or ()]
    return [*lassos, *(np.array([(a, c), (b, c), (b, d), (a, d)], float) for a, b, c, d in boxes)]


def within(places: np.ndarray, drawn: list[np.ndarray]) -> np.ndarray:
    """Return the rows of places (n, 2 or 3) that lie in any polygon drawn, by the even-odd rule: (m,) int32.

    A polygon is its corners, (c, 2) float64.
    """
    inside = np.zeros(len(places), bool)
    for corners in drawn:
        rows = np.flatnonzero(((places[:, :2] >= corners.min(0)) & (places[:, :2] <= corners.max(0))).all(1))
        inside[rows] |= _odd(places[rows, 0], places[rows, 1], corners)
    return np.flatnonzero(inside).astype(np.int32)


def _odd(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return of which places a ray to the right crosses an odd number of a polygon's sides: (n,) bool.

    x, y: (n,) float32; corners: (c, 2) float64.
    """
    odd = np.zeros(len(x), bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        if ay != by:
            odd ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return odd


def _escaped(text: str) -> str:
    """Return text of strangers so that plotly takes nothing in it for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(places: np.ndarray, lines: np.ndarray) -> list[dict[str, Any]]:
    """Return plotly's trace of the lines between places (n, 2 or 3) float32; lines: (2m,) int32 rows."""
    if not len(lines):
        return []
    ends = places[lines, :2].reshape(-1, 2, 2)
    broken = np.concatenate([ends, np.full((len(ends), 1, 2), np.nan)], 1).reshape(-1, 2)
    x, y = ([None if np.isnan(one) else one for one in column.tolist()] for column in broken.T)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": y,
            "hoverinfo": "skip",
            "line": {"color": _FAINT, "width": 1},
        }
    ]


def _question(paint: Paint) -> list[dict[str, Any]]:
    if not paint.question:
        return []
    x, y = paint.question["place"][:2]
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [x],
            "y": [y],
            "text": [_escaped(paint.question["label"])],
            "textposition": "middle right",
            "hoverinfo": "skip",
            "marker": {"symbol": "cross-thin-open", "size": 18, "line": {"width": 3}},
        }
    ]


def _layout(version: str, height_px: int) -> dict[str, Any]:
    axis = {"visible": False}
    return {
        "height": height_px,
        "dragmode": "lasso",
        "showlegend": False,
        "uirevision": version,
        "margin": dict.fromkeys("lrtb", 8),
        "xaxis": axis,
        "yaxis": {**axis, "scaleanchor": "x"},
    }
