"""Colours by cluster: HDBSCAN on the vectors, named from captions and labels; noise is grey and called so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs import map_computations
from engine.storage.columns import Category
from pages.ui import waiting
from pages.ui.map import paint
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.analysis.clusters import Clusters
    from engine.maps.drawn import DrawnMap
    from engine.workspace import Workspace
    from pages.ui.map.paint import Colouring


def colouring(workspace: Workspace, drawn: DrawnMap, min_cluster_size: int) -> Colouring | None:
    """Return a colour per cluster; None where a large collection has none yet, with the button for it."""
    if min_cluster_size < 2:
        min_cluster_size = max(4, min(50, round(len(drawn.columns) ** 0.5 / 4)))
    task = map_computations.clusters_of(workspace, drawn, min_cluster_size)
    key = f"map_clusters_{hash((drawn.map.collection, drawn.map.settings))}"  # two maps may be on the page
    computed = waiting.results([task], label="Find clusters", key=key)
    if computed is None:
        return None
    [found] = computed
    of = dict(zip(found.ids, found.labels.tolist(), strict=True))
    labels = Category.of(of.get(id_, -1) for id_ in drawn.columns.ids)
    st.caption(plain(_words(found)))
    if not found.names:
        st.caption("All items are noise: try a smaller min_cluster_size in the settings.")
    colours = paint.by_group(
        labels, none=-1, none_name="noise", name=lambda place: found.names[place] or f"cluster {place + 1}"
    )
    return replace(colours, note="Clusters are named by the words that set their captions and labels apart.")


def _words(found: Clusters) -> str:
    parts = [f"{len(found.names):,} clusters; {found.noise:,} of {len(found):,} items are noise"]
    if found.sample < len(found):
        parts.append(f"{found.sample:,} were clustered, and the others joined the nearest cluster")
    kinds = [plural(one) for one in found.modalities]
    alone = f", {' and '.join(kinds)} each by themselves" if len(kinds) > 1 else ""
    parts.append(f"HDBSCAN on the vectors{alone}, min_cluster_size {found.min_cluster_size}")
    return " · ".join([*parts, f"seed {found.seed}"])
