"""The parts of the Library page: adding, describing, browsing, deleting, and the sample credits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError, QueryError
from engine.ingest.samples import COLLECTION as SAMPLES
from pages.ui import cards, target, vectors
from pages.ui.jobs import BEGUN, begun, fills
from pages.ui.models import picker
from pages.ui.preview import look_again, preview
from pages.ui.resources import labels_of
from pages.ui.wording import plain, plural, say_error

if TYPE_CHECKING:
    from engine.datasets.columns import Choices
    from engine.jobs.queue import Jobs
    from engine.jobs.spec import Upload
    from engine.models.base import ModelChoice
    from engine.storage.chroma import CollectionInfo
    from engine.types import Modality, Provenance
    from engine.workspace import Workspace

FILES, FOLDER = "Files", "A whole folder"
_CHOSEN = "browse_chosen"
IN_PLACE, BESIDE = "Replace this collection", "Make a new collection"


def add_files(workspace: Workspace, jobs: Jobs, names: list[str]) -> None:
    """Draw the uploader and what is understood of the files; they go to a job, and it is emptied."""
    with st.container(border=True):
        with st.container():  # one place, so that a name that is being typed below keeps its own
            upload = _uploaded(jobs)
            columns, some = preview(jobs, upload, key="upload_preview") if upload else (None, False)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            given = [name for name, _ in upload.files] if upload else _looked_at(workspace)
            name, new = target.target_boxes(names, given, _taken(workspace, jobs))
        items = len(upload.files) if upload else 1_000
        choice = picker.pick(workspace, key="add", items=items) if new else None
        ready = some and (choice is not None or not new)
        pressed = st.button(
            "Add to the collection", type="primary", key="add", disabled=not ready, icon=":material/add:"
        )
        if pressed and upload:
            _submit(jobs, name, upload, choice, columns)
    vectors.add_vectors(jobs)
    _server_folder(workspace, jobs, name, choice)


def _taken(workspace: Workspace, jobs: Jobs) -> set[str]:
    """Return the names of collections that are there, or on their way."""
    there = {info.name for info in workspace.store.collections()}
    return there | {job.spec.target for job in jobs.list() if job.active}


def _looked_at(workspace: Workspace) -> list[str]:
    """Return the folder of the server that is asked for, as a file in it would name it."""
    sub = (st.session_state.get("server_folder") or "").strip("/") if workspace.settings.ingest_dir else ""
    return [f"{Path(sub).name}/"] if sub else []


def _uploaded(jobs: Jobs) -> Upload | None:
    """Draw the uploader, for files or for a whole folder; returns what was given, on disk by then."""
    round_ = st.session_state.setdefault("upload_round", 0)
    what = st.segmented_control("Add", [FILES, FOLDER], default=FILES, required=True, key="upload_what")
    files = st.file_uploader(
        "Pictures, texts, tables, zips or tars" if what == FILES else "A folder with all that is in it",
        accept_multiple_files=True if what == FILES else "directory",
        key=f"{'upload' if what == FILES else 'folder'}_{round_}",
        help="JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF, .txt, .md, .zip, .tar, .tar.gz. Captions and "
        "labels: a table (CSV, JSON lines, Parquet) that names the files, texts called like the pictures, or "
        "a folder per label. What is understood is shown before anything is added.",
    )
    ids = tuple(file.file_id for file in files)
    kept: tuple[tuple[str, ...], Upload] | None = st.session_state.get("uploaded")
    if kept and kept[0] != ids:
        jobs.unstage(kept[1])
        kept = st.session_state.uploaded = None
    if files and not kept:
        with st.spinner("Taking the files …"):
            # A browser gives the files of a folder in any order.
            upload = jobs.stage((file.name, file) for file in sorted(files, key=lambda file: file.name))
        kept = st.session_state.uploaded = (ids, upload)
    return kept[1] if kept else None


def _submit(
    jobs: Jobs, name: str, upload: Upload, choice: ModelChoice | None, columns: Choices | None
) -> None:
    try:
        begun(jobs.take(name, upload, choice, columns))
    except GapscopeError as error:
        say_error(str(error))
        return
    target.used()
    # A new key drops the uploaded bytes from the server's memory; they are on disk by now.
    st.session_state.uploaded = None
    st.session_state.upload_round += 1
    st.rerun()


def _server_folder(workspace: Workspace, jobs: Jobs, name: str, choice: ModelChoice | None) -> None:
    """Offer a folder of the server, only below the one the operator allows."""
    allowed = workspace.settings.ingest_dir
    if allowed is None:
        return
    with st.expander("Add a folder on the server", icon=":material/folder:"):
        sub = st.text_input("Folder inside the one that the operator allows", key="server_folder")
        if st.button("Look at it", key="look_at_folder"):
            look_again("folder_preview")
            st.session_state.looked_at = sub
        looked = st.session_state.get("looked_at") == sub
        try:
            columns, some = None, True
            if looked:
                columns, some = preview(jobs, _below(allowed, sub or ""), key="folder_preview")
            if st.button("Add the folder", key="add_folder", disabled=not some):
                begun(jobs.ingest_folder(name, _below(allowed, sub or ""), choice, columns))
                target.used()
                st.rerun()
        except GapscopeError as error:
            say_error(str(error))


def _below(allowed: Path, sub: str) -> Path:
    folder = (allowed / sub).resolve()
    if not folder.is_relative_to(allowed.resolve()) or not folder.is_dir():
        raise QueryError("There is no such folder inside the one that the operator allows.")
    return folder


def browse_box(jobs: Jobs, names: list[str]) -> str:
    """Draw the choice of a collection: what this visitor has added, as long as they chose no other."""
    state = st.session_state
    if "browse" not in state and "browse" in st.query_params:
        state[_CHOSEN] = True
    made = [job.spec.target for job in jobs.list() if job.spec.id == state.get(BEGUN) and fills(job)]
    if made and made[0] in names:
        del state[BEGUN]
        if not state.get(_CHOSEN):
            state.browse = made[0]
    return st.selectbox(
        "Collection",
        sorted(names, key=lambda name: name != SAMPLES),  # with an index it could not be set above
        key="browse",
        bind="query-params",
        on_change=lambda: state.update({_CHOSEN: True}),
    )


def describe(info: CollectionInfo) -> None:
    """Say what a collection holds and what made it."""
    counts = " and ".join(f"{count:,} {plural(modality)}" for modality, count in info.counts.items())
    made, by = time.strftime("%Y-%m-%d", time.localtime(info.created_at)), info.made_by
    prompts = [f"{what} prompt {value!r}" for what, value in _prompts(by) if value]
    limits = [f"{by.min_pixels:,} to {by.max_pixels:,} pixels"] if by.max_pixels else []
    more = " · ".join([by.dtype, *prompts, *limits])
    st.caption(plain(f"{counts} · {by} · {more} · made {made}"))


def _prompts(by: Provenance) -> tuple[tuple[str, str], ...]:
    return ("query", by.query_prompt), ("document", by.document_prompt)


def reembed(workspace: Workspace, jobs: Jobs, info: CollectionInfo) -> None:
    """Offer to re-embed a collection with another model, from the stored files."""
    asked = st.query_params.get("remake") == "yes"  # from an error on the Search page
    with st.expander("Re-embed with another model", icon=":material/autorenew:", expanded=asked):
        st.text(
            f"Embeds all {info.total:,} items again from the files stored here, in the background. The "
            f"collection stays as it is until the new one is complete."
        )
        choice = picker.pick(workspace, key="remake", items=info.total)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            where = st.segmented_control(
                "Where", [IN_PLACE, BESIDE], default=IN_PLACE, required=True, key="remake_where"
            )
            into = None
            if where == BESIDE:
                into = st.text_input(
                    "Name of the new collection", f"{info.name}-2"[:60], key="remake_name", width=240
                )
        if jobs.uses(info.name):
            st.caption("A job is working on this collection: wait for it, or cancel it first.")
        elif choice and st.button("Re-embed", key="remake_go", icon=":material/autorenew:"):
            jobs.reembed(info.name, choice, into)
            st.rerun()


def browse(workspace: Workspace, info: CollectionInfo) -> None:
    """Draw the stored items of one modality, filtered by label, a page at a time."""
    import numpy as np

    from engine.types import Filters

    present: list[Modality] = [modality for modality, count in info.counts.items() if count]
    if not present:
        st.info("This collection is empty.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = present.index("image") if "image" in present else 0
        modality = st.segmented_control(
            "Kind",
            present,
            default=present[start],
            required=True,
            format_func=lambda value: plural(value).capitalize(),
            key="kind",
        )
        labels = st.multiselect(
            "Labels",
            labels_of(workspace, info.name, info.total),
            key="browse_labels",
            placeholder="any",
            width=320,
        )
        size = cards.size_box()
    total, kept, matching = info.counts[modality], None, np.zeros(0, np.int64)
    if labels:
        kept, found = workspace.folder.matching.rows(info.name, Filters((modality,), tuple(labels)))
        matching = found.get(modality, matching)
        total = len(matching)
    rows = cards.pager(total, key=f"browse_page_{info.name}_{modality}_{hash(tuple(labels))}")
    if kept is None:
        page = workspace.store.items(info.name, modality, limit=cards.PAGE_SIZE, offset=rows.start)
    else:
        part = kept.parts[modality]
        page = part.items(part.ids_of(matching[rows]))
    st.caption(f"Showing {rows.start + 1:,} to {rows.start + len(page):,} of {total:,}")
    cards.grid(workspace, info.name, [(item, None) for item in page], key="item", size=size)


def danger(info: CollectionInfo, jobs: Jobs) -> None:
    """Offer to delete the collection, after its name was typed."""
    with st.expander("Delete this collection", icon=":material/delete:"):
        st.text(f"This deletes {info.total:,} items and the files that only they use. This cannot be undone.")
        typed = st.text_input("Type the collection's name to confirm", key="confirm_delete")
        in_use = jobs.uses(info.name)
        if in_use:
            st.caption("A job is using this collection: wait for it, or cancel it first.")
        if st.button("Delete it", key="delete_collection", disabled=typed != info.name or in_use):
            jobs.delete_collection(info.name)
            st.rerun()


def credits(name: str) -> None:
    """List source, author and licence of every bundled photograph."""
    if name != SAMPLES:
        return
    from engine.ingest.samples import list_samples

    with st.expander("Sources, authors and licences of the sample photographs", icon=":material/copyright:"):
        rows = [
            {
                "file": sample.file_name,
                "author": sample.author,
                "licence": sample.licence,
                "source": sample.source,
            }
            for sample in list_samples()
        ]
        st.dataframe(rows, hide_index=True, width="stretch")
