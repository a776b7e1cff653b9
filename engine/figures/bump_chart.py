"""How a reranker moved each hit, as a line from its rank before to its rank after; counts no ranks itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.figures.labels import CLEAR, HOVER_CHARS, HOVER_LINES, LABEL_FONT_PX, number, shorten

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from engine.evaluation.rank_changes import Move

# Told apart without their colour too: by dashes, by the shape at both ends, and by the words on hover.
_WAYS: dict[str, dict[str, str]] = {
    "rose": {"colour": "#14a394", "dash": "solid", "symbol": "triangle-up"},
    "fell": {"colour": "#d97706", "dash": "dash", "symbol": "triangle-down"},
    "stayed": {"colour": "#8a918d", "dash": "dot", "symbol": "circle"},
}
_CURVE = np.linspace(0, 1, 13)  # of one line, from the rank before (x = 0) to the rank after (x = 1)
_LINE_PX, _RIGHT_PX, _END_PX = 1.6, 5, 7
_RANK_PX, _BUMP_PX = 13, (260, 620)  # height of a rank, and of the whole drawing at least and at most


def bump_chart(moves: Sequence[Move], *, right: Collection[str] = ()) -> Figure:
    """Draw a line per hit from its rank before (left) to its rank after reranking (right), best on top.

    `right` names by id the right answers, which are drawn thick. Captions are shown whole on hover and
    nothing in them is taken for markup.
    """
    import plotly.graph_objects as go

    traces = [
        _bumps(way, [one for one in moves if way == _way(one) and thick == (one.item.id in right)], thick)
        for thick in (False, True)  # thick ones last, so that they lie on top
        for way in _WAYS
    ]
    last = max((max(one.before, one.after) for one in moves), default=1)
    return go.Figure([*(one for one in traces if one), _rank_labels(last)], _bump_layout(last))


def _way(move: Move) -> str:
    return "rose" if move.moved > 0 else "fell" if move.moved < 0 else "stayed"


def _bumps(way: str, moves: Sequence[Move], thick: bool) -> dict[str, Any] | None:
    """Return the lines of one kind as one trace, with gaps between them; None where there are none."""
    if not moves:
        return None
    look, steps = _WAYS[way], len(_CURVE)
    y = [[*(one.before + (one.after - one.before) * _eased()).tolist(), None] for one in moves]
    end = _END_PX + (4 if thick else 0)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"right answer, {way}" if thick else way,
        "x": [*_CURVE.tolist(), None] * len(moves),
        "y": [value for line in y for value in line],
        "customdata": [line for one in moves for line in [list(_told(one, thick))] * (steps + 1)],
        "meta": ["hit", "told"],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "line": {
            "color": look["colour"],
            "width": _RIGHT_PX if thick else _LINE_PX,
            "dash": "solid" if thick else look["dash"],
            "shape": "spline",
        },
        "marker": {
            "color": look["colour"],
            "symbol": look["symbol"],
            "size": [*[end, *[0] * (steps - 2), end], 0] * len(moves),
            "line": {"width": 0},
            "opacity": 1,
        },
        "opacity": 1 if thick else 0.8,
    }


def _eased() -> np.ndarray:
    """Return shares of the way that begin and end level, (13,) float64 in [0, 1]."""
    return _CURVE**2 * (3 - 2 * _CURVE)


def _told(move: Move, thick: bool) -> Iterator[str]:
    """Yield what hovering a line tells: the caption, and ranks and score."""
    yield shorten(move.item.caption or move.item.name, HOVER_CHARS, HOVER_LINES)
    how = f"up {move.moved:,}" if move.moved > 0 else f"down {-move.moved:,}" if move.moved < 0 else "stayed"
    score = "not reranked" if move.read == "below" else "no score"
    if move.rerank_score is not None:
        score = f"score {number(move.rerank_score, 2)} on its own scale"
    yield f"rank {move.before:,} → {move.after:,}, {how}<br>{score}" + ("<br>a right answer" if thick else "")


def _rank_labels(last: int) -> dict[str, Any]:
    """Return the numbers of some ranks beside both ends."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1_000) if last / step <= 12)
    ranks = [1, *range(step, last + 1, step)] if step > 2 else [*range(1, last + 1, step)]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [-0.05] * len(ranks) + [1.05] * len(ranks),
        "y": ranks * 2,
        "text": [f"{rank:,}" for rank in ranks] * 2,
        "textposition": ["middle left"] * len(ranks) + ["middle right"] * len(ranks),
        "textfont": {"size": LABEL_FONT_PX},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _bump_layout(last: int) -> dict[str, Any]:
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True}
    top = {"y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {
        "height": int(np.clip(last * _RANK_PX + 90, *_BUMP_PX)),
        "margin": {"l": 0, "r": 0, "t": 24, "b": 0, "pad": 0},
        "plot_bgcolor": CLEAR,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": {**hidden, "range": [-0.16, 1.16]},
        "yaxis": {**hidden, "range": [last + 0.8, 0.2]},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": LABEL_FONT_PX}},
        "annotations": [
            {**top, "x": 0, "xanchor": "center", "text": "retrieved"},
            {**top, "x": 1, "xanchor": "center", "text": "reranked"},
        ],
    }
