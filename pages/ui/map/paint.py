"""How the points of a map look: colours by group, symbols by modality, lines between pairs; pure NumPy.

Colours are Okabe and Ito's first: people who see no red or no green tell them apart. No streamlit here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from engine.storage.columns import Category
from engine.types import MODALITIES, Modality

MOST_COLOURS = 20
MOST_LINES = 5_000
GREY = "#8a8f98"
MODALITY_COLOURS: dict[Modality, str] = {
    "image": "#009e73",
    "text": "#e69f00",
    "audio": "#cc79a7",
    "video": "#0072b2",
}
SYMBOLS: dict[Modality, int] = {"image": 0, "text": 1, "audio": 2, "video": 3}  # as in js/shaders.js
# Okabe and Ito 2008 without black, its yellow darkened for light pages; then Tol's muted scheme, lightened.
_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#cc79a7",
    "#0072b2",
    "#d55e00",
    "#b5a800",
    "#8c6bd1",
    "#44aa99",
    "#c2185b",
    "#7a9a01",
    "#5d7fd6",
    "#b06f3c",
    "#e57373",
    "#3f9b3f",
    "#a64ca6",
    "#2fb5c4",
    "#94623d",
    "#d4a5e6",
)
_STEPS = 64  # of a scale
# Matplotlib's viridis at five places: lightness rises all the way, whatever hues somebody sees.
_NUMBERS = (
    (0.0, (68, 1, 84)),
    (0.25, (59, 82, 139)),
    (0.5, (33, 145, 140)),
    (0.75, (94, 201, 98)),
    (1.0, (253, 231, 37)),
)
_SCALE = ((0.0, (150, 158, 168)), (0.55, (230, 159, 0)), (1.0, (205, 40, 20)))


@dataclass(frozen=True)
class Colouring:
    """A colour for every row: `group` (n,) uint8 is a place in `palette`.

    `legend` is colour, name and count of every group; `note` says what the colours mean, where they need it.
    """

    group: np.ndarray = field(repr=False)
    palette: tuple[str, ...]
    legend: tuple[tuple[str, str, int], ...]
    note: str = ""
    symbols: Mapping[str, int] = field(default_factory=dict)


def by_modality(modality: Category, name: Callable[[Modality], str]) -> Colouring:
    """Return a colour per modality, always the same one."""
    counted = dict(zip(modality.values, modality.counts().tolist(), strict=True))
    present = [one for one in MODALITIES if counted.get(one)]
    codes = np.array([present.index(one) if one in present else 0 for one in modality.values], np.uint8)
    return Colouring(
        codes[modality.codes],
        tuple(MODALITY_COLOURS[one] for one in present),
        tuple((MODALITY_COLOURS[one], name(one), counted[one]) for one in present),
        symbols={name(one): SYMBOLS[one] for one in present},
    )


def symbols(modality: Category) -> np.ndarray:
    """Return the symbol of every row, (n,) uint8 as in js/shaders.js."""
    return np.array([SYMBOLS[one] for one in modality.values], np.uint8)[modality.codes]


def by_group(
    column: Category,
    *,
    none: Hashable = "",
    none_name: str = "none",
    name: Callable[[Any], str] = str,
) -> Colouring:
    """Return a colour for each of the commonest values; the others share a grey, and so does none."""
    counted = Counter(dict(zip(column.values, column.counts().tolist(), strict=True)))
    without = counted.pop(none, 0)
    order = sorted((value for value in counted if counted[value]), key=lambda one: (-counted[one], str(one)))
    room = MOST_COLOURS - 2 if len(order) > MOST_COLOURS - 1 else MOST_COLOURS - 1
    shown = order[:room]
    codes = {value: place for place, value in enumerate(shown)}
    palette = [_COLOURS[place] for place in range(len(shown))]
    legend = [(palette[place], name(value), counted[value]) for place, value in enumerate(shown)]
    rest = sum(counted[value] for value in order[room:])
    if rest:
        legend.append((GREY, f"{len(order) - room:,} others", rest))
    if without:
        legend.append((GREY, none_name, without))
    groups = np.array([codes.get(value, len(shown)) for value in column.values], np.uint8)
    return Colouring(groups[column.codes], (*palette, GREY), tuple(legend))


def first_common(labels: Category) -> Category:
    """Return one label for every row: of those it has, the commonest in all; empty where it has none."""
    counted: Counter[str] = Counter()
    for some, count in zip(labels.values, labels.counts().tolist(), strict=True):
        counted.update(dict.fromkeys(some, count))
    first = [min(some, key=lambda one: (-counted[one], one)) if some else "" for some in labels.values]
    chosen = Category.of(first)  # two sets of labels may have the same first one
    return Category(chosen.codes[labels.codes], chosen.values)


def by_similarity(scores: np.ndarray, modality: Category) -> Colouring:
    """Return a scale by rank within each modality; scores (n,) float64 cosines, NaN where there is none.

    Cosines of two modalities share no scale, so that a colour by the score itself would show the gap only.
    """
    share = np.zeros(len(scores))
    for one in modality.values:
        rows = np.flatnonzero(modality.where(one) & np.isfinite(scores))
        if len(rows):
            share[rows[np.argsort(scores[rows], kind="stable")]] = (np.arange(len(rows)) + 1) / len(rows)
    # The nearest few matter: half of the scale is for the last fifth.
    steps = np.clip((share**3 * _STEPS).astype(int), 0, _STEPS - 1).astype(np.uint8)
    palette = tuple(_between(place / (_STEPS - 1)) for place in range(_STEPS))
    return Colouring(
        steps,
        palette,
        ((palette[0], "far", 0), (palette[_STEPS // 2], "", 0), (palette[-1], "near", 0)),
        "Colour is the rank by cosine similarity to the question, within each modality.",
    )


def by_number(values: np.ndarray) -> Colouring:
    """Return a scale of values (n,) float64, NaN for none; its ends colour the outermost hundredths."""
    known = np.isfinite(values)
    low, high = (float(one) for one in np.percentile(values[known], (1, 99))) if known.any() else (0.0, 0.0)
    share = np.clip((values - low) / max(high - low, 1e-300), 0, 1)
    steps = np.where(known, np.nan_to_num(share) * (_STEPS - 1), _STEPS).round().astype(np.uint8)
    palette = (*(_between(place / (_STEPS - 1), _NUMBERS) for place in range(_STEPS)), GREY)
    ends = [(palette[place], f"{at:,.6g}", 0) for place, at in _ticks(low, high)]
    none = [(GREY, "none", int((~known).sum()))] if not known.all() else []
    return Colouring(steps, palette, (*ends, *none))


def _ticks(low: float, high: float) -> list[tuple[int, float]]:
    return [(0, low), (_STEPS // 2, (low + high) / 2), (_STEPS - 1, high)] if high > low else [(0, low)]


def pair_lines(pair: np.ndarray, selected: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return rows two by two, from the first of what belongs together to each other one, and their number.

    pair: (n,) int32, the same for what belongs together; selected: (m,) int32 rows of which one end must be,
    or None for all. At most MOST_LINES are returned, (2m,) int32.
    """
    order = np.argsort(pair, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(pair[order]) != 0]) if len(order) else np.zeros(0, int)
    first = order[np.repeat(starts, np.diff(np.r_[starts, len(order)]))]
    both = np.stack([first, order], 1)[first != order]
    if selected is not None:
        inside = np.zeros(len(pair), bool)
        inside[selected] = True
        both = both[inside[both].any(1)]
    return both[:MOST_LINES].astype(np.int32).reshape(-1), len(both)


def size_of(n: int) -> tuple[float, float]:
    """Return a point's width in pixels and its opacity that suit so many of them."""
    return max(1.5, min(9.0, 30 / max(1, n) ** 0.2)), float(
        np.clip(1.35 - 0.15 * np.log10(max(1, n)), 0.35, 0.9)
    )


def legend_html(colouring: Colouring) -> str:
    """Return the legend; names of strangers are escaped."""
    rows = []
    for colour, name, count in colouring.legend:
        shape = colouring.symbols.get(name, 0)
        number = f"<small>{count:,}</small>" if count else ""
        rows.append(
            f'<span><i class="s{shape}" style="background:{colour}"></i>{escape(name[:60])} {number}</span>'
        )
    note = f"<em>{escape(colouring.note)}</em>" if colouring.note else ""
    return f'<div class="gs-legend">{"".join(rows)}{note}</div>'


def _between(share: float, scale: Sequence[tuple[float, tuple[int, int, int]]] = _SCALE) -> str:
    for (low, a), (high, b) in pairwise(scale):
        if share <= high:
            part = (share - low) / (high - low)
            return "#" + "".join(f"{round(x + (y - x) * part):02x}" for x, y in zip(a, b, strict=True))
    raise ValueError(f"{share} is not in [0, 1]")
