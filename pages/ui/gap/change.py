"""Change a gap and read at once what becomes of everything else: the controls, and what they compute."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import streamlit as st

from engine.analysis.edits import EDITS
from engine.errors import GapscopeError
from engine.jobs.lesson_computation import lesson_of
from engine.storage.columns import last_change
from engine.types import MODALITIES, Modality
from pages.ui import resources, waiting
from pages.ui.gap import readings
from pages.ui.gap.address import Controls, say_refused
from pages.ui.gap.lessons.lesson import TOWERS
from pages.ui.gap.shown import Shown
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    import numpy as np

    from engine.jobs.computed import Computation
    from engine.lessons.readings import Curve, Readings
    from engine.lessons.split import Change, Split
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

RANGES = {"change_share": (-1.0, 2.0), "change_dims": (1, 20)}
ONE_OF = {"change_edit": EDITS}
CONTROLS = Controls(
    ("change_collection", "change_between", "change_edit", "change_share", "change_dims", "change_q"),
    RANGES,
    ONE_OF,
)
_SHARE_HELP = (
    "How far both modalities are shifted towards each other along the line of their centroids. 0: as it is. "
    "1: the whole line, the centroids are one before vectors are made unit length again. Below 0 the gap is "
    "widened, above 1 they pass each other. It is not the gap: that is measured again after each shift."
)
_EDIT_HELP = (
    "shift: along the line of centroids. centre: each modality's mean is taken off it. standardise: divided "
    "by its spread in every dimension too. project-out: the direction of the gap is taken out of every "
    "vector. drop-dims: the dimensions in which the centroids differ most are set to 0."
)


def draw(workspace: Workspace) -> Shown | None:
    """Ask what to change, and draw everything that is read before and after it; return what was shown."""
    say_refused(RANGES, ONE_OF)
    infos = _collections(workspace)
    if not infos:
        st.info("This needs two kinds of items that belong together, such as pictures with captions.")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        info = _collection(infos)
        a, b = _modalities(info)
        change = _change()
        question = st.text_input(
            "A question, if you like",
            key="change_q",
            bind="query-params",
            placeholder="a bee on a flower",
            max_chars=4096,
            width=230,
        )
    st.caption(
        "Nothing stored is changed. Every edit is fitted on one half of the pairs and measured on the other."
    )
    split = resources.split_of(workspace, info.name, a, b, last_change(workspace.folder, info.name))
    found = _computed(workspace, info, split, change)
    if found is None:
        return None
    before, after, curve = found
    readings.draw(split, info, before, after, curve)
    if question:
        vector = _vector(workspace, info, question)
        if vector is not None:
            readings.lists(workspace, split, change, vector, question)
    both = {"as it is": before} if after is before else {"as it is": before, "after the edit": after}
    return Shown((info.name,), split.measured.seed, readings.numbers(both))


def _collections(workspace: Workspace) -> dict[str, CollectionInfo]:
    """Return the collections that have two modalities, first the towers, whose gap is plain to see."""
    infos = sorted(workspace.store.collections(), key=lambda info: info.name != TOWERS)
    return {info.name: info for info in infos if len(_there(info)) > 1}


def _there(info: CollectionInfo) -> list[Modality]:
    return [one for one in MODALITIES if info.counts.get(one)]


def _collection(infos: dict[str, CollectionInfo]) -> CollectionInfo:
    asked = st.query_params.get("change_collection")
    if asked and asked not in infos:
        st.warning("The collection in this address has no two kinds of items here; showing another one.")
    name = st.selectbox(
        "Collection", list(infos), key="change_collection", bind="query-params", width=180
    ) or next(iter(infos))
    return infos[name]


def _modalities(info: CollectionInfo) -> tuple[Modality, Modality]:
    """Ask for two modalities where there are more; texts are the second."""
    pairs = [(b, a) if a == "text" else (a, b) for a, b in combinations(_there(info), 2)]
    if len(pairs) == 1:
        return pairs[0]
    names = {f"{plural(a)} and {plural(b)}": (a, b) for a, b in pairs}
    chosen = st.selectbox("Between", list(names), key="change_between", bind="query-params", width=190)
    return names[chosen or next(iter(names))]


def _change() -> Change:
    from engine.lessons.split import NONE, Change

    edit = st.segmented_control(
        "Edit",
        EDITS,
        default=EDITS[0],
        required=True,
        key="change_edit",
        bind="query-params",
        help=_EDIT_HELP,
    )
    if edit == "shift":
        share = st.slider(
            "Shift: -1 wider, 0 as it is, 1 middles together",
            *RANGES["change_share"],
            0.0,
            0.05,
            key="change_share",
            bind="query-params",
            help=_SHARE_HELP,
            width=300,
        )
        return Change(edit, float(share)) if share else NONE
    if edit == "drop-dims":
        dims = st.number_input("Dimensions", 1, 20, 3, key="change_dims", bind="query-params", width=130)
        return Change(edit, dims=int(dims or 3))
    return Change(edit or EDITS[0])


def _computed(
    workspace: Workspace, info: CollectionInfo, split: Split, change: Change
) -> tuple[Readings, Readings, Curve | None] | None:
    """Return the readings before and after a change, and those of all shifts; None while there are none.

    Without a direction there is no shift, and no curve of them.
    """
    from engine.lessons.readings import curve
    from engine.lessons.split import NONE

    changes = list(dict.fromkeys([NONE, change]))
    tasks = [_task(workspace, info, split, one) for one in changes]
    found = waiting.results(tasks, label="Reading all of it", key="change_compute")
    if found is None:
        return None
    if change.name not in ("none", "shift") or not _has_direction(split):
        return found[0], found[-1], None
    between = lesson_of(
        workspace,
        info.name,
        ("change", split.measured.a, split.measured.b, "curve"),
        lambda *_: curve(split),
        title="Reading every place of the slider",
    )
    lines = waiting.results([between], label=between.title, key="change_curve_compute")
    return None if lines is None else (found[0], found[-1], lines[0])


def _has_direction(split: Split) -> bool:
    from engine.analysis.gap import l2m
    from engine.lessons.split import SAME

    return l2m(split.fitted.x, split.fitted.y) > SAME


def _task(workspace: Workspace, info: CollectionInfo, split: Split, change: Change) -> Computation:
    from engine.lessons.readings import readings as read

    key = ("change", split.measured.a, split.measured.b, change)
    return lesson_of(workspace, info.name, key, lambda *_: read(split, change), title="Reading all of it")


def _vector(workspace: Workspace, info: CollectionInfo, text: str) -> np.ndarray | None:
    """Return a question as the collection's model reads it (d,) float32; None, with words, if not."""
    from engine.models.base import ModelChoice
    from engine.models.catalog import DEFAULT_MODEL
    from pages.ui.models import picker

    try:
        choice = ModelChoice.of(info.made_by).weights
        if choice.id != DEFAULT_MODEL:
            choice = workspace.models.loader.resolve(choice).weights
            if not picker.ensure_loaded(workspace, choice, key="change", at_once=True):
                return None
        return resources.question_vector(workspace, info.name, f"{info.created_at} {info.made_by}", text)
    except GapscopeError as error:  # everything else on the page needs no model
        st.warning(plain(f"The question cannot be asked here. {error}"))
        return None
