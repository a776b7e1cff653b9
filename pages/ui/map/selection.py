"""What is selected on the map: counts, cards, typical and odd items; labels, export, deletion."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from engine.maps import selection
from engine.storage.columns import read_items
from pages.ui import cards, resources
from pages.ui.frame import SEARCH, errors
from pages.ui.map.selected import Chosen, chosen
from pages.ui.wording import plain, plural, say_error

if TYPE_CHECKING:
    from engine.jobs.queue import Jobs
    from engine.maps.drawn import DrawnMap
    from engine.types import Item, Modality
    from engine.workspace import Workspace

_LABELS_SHOWN = 12
_NOTE = "map_note"


def draw_section(workspace: Workspace, jobs: Jobs, drawn: DrawnMap) -> None:
    """Draw the selection, or how to make one."""
    picked = chosen()
    ids = tuple(id_ for id_ in picked.ids if id_ in drawn.row)
    if note := st.session_state.pop(_NOTE, None):
        st.toast(plain(note), icon=":material/check:")
    if not ids:
        if picked.marked in drawn.row:
            _marked(workspace, drawn, picked)
        st.caption(
            "Select with Lasso or Box (or hold Shift and drag) to see items here; click a point to open it."
        )
        return
    of_each, tags = selection.counts(drawn.columns, drawn.rows(ids))
    st.subheader(f"{len(ids):,} selected", anchor=False)
    st.html(_counts_html(of_each, tags))
    _actions(workspace, jobs, drawn, ids)
    _gallery(workspace, drawn, ids, picked)
    _parts(workspace, drawn, ids)


def _marked(workspace: Workspace, drawn: DrawnMap, picked: Chosen) -> None:
    for item in read_items(workspace.folder, drawn.map.collection, drawn.map.modality, [picked.marked]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"Marked on the map: {(item.caption or item.name)[:120]}")
            if st.button("Unmark", key="map_unmark", type="tertiary"):
                _mark("")


def _counts_html(of_each: dict[Modality, int], tags: list[tuple[str, int]]) -> str:
    kinds = "".join(f"<span><b>{count:,} {plural(one)}</b></span>" for one, count in of_each.items())
    labels = "".join(
        f"<span>{escape(tag[:40])} <small>{n:,}</small></span>" for tag, n in tags[:_LABELS_SHOWN]
    )
    more = f"<em>and {len(tags) - _LABELS_SHOWN:,} more labels</em>" if len(tags) > _LABELS_SHOWN else ""
    return f'<div class="gs-legend">{kinds}</div><div class="gs-legend">{labels}{more}</div>'


def _gallery(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...], picked: Chosen) -> None:
    @st.fragment
    def show() -> None:
        with errors():
            rows = cards.pager(len(ids), key=f"map_page_{picked.turn}")
            _cards(workspace, drawn, ids[rows], key="map")

    show()


def _cards(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...], *, key: str) -> None:
    collection = drawn.map.collection
    items = read_items(workspace.folder, collection, drawn.map.modality, ids)
    if len(items) < len(ids):
        st.caption(f"{len(ids) - len(items):,} of these are gone, or belong to another data folder.")
    cards.grid(
        workspace, collection, [(item, None) for item in items], key=key, extra=partial(_show_on_map, key)
    )


def _show_on_map(key: str, item: Item) -> None:
    if st.button("On map", key=f"mark_{key}_{item.id}", type="tertiary", help="Show it large on the map"):
        _mark(item.id)


def _mark(id_: str) -> None:
    st.query_params.pop("item", None)
    chosen().marked = id_
    st.rerun(scope="app")


def _parts(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...]) -> None:
    """Draw the most typical, the least typical and the nearest others, where these were asked for."""
    with st.expander(
        "Most typical, least typical, and nearest outside the selection",
        icon=":material/center_focus_strong:",
        key="map_parts",
        on_change="rerun",
    ) as part:
        if not part.open:
            return
        st.caption(
            "By cosine similarity to the centroid of the selected vectors, within each modality; positions "
            "on the map play no part."
        )
        table = resources.vectors_of(workspace, drawn, drawn.map.collection, drawn.version)
        for one in selection.parts(table, drawn.map.modality, ids):
            st.markdown(f"**{plural(one.modality).capitalize()}**, n = {one.n:,}")
            ends = [("most typical", one.typical), ("least typical", one.odd)]
            shown = [(name, *end) for name, end in ends if end]
            if shown:
                words = "; ".join(f"{name}: cosine {score:.3f}" for name, _, score in shown)
                st.caption(f"{words}, in this order")
                _cards(workspace, drawn, tuple(id_ for _, id_, _ in shown), key=f"ends_{one.modality}")
            elif one.n > 1:
                st.caption("All are equally near their centroid.")
            if one.outside:
                scores = ", ".join(f"{score:.3f}" for _, score in one.outside)
                st.caption(f"Nearest outside the selection, cosine {scores}")
                _cards(workspace, drawn, tuple(id_ for id_, _ in one.outside), key=f"near_{one.modality}")


def _actions(workspace: Workspace, jobs: Jobs, drawn: DrawnMap, ids: tuple[str, ...]) -> None:
    collection = drawn.map.collection
    busy = any(
        job.active and job.spec.kind != "fit-map" and collection in (job.spec.collection, job.spec.target)
        for job in jobs.list()
    )
    with st.container(horizontal=True, key="map_actions"):
        with st.popover("Label", icon=":material/label:"):
            _label(workspace, drawn, ids, busy)
        with st.popover("Export", icon=":material/download:"):
            _export(workspace, drawn, ids)
        with st.popover("Delete", icon=":material/delete:"):
            _delete(workspace, drawn, ids, busy)
        if st.button("Clear the selection", key="map_clear", type="tertiary", icon=":material/close:"):
            chosen().select(())
            st.rerun()


def _label(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...], busy: bool) -> None:
    collection = drawn.map.collection
    label = st.text_input(
        "Label for the selected items", key="map_label", max_chars=100, placeholder="my find"
    )
    if busy:
        st.caption("A job is working on this collection: wait for it, or cancel it first.")
    usable = bool(label and label.strip()) and not busy
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Save", key="map_label_save", type="primary", disabled=not usable):
            _relabel(workspace, collection, ids, label or "", remove=False)
        if st.button("Remove label", key="map_label_remove", disabled=not usable):
            _relabel(workspace, collection, ids, label or "", remove=True)
        st.page_link(  # a link: switch_page refuses what is bound to a widget here, the collection
            SEARCH,
            label="Open in Search",
            query_params={"collection": collection, "labels": (label or "").strip()},
            disabled=not usable,
            icon=":material/search:",
        )
    st.caption("Labels are kept with the items; Search and the Library can filter by them.")


def _relabel(
    workspace: Workspace, collection: str, ids: tuple[str, ...], label: str, *, remove: bool
) -> None:
    bar = st.progress(0.0, text=f"Writing {len(ids):,} items …")

    def fill(share: float) -> None:
        bar.progress(share)

    try:
        changed = workspace.folder.label_items(collection, ids, label, remove=remove, on_progress=fill)
    except GapscopeError as error:
        say_error(str(error))
        return
    finally:
        resources.labels_of.clear()
        bar.empty()
    verb = "removed from" if remove else "added to"
    st.session_state[_NOTE] = f"{label.strip()!r} was {verb} {changed:,} items."
    st.rerun()


def _export(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...]) -> None:
    from engine.maps import selection_export

    collection, found = drawn.map.collection, drawn.map
    name = f"{collection}-selection"

    def items() -> list[Item]:
        return read_items(workspace.folder, collection, found.modality, ids)

    def parquet() -> bytes:
        table = resources.vectors_of(workspace, drawn, collection, drawn.version)
        there = set(table.ids)
        rows = [item for item in items() if item.id in there]
        return selection_export.to_parquet(rows, table, found.projection)

    files = (
        (
            "CSV",
            "with coordinates",
            lambda: selection_export.to_csv(items(), found.projection),
            "csv",
            "text/csv",
        ),
        ("Parquet", "with vectors and coordinates", parquet, "parquet", "application/vnd.apache.parquet"),
        (
            "Zip",
            "of the files with captions and labels",
            lambda: selection_export.to_zip(items(), collection, workspace.folder),
            "zip",
            "application/zip",
        ),
    )
    for label, words, data, suffix, mime in files:
        st.download_button(
            f"{label}, {words}",
            data,
            file_name=f"{name}.{suffix}",
            mime=mime,
            key=f"map_export_{suffix}",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
        )


def _delete(workspace: Workspace, drawn: DrawnMap, ids: tuple[str, ...], busy: bool) -> None:
    many = f"{len(ids):,} items" if len(ids) != 1 else "1 item"
    st.text(
        f"This deletes {many} from {drawn.map.collection}, and the files that only they use. "
        f"This cannot be undone."
    )
    if busy:
        st.caption("A job is working on this collection: wait for it, or cancel it first.")
    sure = st.checkbox(f"Yes, delete {many}", key=f"map_delete_sure_{chosen().turn}")
    if st.button("Delete them", key="map_delete", disabled=not sure or busy, icon=":material/delete:"):
        workspace.delete_items(drawn.map.collection, ids)
        resources.labels_of.clear()
        chosen().select(())
        st.session_state[_NOTE] = f"{many} deleted."
        st.rerun()
