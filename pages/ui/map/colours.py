"""Which colours the points of a map have: by what was chosen, or by modality where that needs more first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.errors import QueryError
from engine.storage.columns import last_change
from engine.storage.extra_columns import in_words
from pages.ui import resources
from pages.ui.map import clusters, paint, question
from pages.ui.map.settings import COLUMN
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.maps.drawn import DrawnMap
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace
    from pages.ui.map.paint import Colouring
    from pages.ui.map.question import Landed
    from pages.ui.map.settings import Choice


def names(workspace: Workspace, info: CollectionInfo) -> list[str]:
    """Return the columns that a collection's items can be coloured by, beside what all items have."""
    return resources.column_names_of(workspace, info.name, last_change(workspace.folder, info.name))


def colouring(workspace: Workspace, drawn: DrawnMap, choice: Choice, landed: Landed | None) -> Colouring:
    """Return the colours that were chosen, or those by modality where these cannot be had."""
    found = _chosen(workspace, drawn, choice, landed)
    if found is not None:
        return found
    return paint.by_modality(drawn.columns.modality, lambda one: plural(one).capitalize())


def _chosen(workspace: Workspace, drawn: DrawnMap, choice: Choice, landed: Landed | None) -> Colouring | None:
    columns = drawn.columns
    if choice.colour == "label":
        return paint.by_group(paint.first_common(columns.labels), none_name="no label")
    if choice.colour == "media type":
        return paint.by_group(columns.mime, none_name="not known")
    if choice.colour == "similarity" and landed is not None:
        return paint.by_similarity(question.scores(workspace, drawn, landed), columns.modality)
    if choice.colour == "similarity":
        st.caption("Ask a question above to colour by the similarity to it.")
    if choice.colour == "cluster":
        return clusters.colouring(workspace, drawn, choice.min_cluster_size)
    if choice.colour.startswith(COLUMN):
        return _by_column(workspace, drawn, choice.colour.removeprefix(COLUMN))
    return None


def _by_column(workspace: Workspace, drawn: DrawnMap, name: str) -> Colouring | None:
    collection = drawn.map.collection
    version = f"{drawn.version} {last_change(workspace.folder, collection)}"
    try:
        values = resources.column_of(workspace, drawn, collection, name, version)
    except QueryError as error:  # of two maps one may be of a collection without it
        st.caption(plain(str(error)))
        return None
    if isinstance(values, np.ndarray):
        return paint.by_number(values)
    return paint.by_group(values, name=in_words)
