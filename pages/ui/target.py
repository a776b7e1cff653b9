"""Where files go: a new collection, under a name suggested from what was given, or one that is there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

import streamlit as st

from engine.datasets.archives import is_archive
from engine.datasets.table_formats import may_be_table
from engine.ingest.samples import COLLECTION as SAMPLES
from engine.ingest.samples import TOWERS

NEW = "New collection …"
_USUAL = "my-photos"
_CHOSEN = "target_chosen"  # what this visitor chose, which its widget forgets on another page
_SUGGESTED = "new_name_suggested"
_MOST_CHARS = 60
_NO_NAMES = ("metadata", "captions", "labels", "annotations")  # what every data set's table may be called


def target_boxes(names: Sequence[str], given: Sequence[str], taken: Collection[str]) -> tuple[str, bool]:
    """Draw where files go, a new collection at first; returns its name and whether it is new.

    names: the collections that take files. given: the names of the files, or of a folder with "/" behind it.
    taken: the names that a new collection cannot have.
    """
    options = [NEW, *(name for name in names if name not in (SAMPLES, TOWERS))]
    chosen = st.session_state.get(_CHOSEN)
    target = st.selectbox(
        "Add to",
        options,
        index=options.index(chosen) if chosen in options else 0,
        key="target",
        width=240,
        on_change=lambda: st.session_state.update({_CHOSEN: st.session_state.target}),
    )
    if target != NEW:
        return target, False
    state, suggestion = st.session_state, suggested(given, {*taken, SAMPLES, TOWERS})
    if "new_name" not in state or state.new_name == state.get(_SUGGESTED):  # nobody typed another one
        state.new_name = state[_SUGGESTED] = suggestion
    return st.text_input("Name of the new collection", key="new_name", max_chars=400, width=240) or "", True


def used() -> None:
    """Suggest another name from now on: files are on their way under this one."""
    st.session_state[_SUGGESTED] = st.session_state.get("new_name")


def suggested(given: Sequence[str], taken: Collection[str]) -> str:
    """Return a name for a collection of files: that of their folder, archive or table, and not taken."""
    called = unicodedata.normalize("NFKD", _called(given).replace("ß", "ss"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", called.encode("ascii", "ignore").decode())
    name = re.sub(r"\.{2,}", ".", name).strip("-_.")[:_MOST_CHARS].strip("-_.")
    name = name if len(name) >= 3 else _USUAL
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: _MOST_CHARS - 1 - len(str(number))].rstrip('-_.')}-{number}"
    return found


def _called(given: Sequence[str]) -> str:
    folders = {name.split("/", 1)[0] for name in given if "/" in name}
    if len(folders) == 1 and all("/" in name for name in given):
        return folders.pop()
    files = [name.rsplit("/", 1)[-1] for name in given]
    for found in (is_archive, may_be_table):
        stems = [re.sub(r"(\.tar)?\.[^.]+$", "", name) for name in files if found(name)]
        if named := [stem for stem in stems if stem.lower() not in _NO_NAMES]:
            return named[0]
    return _USUAL
