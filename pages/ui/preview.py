"""What was understood of files before they are taken in, and choosing the columns by hand; takes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.datasets.columns import Choices
from engine.datasets.preview import sample_rows
from engine.ingest.failures import KEPT, counted
from engine.jobs.spec import Upload
from pages.ui.counted import say_failed, say_left_out
from pages.ui.wording import plain

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.delta_generator import DeltaGenerator

    from engine.datasets.plan import Plan
    from engine.jobs.queue import Jobs

RECOGNISED = "as recognised"
_FOLDER_LABELS = {RECOGNISED: None, "labels": True, "no labels": False}


def preview(jobs: Jobs, given: Upload | Path, *, key: str) -> tuple[Choices, bool]:
    """Show what is understood of an upload or of a folder.

    Returns what was chosen by hand of its columns, and whether there is anything to take. What was understood
    is kept in the visitor's session while it is the same files, until `look_again`.
    """
    kept = st.session_state.setdefault(f"{key}_plans", {})
    if kept.get("of") != given:
        kept.clear()
        kept["of"] = given
    recognised = _plan(jobs, given, Choices(), kept)
    head, table = st.container(), st.container(key=f"{key}_sample")
    choices, columns = _choose(recognised, key=f"{key}_{given.id if isinstance(given, Upload) else given}")
    plan = _plan(jobs, given, choices, kept)
    with head:
        _say(plan)
    with columns:
        _say_columns(plan)
    with table:
        _sample(plan)
    say_left_out(plan.left_out)
    say_failed(plan.failed[:KEPT], counted(plan.failed), what="not readable")
    if not plan.files:
        st.warning(_nothing(plan), icon=":material/block:")
    return choices, bool(plan.files)


def look_again(key: str) -> None:
    """Forget what was understood under this key: the files may be others by now."""
    st.session_state.pop(f"{key}_plans", None)


def _plan(jobs: Jobs, given: Upload | Path, choices: Choices, kept: dict[object, Plan]) -> Plan:
    if choices not in kept:
        for other in set(kept) - {"of", Choices()}:  # a plan holds every caption
            del kept[other]
        with st.spinner("Looking at the files …"):
            kept[choices] = jobs.plan(given, choices)
    return kept[choices]


def _say(plan: Plan) -> None:
    labels = f", {plan.labelled:,} with one of {len(plan.labels):,} labels" if plan.labels else ""
    st.markdown(f"**Understood: {plan.files:,} files, {plan.captions:,} captions{labels}**")
    for sentence in plan.layouts:
        st.caption(plain(sentence))
    for note in plan.notes:
        st.caption(f":material/info: {plain(note)}")


def _sample(plan: Plan) -> None:
    rows = sample_rows(plan)
    if not rows:
        return
    st.dataframe(rows, hide_index=True, width="stretch")
    if len(rows) < plan.files:
        st.caption(f"{len(rows)} of {plan.files:,} files, spread over all")


def _nothing(plan: Plan) -> str:
    """Return why nothing of what was given can be taken."""
    left = sum(one.count for one in plan.left_out)
    counts = [(left, "left out"), (len(plan.failed), "not readable")]
    said = " and ".join(f"{count:,} {what}" for count, what in counts if count)
    if not said:
        return "Nothing here can be taken: there is no file in it that pictures or texts could be read from."
    return f"Nothing here can be taken: {said}. The reasons are given above."


def _say_columns(plan: Plan) -> None:
    if plan.columns:
        rows = [
            {"column": one.name, "used as": one.use, "of": ", ".join(one.tables), "such as": one.example}
            for one in plan.columns
        ]
        st.dataframe(rows, hide_index=True, width="stretch")


def _choose(plan: Plan, *, key: str) -> tuple[Choices, DeltaGenerator]:
    """Draw the choice of columns, by what was recognised of them; returns the place for all columns too."""
    names = list(dict.fromkeys(column.name for column in plan.columns))
    used = {
        use: [column.name for column in plan.columns if column.use == use] for use in ("caption", "label")
    }
    unread = bool(plan.failed) and not any(column.use == "file" for column in plan.columns)
    with st.expander("Choose the columns by hand", icon=":material/tune:", expanded=unread):
        place = st.container()
        file = captions = labels = split = None
        left: list[str] = []
        if names:
            with st.container(horizontal=True, vertical_alignment="bottom"):
                file = _one("File", names, "names the picture or text", key=f"{key}_file")
                split = _one("Split", names, "train, validation or test", key=f"{key}_split")
                captions = _several("Captions", names, used["caption"], key=f"{key}_captions")
                labels = _several("Labels", names, used["label"], key=f"{key}_labels")
                left = st.multiselect("Leave out", names, key=f"{key}_left", placeholder="none", width=280)
        chosen = st.segmented_control(
            "Names of folders are",
            list(_FOLDER_LABELS),
            default=RECOGNISED,
            required=True,
            key=f"{key}_folders",
        )
    choices = Choices(
        file=file or "",
        captions=captions,
        labels=labels,
        left_out=tuple(left),
        split=split or "",
        folder_labels=_FOLDER_LABELS[chosen or RECOGNISED],
    )
    return choices, place


def _one(label: str, names: list[str], what: str, *, key: str) -> str | None:
    chosen = st.selectbox(
        label, [RECOGNISED, *names], key=key, width=200, help=f"The column that {what}." if what else None
    )
    return None if chosen == RECOGNISED else chosen


def _several(label: str, names: list[str], recognised: list[str], *, key: str) -> tuple[str, ...] | None:
    """Return the columns chosen, or None where they are those that were recognised."""
    chosen = st.multiselect(label, names, default=recognised, key=key, placeholder="none", width=280)
    return None if chosen == recognised else tuple(chosen)
