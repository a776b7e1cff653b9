"""Which colours the points of a map have: by what was chosen, or by modality where that needs more first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.columns import last_change
from engine.errors import QueryError
from engine.item_columns import in_words
from pages.ui import map_clusters, map_paint, map_question, resources
from pages.ui.map_choice import COLUMN
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.store import CollectionInfo
    from engine.workspace import Workspace
    from pages.ui.map_choice import Choice
    from pages.ui.map_data import DrawnMap
    from pages.ui.map_paint import Colouring
    from pages.ui.map_question import Landed


def names(workspace: Workspace, info: CollectionInfo) -> list[str]:
    """Return the columns that a collection's items can be coloured by, beside what all items have."""
    return resources.column_names_of(workspace, info.name, last_change(workspace, info.name))


def colouring(workspace: Workspace, drawn: DrawnMap, choice: Choice, landed: Landed | None) -> Colouring:
    """Return the colours that were chosen, or those by modality where these cannot be had."""
    found = _chosen(workspace, drawn, choice, landed)
    if found is not None:
        return found
    return map_paint.by_modality(drawn.columns.modality, lambda one: plural(one).capitalize())


def _chosen(workspace: Workspace, drawn: DrawnMap, choice: Choice, landed: Landed | None) -> Colouring | None:
    columns = drawn.columns
    if choice.colour == "label":
        return map_paint.by_group(map_paint.first_common(columns.labels), none_name="no label")
    if choice.colour == "media type":
        return map_paint.by_group(columns.mime, none_name="not known")
    if choice.colour == "similarity" and landed is not None:
        return map_paint.by_similarity(map_question.scores(workspace, drawn, landed), columns.modality)
    if choice.colour == "similarity":
        st.caption("Ask a question above to colour by the similarity to it.")
    if choice.colour == "cluster":
        return map_clusters.colouring(workspace, drawn, choice.min_cluster_size)
    if choice.colour.startswith(COLUMN):
        return _by_column(workspace, drawn, choice.colour.removeprefix(COLUMN))
    return None


def _by_column(workspace: Workspace, drawn: DrawnMap, name: str) -> Colouring | None:
    collection = drawn.map.collection
    version = f"{drawn.version} {last_change(workspace, collection)}"
    try:
        values = resources.column_of(workspace, drawn, collection, name, version)
    except QueryError as error:  # of two maps one may be of a collection without it
        st.caption(plain(str(error)))
        return None
    if isinstance(values, np.ndarray):
        return map_paint.by_number(values)
    return map_paint.by_group(values, name=in_words)
