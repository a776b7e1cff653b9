"""Near duplicates of a collection: groups above a similarity that is set here, each with "Keep one"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs import map_computations
from engine.storage.columns import read_items
from pages.ui import cards, resources, waiting
from pages.ui.frame import errors
from pages.ui.map.selected import chosen
from pages.ui.wording import plural

if TYPE_CHECKING:
    from engine.analysis.near_duplicates import Duplicates, Group
    from engine.jobs.queue import Jobs
    from engine.maps.drawn import DrawnMap
    from engine.workspace import Workspace

_GROUPS_SHOWN, _CARDS_SHOWN = 5, 8


def draw_section(workspace: Workspace, jobs: Jobs, drawn: DrawnMap) -> None:
    """Draw the groups, once somebody opens the section."""
    with st.expander(
        "Near duplicates", icon=":material/content_copy:", key="map_duplicates", on_change="rerun"
    ) as part:
        if part.open:
            _groups(workspace, jobs, drawn)


def _groups(workspace: Workspace, jobs: Jobs, drawn: DrawnMap) -> None:
    @st.fragment
    def show() -> None:
        with errors():
            threshold = st.slider(
                "Lowest cosine similarity of near duplicates, within a modality",
                0.80,
                1.0,
                0.97,
                0.005,
                format="%.3f",
                key="duplicates_threshold",
            )
            task = map_computations.duplicates_of(workspace, drawn, threshold)
            computed = waiting.results([task], label="Compare every pair", key="map_duplicates_find")
            if computed is None:
                return
            collection, [found] = drawn.map.collection, computed
            st.caption(
                f"{_count(found)}, {found.surplus:,} items beyond one of each, at cosine "
                f"{found.threshold:.3f} or more; {found.compared:,} pairs compared, none sampled."
            )
            if not found.groups:
                return
            busy = any(
                job.active and collection in (job.spec.collection, job.spec.target) for job in jobs.list()
            )
            rows = _pages(len(found.groups))
            for place in range(*rows.indices(len(found.groups))):
                _group(workspace, drawn, found, found.groups[place], busy)

    show()


def _pages(count: int) -> slice:
    pages = -(-count // _GROUPS_SHOWN)
    page = st.pagination(pages, key="duplicates_page", width="stretch") if pages > 1 else 1
    return slice((page - 1) * _GROUPS_SHOWN, page * _GROUPS_SHOWN)


def _group(workspace: Workspace, drawn: DrawnMap, found: Duplicates, group: Group, busy: bool) -> None:
    collection, modality = drawn.map.collection, drawn.map.modality
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(
            f"{len(group.ids):,} {plural(modality[group.keep])}, cosine {group.similarity_min:.3f} to "
            f"{group.similarity_max:.3f}"
        )
        with st.popover("Keep one", icon=":material/filter_1:", key=f"keep_{group.keep}"):
            _keep_one(workspace, drawn, found, group, busy)
        if st.button("Select on the map", key=f"keep_select_{group.keep}", type="tertiary"):
            chosen().select(group.ids)
            st.rerun(scope="app")
    if found.is_chain(group):
        st.caption(f":material/warning: {_chain_words(found, group)}")
    shown = group.ids[:_CARDS_SHOWN]
    items = read_items(workspace.folder, collection, modality, shown)
    cards.grid(workspace, collection, [(item, None) for item in items], key=f"twins_{group.keep}")
    if len(group.ids) > len(shown):
        st.caption(f"Showing {len(shown)} of {len(group.ids):,}.")


def _keep_one(workspace: Workspace, drawn: DrawnMap, found: Duplicates, group: Group, busy: bool) -> None:
    collection, gone = drawn.map.collection, frozenset(group.ids) - {group.keep}
    st.text(f"Keeps the first one shown, and deletes {len(gone):,} from {collection}. This cannot be undone.")
    if found.is_chain(group):
        st.warning(_chain_words(found, group), icon=":material/warning:")
    if busy:
        st.caption("A job is working on this collection: wait for it, or cancel it first.")
    if st.button("Keep the first one", key=f"keep_go_{group.keep}", disabled=busy, type="primary"):
        rest = found.without(gone)
        workspace.delete_items(collection, gone)
        left = map_computations.duplicates_of(
            workspace, drawn, found.threshold, but=gone
        )  # as it is from now on
        if rest is not None:  # many pairs need not be compared again for one group less
            resources.works().put(left, rest)
        resources.labels_of.clear()
        st.rerun(scope="app")


def _chain_words(found: Duplicates, group: Group) -> str:
    return (
        f"A chain: each of these is a near duplicate of another one, but not all of each other. The least "
        f"alike two have a cosine of {group.similarity_min:.3f}, below the {found.threshold:.3f} asked for: "
        f"look at all of them before you keep one."
    )


def _count(found: Duplicates) -> str:
    return "1 group" if len(found.groups) == 1 else f"{len(found.groups):,} groups"
