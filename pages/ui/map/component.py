"""The map as a component of its own: packed bytes to the canvas of js/, selections back as row numbers.

Three parts draw one map: `points` (places; sent again only after a fit), `paint` (how they look) and `tip`
(of the one hovered over), so that a new colour sends no place again, and a hover next to nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

# A component of an app that is no installed package takes its script as one string. So the modules are
# joined into one scope, each after those that it imports, without their import lines and the word export;
# an editor, and a browser, still reads each file as the module that it is.
_MODULES = ("data", "camera", "shaders", "draw", "select", "tip", "save", "input", "main")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)
_KEYS = (
    "Arrow keys move or turn it, plus and minus zoom, 0 shows all, Escape drops a lasso that is being drawn."
)
_HTML = f"""<div class="gs-canvas">
<canvas tabindex="0" role="application" aria-label="Map of the collection. {_KEYS}"></canvas>
<svg></svg>
<div class="tip"><img alt=""><b></b><span></span></div><div class="note" role="status"></div>
<div class="tools" role="toolbar" aria-label="Tools of the map">
<button type="button" data-tool="pan" aria-pressed="true" title="Drag to move or turn, wheel to zoom"
>Move</button>
<button type="button" data-tool="lasso" aria-pressed="false" title="Draw around points (or hold Shift)"
>Lasso</button>
<button type="button" data-tool="box" aria-pressed="false" title="Draw a box over points">Box</button>
<button type="button" data-tool="in" aria-label="Zoom in" title="Zoom in (key +)">+</button>
<button type="button" data-tool="out" aria-label="Zoom out" title="Zoom out (key -)">−</button>
<button type="button" data-tool="fit" title="Show all (key 0)">Fit</button>
<button type="button" data-tool="none" title="Select nothing">Clear</button>
<button type="button" data-tool="save" title="Save what is in sight as a PNG">PNG</button></div></div>"""
_CSS = """
.gs-canvas {position: relative; width: 100%; height: var(--gs-height, 560px); border-radius: .6rem;
  background: color-mix(in srgb, var(--st-text-color) 4%, transparent); overflow: hidden;}
canvas {width: 100%; height: 100%; display: block; touch-action: none; border-radius: inherit;}
canvas:focus-visible, .tools button:focus-visible {outline: 2px solid var(--st-primary-color);}
canvas:focus-visible {outline-offset: -2px;} .tools button:focus-visible {outline-offset: 2px;}
svg {position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; overflow: visible;}
svg .lasso {stroke: var(--st-primary-color);
  fill: color-mix(in srgb, var(--st-primary-color) 18%, transparent);}
svg path.question {stroke: var(--st-text-color); stroke-width: 2.5;}
svg text.question {fill: var(--st-text-color); font: 600 13px var(--st-font, sans-serif); paint-order: stroke;
  stroke: var(--st-background-color); stroke-width: 4px;}
.tools {position: absolute; top: .5rem; left: .5rem; display: flex; gap: .2rem; flex-wrap: wrap;}
.tools button {font: 500 .78rem var(--st-font, sans-serif); padding: .2rem .5rem; border-radius: .4rem;
  border: 1px solid color-mix(in srgb, var(--st-text-color) 20%, transparent); cursor: pointer;
  background: var(--st-background-color); color: var(--st-text-color);}
.tools button[aria-pressed="true"] {background: var(--st-primary-color); color: #fff;}
.tip {display: none; position: absolute; max-width: 220px; pointer-events: none; padding: .45rem;
  border-radius: .5rem; background: var(--st-background-color); color: var(--st-text-color);
  border: 1px solid color-mix(in srgb, var(--st-text-color) 20%, transparent);
  font: .8rem var(--st-font, sans-serif);
  box-shadow: 0 3px 12px rgba(0, 0, 0, .18); overflow-wrap: anywhere;}
.tip img {width: 160px; max-height: 130px; object-fit: cover; border-radius: .35rem; margin-bottom: .3rem;}
.tip b, .tip span {display: block;} .tip span {opacity: .75;}
.note {position: absolute; inset: auto .7rem .7rem;}
"""
MOST_GROUPS = 256
_KINDS = {"float32": "f32", "uint8": "u8", "uint16": "u16", "int32": "i32"}
MANY = 200_000  # points, as in js/data.js; places of more are sent in 16 bits, which is finer than a pixel


@dataclass(frozen=True)
class Paint:
    """How the points of a map look: row i of `group` and `symbol` is row i of its places.

    group: (n,) uint8, a place in `palette` (hex colours); symbol: (n,) uint8, 0 disc, 1 square, 2 triangle,
    3 diamond; lines: (2m,) int32 rows, two by two; marked: rows shown large; chosen: rows selected from
    outside, taken over where `select` changes. `question` is where a question lands: {"place", "label"}.
    """

    group: np.ndarray = field(repr=False)
    symbol: np.ndarray = field(repr=False)
    palette: Sequence[str]
    size_px: float
    opacity: float
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    marked: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    chosen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    select: str = ""
    question: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.group.shape != self.symbol.shape or self.group.ndim != 1:
            raise ValueError(f"groups {self.group.shape} and symbols {self.symbol.shape} differ")
        if len(self.palette) > MOST_GROUPS or (len(self.group) and self.group.max() >= len(self.palette)):
            raise ValueError(f"{len(self.palette)} colours do not fit the groups")


@dataclass(frozen=True)
class Heard:
    """What a person did on the map: rows selected, (m,) int32, and the row clicked or rested on now."""

    selected: np.ndarray = field(repr=False)
    picked: int | None = None
    hovered: int | None = None


def pack(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a JSON head and arrays as bytes: uint32 length of the head, the head, the arrays in order.

    Arrays are (...,) float32, uint8, uint16 or int32, and arrive flat. Raises KeyError for others.
    """
    named = [[name, _KINDS[str(array.dtype)], int(array.size)] for name, array in arrays.items()]
    text = json.dumps({**head, "arrays": named}).encode()
    return b"".join((struct.pack("<I", len(text)), text, *(array.tobytes() for array in arrays.values())))


def quantised(places: np.ndarray) -> tuple[np.ndarray, list[float], float]:
    """Return places as they are sent, with the lowest and the step of each axis: place = low + step * sent.

    places: (n, 2 or 3) float32; sent: the same float32, or uint16 where there are more than MANY. One step
    for all axes keeps the map's proportions.
    """
    if len(places) <= MANY:
        return np.ascontiguousarray(places, np.float32), [0.0] * places.shape[1], 1.0
    low = places.min(0).astype(np.float64)
    step = max(float((places.max(0) - low).max()) / 65_535, 1e-12)
    return np.rint((places - low) / step).astype(np.uint16), low.tolist(), step


def script() -> str:
    """Return the modules of the canvas as the one that the browser gets, with a default export."""
    folder = Path(__file__).with_name("js")
    texts = {name: (folder / f"{name}.js").read_text(encoding="utf-8") for name in _MODULES}
    return "\n".join(
        f"// {name}.js\n{_EXPORT.sub('', _IMPORT.sub('', text))}" for name, text in texts.items()
    )


def selected_rows(state: str, version: str, count: int) -> np.ndarray:
    """Return the rows (m,) int32 of a selection, none where it is of another version of the map or broken."""
    of, _, bits = state.partition(":") if isinstance(state, str) else ("", "", "")
    if of != version:
        return np.zeros(0, np.int32)
    try:
        raw = np.frombuffer(base64.b64decode(bits, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        return np.zeros(0, np.int32)
    rows = np.flatnonzero(np.unpackbits(raw, bitorder="little"))
    return rows[rows < count].astype(np.int32)


def draw(
    name: str,
    places: np.ndarray,
    version: str,
    paint: Paint,
    *,
    file: str = "map",
    height_px: int = 560,
    on_select: Callable[[], None] = lambda: None,
    tip_of: Callable[[int], Mapping[str, Any] | None] = lambda row: None,
) -> Heard:
    """Draw a map and return what was done on it.

    places: (n, 2 or 3) float32; version changes whenever they do; name tells maps of one page apart; file
    is the name of the picture that can be saved, without its ending. tip_of gives what is shown of a row that
    is hovered over: {"picture", "name", "words"}.
    """
    count, dims = places.shape
    sent, low, step = quantised(places)
    head = {"kind": "points", "map": name, "version": version, "n": count, "dims": dims, "file": file}
    points = pack({**head, "low": low, "step": step}, {"places": sent})
    with st.container(key=f"map_{name}", gap=None):
        st.html(f"<style>.st-key-map_{name} {{--gs-height: {height_px}px;}}</style>")
        done = _component("points")(
            key=f"map_points_{name}",
            data=points,
            on_selection_change=on_select,
            on_picked_change=lambda: None,
            on_hovered_change=lambda: None,
        )
        _component("paint")(key=f"map_paint_{name}", data=_painted(name, paint))
        rows = selected_rows(done.get("selection") or "", version, count)
        heard = Heard(rows, _row(done.get("picked"), count), _row(done.get("hovered"), count))
        tip = None if heard.hovered is None else tip_of(heard.hovered)
        shown = {"kind": "tip", "map": name, "tip": {**tip, "row": heard.hovered} if tip else None}
        _component("tip")(key=f"map_tip_{name}", data=pack(shown, {}))
    return heard


def _painted(name: str, paint: Paint) -> bytes:
    head = {
        "kind": "paint",
        "map": name,
        "palette": list(paint.palette),
        "size": paint.size_px,
        "opacity": paint.opacity,
        "select": paint.select,
        "extra": paint.question,
    }
    arrays = {
        "group": paint.group.astype(np.uint8),
        "symbol": paint.symbol.astype(np.uint8),
        **{part: getattr(paint, part).astype(np.int32) for part in ("lines", "marked", "chosen")},
    }
    return pack(head, arrays)


def _component(kind: str) -> Any:
    html, css = (_HTML, _CSS) if kind == "points" else ("<i hidden></i>", "")
    return st.components.v2.component(f"gapscope_map_{kind}", html=html, css=css, js=script())


def _row(value: Any, count: int) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 <= value < count else None
