"""What all visitors share: the opened workspace, its jobs, and small cached pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from engine.maps.drawn import DrawnMap
from pages.ui.wording import say_error

if TYPE_CHECKING:
    import numpy as np

    from engine.evaluation.questions import Direction, Truth
    from engine.jobs.boot import Boot
    from engine.jobs.computed import Computations
    from engine.jobs.queue import Jobs
    from engine.lessons.split import Split
    from engine.models.base import Kind
    from engine.models.readiness import Readiness
    from engine.storage.columns import Category
    from engine.types import Item, Modality, VectorTable
    from engine.workspace import Workspace


@st.cache_resource(show_spinner=False)
def boot() -> Boot:
    from engine.jobs.boot import Boot

    return Boot().start()


def restart() -> None:
    """Try to open the workspace again, after the cause of the error is gone."""
    state = boot()
    if state.ended and state.workspace is None:
        boot.clear()


def opened(seconds: float = 30) -> tuple[Workspace, Jobs]:
    """Return the workspace and its jobs, waiting for them; stops the page with words if it must."""
    state = boot()
    if not state.ended:
        with st.spinner("Opening the store …"):
            state.wait(seconds)
    if state.workspace is None or state.jobs is None:
        show_boot_error(state)
        st.stop()
    return state.workspace, state.jobs


def show_boot_error(state: Boot) -> None:
    if state.error:
        say_error(state.error)
    else:
        st.info(
            f"{state.stage} is taking a long time; it continues in the background.",
            icon=":material/hourglass:",
        )
    if st.button("Try again", key="boot_retry", icon=":material/refresh:"):
        restart()
        st.rerun()


@st.cache_data(show_spinner=False, max_entries=4_000)
def data_uri(path: str) -> str:
    """Return a thumbnail as a data URI; only thumbnails we made ourselves come here."""
    return "data:image/webp;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def thumbnail_uri(workspace: Workspace, item: Item) -> str | None:
    """Return the thumbnail of what an item shows: of a caption, the picture it belongs to."""
    media = item.media or (item.pair if item.pair != item.id else None)
    path = workspace.library.thumbnail_path(media) if media else None
    return data_uri(str(path)) if path and path.exists() else None


@st.cache_data(show_spinner=False, max_entries=24)
def readable_picture(_workspace: Workspace, path: str, side_px: int) -> bytes:
    """Return a picture as WebP, with no side longer than so many pixels, whatever it was stored as.

    Raises MediaError, OSError.
    """
    from engine.media.decoder import open_picture
    from engine.media.parts import Limits

    picture = open_picture(Path(path).read_bytes(), Limits.of(_workspace.settings, side_px))
    picture.thumbnail((side_px, side_px))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=85, method=1)
    return out.getvalue()


@st.cache_data(show_spinner=False, max_entries=300)
def sample_uri(path: str) -> str:
    """Return a bundled photograph as a small WebP data URI."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.draft("RGB", (320, 320))
        picture.thumbnail((320, 320))
        out = io.BytesIO()
        picture.convert("RGB").save(out, "WEBP", quality=75, method=1)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


@st.cache_data(show_spinner=False, max_entries=50)
def labels_of(_workspace: Workspace, collection: str, total: int) -> list[str]:
    """Return the labels of a collection, commonest first; `total` renews it when items come or go."""
    counts: dict[str, int] = {}
    for modality in _workspace.store.info(collection).counts:
        for item in _workspace.store.all_items(collection, modality):
            for label in item.labels:
                counts[label] = counts.get(label, 0) + 1
    return sorted(counts, key=lambda label: (-counts[label], label))


@st.cache_data(show_spinner="Counting the questions …", max_entries=50)
def questions_of(_workspace: Workspace, collection: str, version: str) -> dict[tuple[Truth, Direction], int]:
    """Return how many questions can be asked of a collection; `version` renews it."""
    from engine.evaluation.questions import survey

    return survey(_workspace.store, _workspace.ledger, collection)


@st.cache_data(show_spinner=False, ttl=10)
def local_models() -> dict[str, Kind]:
    """Return the hub models that are whole on this machine, with their kind as the files say it."""
    from engine.models.hub import files

    found = {}
    for id_ in files.local_models():
        try:
            found[id_] = files.kind_of(files.find(id_).folder)
        except GapscopeError:  # only another revision than its main one is here
            continue
    return found


@st.cache_data(show_spinner="Looking at this machine …", ttl=10)
def model_survey(_workspace: Workspace) -> list[Readiness]:
    """Return every model of the catalog and whether it runs here; the first time imports torch."""
    from engine.models.readiness import survey

    return survey(_workspace.settings)


@st.cache_resource(show_spinner="Opening the map …", max_entries=4)
def map_of(_workspace: Workspace, collection: str, settings: str, version: str) -> DrawnMap | None:
    """Return a kept map with what it takes to draw it; `version` renews it. Not to be changed: it is shared.

    settings: as JSON. Raises ProjectionError, StoreError.
    """
    import json

    from engine.maps.projection import ProjectionSettings

    content = _workspace.maps.content_of(collection)
    found = _workspace.maps.open(content, ProjectionSettings.of(json.loads(settings)))
    return None if found is None else DrawnMap.of(found, content.columns)


@st.cache_resource(show_spinner="Reading the vectors …", max_entries=2)
def vectors_of(_workspace: Workspace, _drawn: DrawnMap, collection: str, version: str) -> VectorTable:
    """Return the vectors of what is on a map, shared and not to be changed; `version` renews them."""
    from engine.storage.columns import read_vectors

    return read_vectors(_workspace.folder, collection, _drawn.map.projection.ids)


@st.cache_resource(show_spinner=False)
def works() -> Computations:
    """Return what is computed of maps in the background, and was."""
    from engine.jobs.computed import Computations

    return Computations()


@st.cache_data(show_spinner=False, max_entries=50)
def column_names_of(_workspace: Workspace, collection: str, version: str) -> list[str]:
    """Return the columns that a collection's items have beside what all have; `version` renews it."""
    from engine.storage.extra_columns import column_names

    return column_names(_workspace.folder, collection)


@st.cache_resource(show_spinner="Reading the column …", max_entries=8)
def column_of(
    _workspace: Workspace, _drawn: DrawnMap, collection: str, name: str, version: str
) -> Category | np.ndarray:
    """Return a column's value for every item on a map, shared and not to be changed; `version` renews it.

    Numbers (n,) float64 with NaN for none, or groups. Raises QueryError where no item has it.
    """
    from engine.storage.extra_columns import read_column

    return read_column(_workspace.folder, collection, name, _drawn.columns.ids)


@st.cache_resource(show_spinner=False, max_entries=50)
def question_vector(_workspace: Workspace, collection: str, made_by: str, text: str) -> np.ndarray:
    """Return the unit vector (d,) float32 of a question in words. Raises ModelError, QueryError."""
    from engine.search.search import Query, query_content

    modality, content = query_content(Query(text=text))
    with _workspace.models.embedder(_workspace.folder.choice_of(collection)) as embedder:
        return embedder.encode_query(modality, [content])[0]


@st.cache_resource(show_spinner="Reading the vectors …", max_entries=2)
def split_of(_workspace: Workspace, collection: str, a: Modality, b: Modality, version: str) -> Split:
    """Return at most 10,000 pairs in halves, shared and not to be changed; `version` renews them.

    Raises GapError, StoreError, FolderError, CollectionNotFoundError.
    """
    from engine.evaluation.gap_matrix import MOST_ROWS
    from engine.lessons.split import read_split

    return read_split(_workspace.folder, collection, a=a, b=b, most=MOST_ROWS)


@st.cache_data(show_spinner="Looking which collections share media …", max_entries=20)
def most_shared(
    _workspace: Workspace, collections: tuple[str, ...], versions: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the two collections with the most items in common, none without; `versions` renew it."""
    from engine.lessons.compare import most_shared

    return most_shared(_workspace.folder, collections)
