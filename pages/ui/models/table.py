"""The parts of the Models page: what is in memory, getting and loading one, and the table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from engine.models.catalog import CATALOG, DEFAULT_MODEL, describe
from pages.ui.models import picker, wording
from pages.ui.wording import duration, plain, say_error

if TYPE_CHECKING:
    from engine.models.base import Kind, LoadedModel, ModelChoice
    from engine.models.hub.download import Download
    from engine.models.readiness import Readiness
    from engine.workspace import Workspace

OTHER = "Another one …"
DTYPES = ("the device's own", "float32", "bfloat16", "float16")


def in_memory(workspace: Workspace) -> None:
    """Draw every loaded model with what it takes and how fast it is, and a way to unload it."""
    st.subheader("In memory", anchor=False)
    models = workspace.models.loaded.list()
    if not models:
        st.info("No model is in memory yet. Pocket loads by itself with the first question.")
    for number, model in enumerate(models):
        with (
            st.container(border=True, key=f"loaded_{number}"),
            st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"),
        ):
            st.markdown(_loaded_words(model), width="content")
            busy = model.in_use > 0
            if st.button(
                "Unload",
                key=f"unload_{number}_{model.choice.id}",
                disabled=busy,
                help="Somebody is using it." if busy else None,
                icon=":material/eject:",
            ):
                workspace.models.loaded.unload(model.choice)
                st.rerun()


def _loaded_words(model: LoadedModel) -> str:
    made_by = model.provenance
    what = f"{made_by.dim} dimensions" if model.kind == "embedder" else "reranker"
    limits = f" · {made_by.min_pixels:,} to {made_by.max_pixels:,} pixels" if made_by.max_pixels else ""
    first = f"**{plain(wording.short(model.choice.id))}** · {wording.kinds(model.modalities)} · {what}"
    second = (
        f"{model.device} · {made_by.dtype} · {wording.size(model.memory_bytes)} · loaded in "
        f"{duration(model.load_seconds)}{limits} · one {wording.speeds(model)}"
    )
    return f"{first}  \n:small[{plain(second)}]"


def choose(workspace: Workspace, survey: list[Readiness]) -> None:
    """Draw one model of the catalog, or any other, with what it needs, and the way to memory."""
    st.subheader("Download and load a model", anchor=False)
    ids = [one.spec.id for one in survey if one.spec.id != DEFAULT_MODEL]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = st.selectbox(
                "Model", [*ids, OTHER], key="model", bind="query-params", format_func=_label, width=420
            )
            if chosen == OTHER:
                chosen = st.text_input(
                    "Hub id, or a folder on this machine",
                    key="typed_model",
                    placeholder="organisation/name, or a folder that holds config.json",
                    max_chars=400,
                    width=420,
                )
            dtype = st.selectbox("dtype", DTYPES, key="dtype", width=180)
        if not chosen or not chosen.strip():
            st.caption("What it can embed is read from the model itself.")
            return
        ready = next((one for one in survey if one.spec.id == chosen), None)
        _facts(chosen, ready)
        _actions(workspace, chosen.strip(), ready, None if dtype == DTYPES[0] else dtype)


def _label(id_: str) -> str:
    if id_ == OTHER:
        return OTHER
    return f"{wording.short(id_)} · {CATALOG[id_].kind}"


def _facts(id_: str, ready: Readiness | None) -> None:
    spec = describe(id_)
    st.markdown(plain(spec.note))
    needs = wording.size(ready.needed_bytes) if ready else "read from its files"
    widths = f"{spec.dim or 'read from the model'}" + (
        f" (also {', '.join(map(str, spec.dims))})" if spec.dims else ""
    )
    facts = {
        "reads": wording.kinds(spec.modalities),
        "dimensions": widths if spec.kind == "embedder" else "one score per pair",
        "parameters": wording.count(spec.parameters),
        "memory": f"{needs} at {ready.dtype} on {ready.device}" if ready else needs,
        "licence": spec.licence,
        "own code": "yes: it runs here with all your permissions" if spec.remote_code else "none known",
    }
    st.caption(" · ".join(f"**{key}** {plain(value)}" for key, value in facts.items()))
    if ready and ready.reason and not ready.reason.startswith("not downloaded"):  # the button says that
        st.warning(plain(ready.reason[0].upper() + ready.reason[1:] + "."), icon=":material/info:")


def _actions(workspace: Workspace, id_: str, ready: Readiness | None, dtype: str | None) -> None:
    from engine.models.base import ModelChoice

    spec = describe(id_)
    if spec.kind == "multi-vector":
        return
    choice = ModelChoice(spec.id, dtype=dtype)
    download = next((one for one in workspace.models.downloads.list() if one.model == spec.id), None)
    if download and (download.active or download.failure):
        _show_download(workspace, download)
        if download.active:
            return
    with st.container(horizontal=True):
        if (ready is None or not ready.downloaded) and st.button(
            "Download", key="download", icon=":material/download:", help="From the model hub, once."
        ):
            _start_download(workspace, spec.id, spec.revision)
        if ready is None or ready.downloaded:
            _load(workspace, choice)


def _load(workspace: Workspace, choice: ModelChoice) -> None:
    loaded = picker.find_loaded(workspace, choice.id)
    if loaded and choice.dtype in (None, loaded.provenance.dtype):
        st.caption("It is in memory.")
        return
    error = workspace.models.loads.error(choice)
    if error:
        say_error(error)
    running = workspace.models.loads.is_running(choice)
    if st.button("Load", key="load", type="primary", icon=":material/memory:", disabled=running):
        workspace.models.loads.start(choice, _kind(choice))
        st.rerun()


def _kind(choice: ModelChoice) -> Kind:
    """Return the kind of a model: the catalog's, or what its files say where they are here."""
    from engine.models.hub import files

    if choice.id in CATALOG:
        return CATALOG[choice.id].kind
    try:
        return files.kind_of(files.find(choice.id, choice.revision).folder)
    except GapscopeError:
        return "embedder"  # loading will say what is wrong


def _start_download(workspace: Workspace, id_: str, revision: str | None) -> None:
    try:
        workspace.models.downloads.start(id_, revision)
    except GapscopeError as error:
        say_error(str(error))
        return
    st.rerun()


def _show_download(workspace: Workspace, download: Download) -> None:
    if download.failure:
        say_error(download.error)
        return
    share = download.done_bytes / download.total_bytes if download.total_bytes else 0.0
    st.progress(min(1.0, share), text=plain(_download_words(download)))
    if st.button(
        "Cancel the download", key="cancel_download", help="What has arrived is kept for the next try."
    ):
        workspace.models.downloads.cancel(download.id)
        st.rerun()


def _download_words(download: Download) -> str:
    if download.state == "probing" or not download.total_bytes:
        return f"{download.model}: asking the hub …"
    left = download.total_bytes - download.done_bytes
    speed = download.bytes_per_second
    rate = f" · {speed / 1e6:,.1f} MB/s · {duration(left / speed)} left" if speed else ""
    done, total = wording.size(download.done_bytes), wording.size(download.total_bytes)
    return f"{download.model}: {done} of {total}{rate}"


def table(survey: list[Readiness], workspace: Workspace) -> None:
    """Draw all models of the catalog: what they read, whether they run here, and why not."""
    st.subheader("All models", anchor=False)
    loaded = {model.choice.id for model in workspace.models.loaded.list()}
    rows = [
        {
            "model": wording.short(one.spec.id),
            "here": wording.state(one, loaded),
            "kind": one.spec.kind,
            "reads": wording.kinds(one.spec.modalities),
            "dimensions": str(one.spec.dim or "–") if one.spec.kind == "embedder" else "",
            "parameters": wording.count(one.spec.parameters),
            "memory": wording.size(one.needed_bytes),
            "licence": one.spec.licence,
            "when to choose it": one.spec.note,
        }
        for one in survey
    ]
    ready = sum(one.runnable for one in survey)
    st.caption(f"{ready} of {len(survey)} can be loaded now; for each of the others the table says why not.")
    st.dataframe(rows, hide_index=True, width="stretch", height=520, column_config=_COLUMNS)


_COLUMNS = {
    "model": st.column_config.TextColumn(width="medium", pinned=True),
    "here": st.column_config.TextColumn(width="large"),
    "when to choose it": st.column_config.TextColumn(width="large"),
}
