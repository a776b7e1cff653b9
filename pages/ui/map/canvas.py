"""The canvases of the Map page: colours, legend, hover, clicks, selections by id, one map or two."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from engine.storage.columns import read_items
from pages.ui import large, resources
from pages.ui.figure import file_stem
from pages.ui.frame import errors
from pages.ui.map import paint, plain_plot
from pages.ui.map.colours import colouring
from pages.ui.map.component import Paint, draw
from pages.ui.map.selected import chosen
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.maps.drawn import DrawnMap
    from engine.types import Item
    from engine.workspace import Workspace
    from pages.ui.map.paint import Colouring
    from pages.ui.map.question import Landed
    from pages.ui.map.settings import Choice

_HEIGHT_PX = 560
STYLE = """<style>
.gs-legend {display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .85rem; line-height: 1.5;
  overflow-wrap: anywhere;}
.gs-legend span {display: inline-flex; align-items: center; gap: .4rem;}
.gs-legend small {opacity: .65; font-variant-numeric: tabular-nums;}
.gs-legend em {opacity: .75; font-style: normal;}
.gs-legend i {width: .7rem; height: .7rem; border-radius: 50%; flex: none;}
.gs-legend i.s1 {border-radius: 1px;}
.gs-legend i.s2 {border-radius: 0; clip-path: polygon(50% 0, 100% 100%, 0 100%);}
.gs-legend i.s3 {border-radius: 0; clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%);}
.gs-small b {font-size: 1.25rem;} .gs-small {padding-bottom: 0;}
@media (max-width: 640px) {[class*="st-key-map_a"], [class*="st-key-map_b"] {--gs-height: 400px !important;}}
</style>"""


def canvas(
    workspace: Workspace,
    name: str,
    drawn: DrawnMap,
    choice: Choice,
    landed: Landed | None,
    *,
    height_px: int = _HEIGHT_PX,
) -> None:
    """Draw one map with its legend; a hover draws the canvas again and nothing else."""
    colours = colouring(workspace, drawn, choice, landed)
    painted = _paint(drawn, colours, choice, landed)
    symbols = len(drawn.columns.present) > 1 and choice.colour != "modality"
    changed = f"map_changed_{name}"
    file = file_stem(f"{drawn.map.collection} {drawn.map.projection.method}")

    @st.fragment
    def show() -> None:
        with errors():
            parts = (name, drawn.map.projection.places, drawn.version, painted)
            told = partial(st.session_state.__setitem__, changed, True)
            if choice.plain:
                words = partial(_words, workspace, drawn)
                heard = plain_plot.draw(*parts, height_px=height_px, on_select=told, words_of=words)
            else:
                tip = partial(_tip, workspace, drawn)
                heard = draw(*parts, file=file, height_px=height_px, on_select=told, tip_of=tip)
            if st.session_state.pop(changed, False):
                chosen().select(drawn.ids(heard.selected))
                st.rerun(scope="app")
            if heard.picked is not None:
                _open(workspace, drawn, heard.picked)

    show()
    st.html(paint.legend_html(colours))
    if symbols:
        shapes = {"image": "discs", "text": "squares", "audio": "triangles", "video": "diamonds"}
        words = ", ".join(f"{plural(one)} are {shapes[one]}" for one in drawn.columns.present)
        st.caption(f"{words.capitalize()}.")


def _paint(drawn: DrawnMap, colours: Colouring, choice: Choice, landed: Landed | None) -> Paint:
    columns, picked = drawn.columns, chosen()
    size, opacity = paint.size_of(len(columns))
    selected = drawn.rows(picked.ids)
    lines, total = np.zeros(0, np.int32), 0
    if choice.lines != "none":
        lines, total = paint.pair_lines(columns.pair, selected if choice.lines == "selected" else None)
    if total > len(lines) // 2:
        st.caption(f"Showing {len(lines) // 2:,} of {total:,} lines.")
    where = landed.place(drawn) if landed else None
    marked = [where[1]] if where else []
    if picked.marked:
        marked.append(drawn.rows([picked.marked]))
    return Paint(
        colours.group,
        paint.symbols(columns.modality),
        colours.palette,
        size,
        opacity,
        lines=lines,
        marked=np.concatenate(marked).astype(np.int32) if marked else np.zeros(0, np.int32),
        chosen=selected,
        select=f"{picked.turn} {drawn.version}",
        question=landed.on(drawn) if landed else None,
    )


def _item(workspace: Workspace, drawn: DrawnMap, id_: str) -> Item | None:
    found = read_items(workspace.folder, drawn.map.collection, drawn.map.modality, [id_])
    return found[0] if found else None


def _tip(workspace: Workspace, drawn: DrawnMap, row: int) -> dict[str, Any]:
    """Return what is shown of one point: thumbnail, name, caption, modality."""
    [id_] = drawn.ids([row])
    item = _item(workspace, drawn, id_)
    kind = plural(drawn.map.modality[id_])[:-1]
    if item is None:
        return {"picture": None, "name": "This item is gone.", "words": kind}
    placed = " · placed, not fitted" if drawn.map.projection.placed[row] else ""
    words = " · ".join(part for part in (item.caption[:160], f"{kind}{placed}") if part)
    picture = resources.thumbnail_uri(workspace, item) if item.modality != "text" else None
    return {"picture": picture, "name": item.name[:80], "words": words}


def _words(workspace: Workspace, drawn: DrawnMap, rows: np.ndarray) -> list[str]:
    """Return a line of words for each of some rows (m,) of any int dtype."""
    ids = drawn.ids(rows)
    items = {
        item.id: item for item in read_items(workspace.folder, drawn.map.collection, drawn.map.modality, ids)
    }
    return [(items[id_].caption or items[id_].name)[:80] if id_ in items else "" for id_ in ids]


def _open(workspace: Workspace, drawn: DrawnMap, row: int) -> None:
    item = _item(workspace, drawn, drawn.ids([row])[0])
    if item is None:
        st.toast("This item is gone; the map is redrawn with the next change.")
        return
    large.show(workspace, drawn.map.collection, [item])


def say_shared(one: Sequence[str], other: Sequence[str]) -> None:
    """Say how many items two maps have in common, where these are not all."""
    both = len(set(one) & set(other))
    if not both == len(one) == len(other):
        st.caption(plain(f"{both:,} items are on both maps; a selection on one shows there on the other."))
