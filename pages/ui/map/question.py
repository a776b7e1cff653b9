"""Where a question lands on a map: at the median place of its nearest items; nothing else is embedded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.errors import GapscopeError
from engine.models.base import ModelChoice
from engine.models.catalog import DEFAULT_MODEL
from pages.ui import resources
from pages.ui.models import picker
from pages.ui.wording import plain, plural, say_error

if TYPE_CHECKING:
    from engine.maps.drawn import DrawnMap
    from engine.storage.chroma import CollectionInfo
    from engine.types import SearchTrace
    from engine.workspace import Workspace

HITS, NEAREST = 20, 10
_SHOWN = 24  # characters of a question on the canvas


@dataclass(frozen=True)
class Landed:
    """A question with its hits, and its unit vector (d,) float32."""

    text: str
    trace: SearchTrace
    vector: np.ndarray = field(repr=False)

    def place(self, drawn: DrawnMap) -> tuple[list[float], np.ndarray] | None:
        """Return where it lands on a map and the rows (m,) int32 of its hits; None where none is there."""
        rows = drawn.rows(hit.item.id for hit in self.trace.results)
        if not len(rows):
            return None
        return np.median(drawn.map.projection.places[rows[:NEAREST]], axis=0).tolist(), rows

    def on(self, drawn: DrawnMap) -> dict[str, object] | None:
        """Return what the canvas draws of it."""
        landed = self.place(drawn)
        label = self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 1]}…"
        return {"place": landed[0], "label": label} if landed else None


def ask(workspace: Workspace, info: CollectionInfo, text: str) -> Landed | None:
    """Ask the collection; says what is wrong, or how far its model's load is, and returns None then."""
    from engine.search.search import Query

    if not text:
        return None
    try:
        choice = ModelChoice.of(info.made_by).weights
        if choice.id != DEFAULT_MODEL:
            choice = workspace.models.loader.resolve(choice).weights
            if not picker.ensure_loaded(workspace, choice, key="map", at_once=True):
                return None
        trace = workspace.search(Query(text=text), collection=info.name, k=HITS)
        vector = resources.question_vector(workspace, info.name, f"{info.created_at} {info.made_by}", text)
    except GapscopeError as error:  # a map needs no model: it is drawn all the same
        say_error(str(error))
        return None
    return Landed(text, trace, vector)


def say(landed: Landed, drawn: DrawnMap) -> None:
    """Say what is marked, and of which modalities the hits are."""
    trace, modality = landed.trace, drawn.map.modality
    if trace.doubt:
        st.info(plain(trace.doubt), icon=":material/help:")
    on_map = [hit for hit in trace.results if hit.item.id in drawn.row]
    if not on_map:
        st.caption("None of the nearest items is on this map.")
        return
    counts = Counter(modality[hit.item.id] for hit in on_map)
    kinds = " and ".join(f"{count:,} {plural(one)}" for one, count in counts.items())
    nearest = min(NEAREST, len(on_map))
    st.caption(
        plain(
            f"The cross is where {landed.text[:80]!r} lands: the median position of its {nearest} nearest "
            f"items. Marked are the {len(on_map)} nearest by cosine similarity, over all modalities: "
            f"{kinds}. Model {trace.model}; {trace.timings_ms['embed']:.0f} ms to embed."
        )
    )


def scores(workspace: Workspace, drawn: DrawnMap, landed: Landed) -> np.ndarray:
    """Return the cosine of every item on the map with the question, (n,) float64; NaN: it is gone."""
    found = np.full(len(drawn.columns), np.nan)
    table = resources.vectors_of(workspace, drawn, drawn.map.collection, drawn.version)
    found[drawn.rows(table.ids)] = table.vectors @ landed.vector
    return found
