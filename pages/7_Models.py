"""Models: what runs here and why the rest does not, what is in memory, and a playground."""

from __future__ import annotations

import streamlit as st

from engine.models.base import ModelChoice
from engine.models.catalog import DEFAULT_MODEL
from pages.ui import frame, resources
from pages.ui.models import picker, table, wording
from pages.ui.models.picker import POLL_SECONDS
from pages.ui.wording import plain

frame.start("Models", lead="Which models run here, what each of them needs, and a playground to try them in.")
workspace, jobs = resources.opened()


def is_busy() -> bool:
    return workspace.models.loads.is_running() or any(one.active for one in workspace.models.downloads.list())


with frame.errors():
    busy = is_busy()
    view = st.segmented_control(
        "View", ["Models", "Playground"], default="Models", required=True, key="view", bind="query-params"
    )

    def activity() -> None:
        """Draw what changes by itself; the whole page when something begins (also elsewhere) or ends."""
        now = workspace.models.loaded.stage()
        if now:
            st.progress(0.0, text=f"{plain(now[1])} …")
        table.in_memory(workspace)
        table.choose(workspace, resources.model_survey(workspace))
        if busy != is_busy():
            resources.model_survey.clear()
            resources.local_models.clear()
            st.rerun()

    if view == "Models":
        st.fragment(activity, run_every=POLL_SECONDS if busy else None)()
        table.table(resources.model_survey(workspace), workspace)
    else:
        from pages.ui.models import playground

        loaded = workspace.models.loaded.list()
        with st.container(horizontal=True):
            embedders = [
                picker.options(
                    model,
                    key="play",
                    label=f"{wording.short(model.choice.id)}: dimensions, prompts, resolution",
                )
                for model in loaded
                if model.kind == "embedder"
            ]
        if not any(choice.id == DEFAULT_MODEL for choice in embedders):
            embedders.insert(0, ModelChoice(DEFAULT_MODEL))
        rerankers = [model.choice for model in loaded if model.kind == "reranker"]
        playground.draw(workspace, embedders, rerankers)
