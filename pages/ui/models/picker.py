"""Choosing a model for something to do: which one, loaded first, and what can be set of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from engine.models.catalog import DEFAULT_MODEL, DEFAULT_RERANKER, describe
from pages.ui import resources
from pages.ui.models import wording
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.models.base import Kind, LoadedModel, ModelChoice
    from engine.workspace import Workspace

POLL_SECONDS = 0.7


def pick(workspace: Workspace, *, key: str, items: int | None = None) -> ModelChoice | None:
    """Draw the choice of an embedder; returns it once it is in memory, with what was set of it.

    `items` is how many are to be embedded: the time they will take is said.
    """
    from engine.models.base import ModelChoice

    with st.container(horizontal=True, vertical_alignment="bottom"):
        id_ = st.selectbox(
            "Embed with",
            embedders(workspace),
            key=f"{key}_model",
            format_func=wording.short,
            width=300,
            help="The models on this machine. Download others on the Models page.",
        )
        loaded = find_loaded(workspace, id_)
        choice = options(loaded, key=key) if loaded else None
    if id_ == DEFAULT_MODEL:
        return ModelChoice(DEFAULT_MODEL)
    if loaded is None or choice is None:
        ensure_loaded(workspace, ModelChoice(id_), key=key)
        return None
    if items:
        st.caption(plain(wording.estimate(loaded, items)))
    return choice


def embedders(workspace: Workspace) -> list[str]:
    """Return the embedders of this machine by id: Pocket, then those in memory, then those on disk."""
    in_memory = [model.choice.id for model in workspace.models.loaded.list() if model.kind == "embedder"]
    on_disk = [id_ for id_, kind in resources.local_models().items() if kind == "embedder"]
    return list(dict.fromkeys([DEFAULT_MODEL, *in_memory, *on_disk]))


def rerankers(workspace: Workspace) -> list[str]:
    """Return the rerankers of this machine by id: Pocket's, then those in memory, then those on disk."""
    in_memory = [model.choice.id for model in workspace.models.loaded.list() if model.kind == "reranker"]
    on_disk = [id_ for id_, kind in resources.local_models().items() if kind == "reranker"]
    return list(dict.fromkeys([DEFAULT_RERANKER, *in_memory, *on_disk]))


def find_loaded(workspace: Workspace, id_: str) -> LoadedModel | None:
    """Return the model in memory that has this id, the one used last."""
    found = [model for model in workspace.models.loaded.list() if model.choice.id == id_]
    return found[-1] if found else None


def ensure_loaded(
    workspace: Workspace, choice: ModelChoice, *, key: str, kind: Kind = "embedder", at_once: bool = False
) -> bool:
    """Tell whether a model is in memory; else draw the way there: a button, a progress line, an error.

    With `at_once` it is loaded without being asked for. Several visitors wait for one load.
    """
    if workspace.models.loaded.is_loaded(choice) or (
        choice.revision is None and find_loaded(workspace, choice.id)
    ):
        return True
    running, error = workspace.models.loads.is_running(choice), workspace.models.loads.error(choice)
    name = plain(wording.short(choice.id))
    if error:
        say_error(error)
    if running:
        _wait(workspace, choice)
    elif (at_once and not error) or st.button(
        f"Load {name}", key=f"{key}_load", icon=":material/memory:", help="Into this machine's memory."
    ):
        workspace.models.loads.start(choice, kind)
        st.rerun()
    return False


def _wait(workspace: Workspace, choice: ModelChoice) -> None:
    @st.fragment(run_every=POLL_SECONDS)
    def draw() -> None:
        if not workspace.models.loads.is_running(choice):
            st.rerun()
        st.progress(0.0, text=f"{plain(stage(workspace, choice))} …")

    draw()


def stage(workspace: Workspace, choice: ModelChoice) -> str:
    """Return how far the load of a choice is, in words; another one may be in front of it."""
    now = workspace.models.loaded.stage()
    if now is None:
        return f"Loading {choice.id}"
    loading, words = now
    return words if loading.id == choice.id else f"Waiting for {loading.id}: {words}"


def options(loaded: LoadedModel, *, key: str, label: str = "Options") -> ModelChoice:
    """Draw width, prompts and resolution where the model has them; returns the choice with them."""
    made_by = loaded.provenance
    widths = [one for one in describe(loaded.choice.id).dims if one < made_by.dim]
    if loaded.choice.id == DEFAULT_MODEL:
        return loaded.choice
    # A widget is its key to Streamlit: without the model in it, one model's prompts would go to another.
    key = f"{key}_{loaded.choice.id}_{made_by.revision}_{made_by.dtype}"
    with st.popover(plain(label), icon=":material/tune:", key=f"{key}_options"):
        width = made_by.dim
        if widths:
            width = st.selectbox(
                "Dimensions (Matryoshka)",
                [made_by.dim, *widths],
                key=f"{key}_width",
                help="Shorter vectors take less space and lose a little accuracy.",
            )
        query = st.text_input("Query prompt", made_by.query_prompt, key=f"{key}_query_prompt")
        document = st.text_input("Document prompt", made_by.document_prompt, key=f"{key}_document_prompt")
        least, most = _resolution(loaded, key)
    return replace(
        loaded.choice,
        dim=None if width == made_by.dim else width,
        query_prompt=None if query == made_by.query_prompt else query,
        document_prompt=None if document == made_by.document_prompt else document,
        min_pixels=least,
        max_pixels=most,
    )


def _resolution(loaded: LoadedModel, key: str) -> tuple[int | None, int | None]:
    """Draw the pixel limits where the model keeps the shape of pictures; None leaves the model's own."""
    made_by = loaded.provenance
    if made_by.max_pixels is None:
        return None, None
    least = st.number_input("min_pixels", 1, None, made_by.min_pixels, key=f"{key}_min_pixels")
    most = st.number_input(
        "max_pixels",
        1,
        None,
        made_by.max_pixels,
        key=f"{key}_max_pixels",
        help="Width times height that a picture is shrunk to: more shows finer detail, is slower, and takes "
        "more memory.",
    )
    if least is None or most is None or (least, most) == (made_by.min_pixels, made_by.max_pixels):
        return None, None
    if least > most:
        say_error(f"min_pixels ({least:,}) must not be above max_pixels ({most:,}).")
    return int(least), int(most)
