"""How the points of a map look: colours by group, symbols by modality, lines between pairs; pure NumPy.

Colours are Okabe and Ito's first: people who see no red or no green tell them apart. No streamlit here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

import numpy as np

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
SYMBOLS: dict[Modality, int] = {"image": 0, "text": 1, "audio": 2, "video": 3}  # as in map.js
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


def by_modality(modality: Sequence[Modality], name: Callable[[Modality], str]) -> Colouring:
    """Return a colour per modality, always the same one."""
    present = [one for one in MODALITIES if one in set(modality)]
    codes = {one: place for place, one in enumerate(present)}
    counted = Counter(modality)
    return Colouring(
        np.fromiter((codes[one] for one in modality), np.uint8, len(modality)),
        tuple(MODALITY_COLOURS[one] for one in present),
        tuple((MODALITY_COLOURS[one], name(one), counted[one]) for one in present),
        symbols={name(one): SYMBOLS[one] for one in present},
    )


def by_group(
    values: Sequence[Hashable],
    *,
    none: Hashable = "",
    none_name: str = "none",
    name: Callable[[Hashable], str] = str,
) -> Colouring:
    """Return a colour for each of the commonest values; the others share a grey, and so does none."""
    counted = Counter(values)
    without = counted.pop(none, 0)
    order = sorted(counted, key=lambda value: (-counted[value], str(value)))
    room = MOST_COLOURS - 2 if len(order) > MOST_COLOURS - 1 else MOST_COLOURS - 1
    shown = order[:room]
    other = len(shown)
    codes = {value: place for place, value in enumerate(shown)}
    palette = [_COLOURS[place] for place in range(len(shown))]
    legend = [(palette[place], name(value), counted[value]) for place, value in enumerate(shown)]
    rest = sum(counted[value] for value in order[room:])
    if rest:
        legend.append((GREY, f"{len(order) - room:,} others", rest))
    if without:
        legend.append((GREY, none_name, without))
    group = np.fromiter((codes.get(value, other) for value in values), np.uint8, len(values))
    return Colouring(group, (*palette, GREY), tuple(legend))


def first_common(labels: Sequence[Sequence[str]]) -> list[str]:
    """Return one label for every row: of those it has, the commonest in all; empty where it has none."""
    counted = Counter(label for some in labels for label in some)
    return [min(some, key=lambda label: (-counted[label], label)) if some else "" for some in labels]


def by_similarity(scores: np.ndarray, modality: Sequence[Modality]) -> Colouring:
    """Return a scale by rank within each modality; scores (n,) cosines, NaN where there is none.

    Cosines of two modalities share no scale, so that a colour by the score itself would show the gap only.
    """
    names = np.array(modality)
    share = np.zeros(len(scores))
    for one in np.unique(names):
        rows = np.flatnonzero((names == one) & np.isfinite(scores))
        if len(rows):
            share[rows[np.argsort(scores[rows], kind="stable")]] = (np.arange(len(rows)) + 1) / len(rows)
    # The nearest few matter: half of the scale is for the last fifth.
    steps = np.clip((share**3 * _STEPS).astype(int), 0, _STEPS - 1).astype(np.uint8)
    palette = tuple(_between(place / (_STEPS - 1)) for place in range(_STEPS))
    return Colouring(
        steps,
        palette,
        ((palette[0], "far", 0), (palette[_STEPS // 2], "", 0), (palette[-1], "near", 0)),
        "Colour is the rank of the cosine with the question, within each modality.",
    )


def pair_lines(pair: Sequence[str], selected: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return rows two by two, from the first of what belongs together to each other one, and their number.

    selected: (m,) rows of which one end must be, or None for all. At most MOST_LINES are returned, (2m,)
    int32.
    """
    codes = np.unique(np.array(pair), return_inverse=True)[1] if len(pair) else np.zeros(0, int)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0]) if len(order) else np.zeros(0, int)
    first = order[np.repeat(starts, np.diff(np.r_[starts, len(order)]))]
    both = np.stack([first, order], 1)[first != order]
    if selected is not None:
        inside = np.zeros(len(codes), bool)
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


def _between(share: float) -> str:
    for (low, a), (high, b) in pairwise(_SCALE):
        if share <= high:
            part = (share - low) / (high - low)
            return "#" + "".join(f"{round(x + (y - x) * part):02x}" for x, y in zip(a, b, strict=True))
    raise ValueError(f"{share} is not in [0, 1]")
