"""The part of the Library page that takes vectors of other programs, once their columns are chosen."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError, VectorFileError
from engine.types import MODALITIES, Modality
from engine.vector_files.look import look
from engine.vector_files.reading import Reading, Unpack
from pages.ui.jobs import begun
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from engine.jobs.queue import Jobs
    from engine.vector_files.look import Look

COLUMNS_READ = (
    "Columns: id, vector, modality (text, image, audio, video), and optionally text, pair, label, name; "
    "any others are kept with the items. "
    "Files larger than {:,} MB: `python -m engine import`."
)
NONE, NUMBERED = "no column", "no column: number the rows"
ALL: dict[str, Modality] = {f"no column: all are {modality}": modality for modality in MODALITIES}
# What a box offers beside the columns.
BESIDE: dict[str, list[str]] = {"id": [NUMBERED], "vector": [], "modality": list(ALL)}
ROLES = ("id", "vector", "modality", "text", "pair", "label")
UNPACK: dict[Unpack, str] = {
    "binary": "packed bits: 8 numbers each",
    "int8": "int8: steps of one scale around zero",
    "none": "numbers to be taken as they are",
}


def add_vectors(jobs: Jobs) -> None:
    """Offer to take a file of vectors that another program made."""
    round_ = st.session_state.setdefault("vectors_round", 0)
    with st.expander("Add vectors from Parquet, NPZ or NPY", icon=":material/scatter_plot:"):
        file = st.file_uploader("A file of vectors", type=["parquet", "npz", "npy"], key=f"vectors_{round_}")
        st.caption(COLUMNS_READ.format(st.get_option("server.maxUploadSize")))
        with st.container():  # one place, so that a name that is being typed below keeps its own
            table = _table(file, round_)
            reading = _chosen(file, table) if file else None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name of the collection", "my-vectors", key="vectors_name", width=240)
            label = st.text_input(
                "What made the vectors",
                key="vectors_label",
                max_chars=100,
                placeholder="by default the file's name",
                width=240,
            )
        skip_bad = st.checkbox(
            "Skip bad rows",
            key="vectors_skip_bad",
            help="Rows with NaN, only zeros, another number of dimensions, or an id that was there before. "
            "Otherwise one such row makes the import fail.",
        )
        pressed = st.button("Import", key="import", disabled=reading is None, icon=":material/add:")
        if pressed and file and reading:
            _import(jobs, name or "", file, table, reading, label or "", skip_bad)


def _table(file: UploadedFile | None, round_: int) -> UploadedFile | None:
    """Offer to add the table of an array, which has vectors alone."""
    if file is None or not file.name.lower().endswith(".npy"):
        return None
    return st.file_uploader(
        "The table beside it, of ids, texts and other columns, row by row",
        type=["parquet", "csv"],
        key=f"vectors_table_{round_}",
    )


def _chosen(file: UploadedFile, table: UploadedFile | None) -> Reading | None:
    """Show what a file has, and return which column is used as what; None where that is to be chosen yet."""
    try:
        found = _look(file, table, Reading())
        reading = _boxes(found, file)
        found = _look(file, table, reading)
        if found.quantised:
            unpack = st.selectbox(
                "These vectors are codes of a quantisation. They are",
                list(UNPACK),
                index=None,
                format_func=UNPACK.__getitem__,
                placeholder="Choose what they are",
                key="vectors_unpack",
                width=320,
            )
            reading = Reading(reading.columns, reading.modality, unpack or "")
            found = _look(file, table, reading)
    except VectorFileError as error:
        say_error(str(error))
        return None
    _show(found)
    return None if found.problem else reading


def _look(file: UploadedFile, table: UploadedFile | None, reading: Reading) -> Look:
    return look(file, name=file.name, reading=reading, table=(table.name, table) if table else None)


def _boxes(found: Look, file: UploadedFile) -> Reading:
    """Draw a box for every use of a column, with what was recognised chosen."""
    names = [column.name for column in found.columns]
    version = zlib.crc32("\n".join([file.name, *names]).encode())  # another file begins anew
    columns: list[tuple[str, str]] = []
    of_all: Modality | None = None
    with st.container(horizontal=True):
        for role in ROLES:
            if role == "vector" and file.name.lower().endswith(".npy"):
                continue
            options = [*names, *BESIDE.get(role, [NONE])]
            value = st.selectbox(
                role,
                options,
                index=_first(found, role, options),
                key=f"vectors_as_{role}_{version}",
                placeholder="Choose a column",
                width=200,
            )
            of_all = ALL.get(value or "") if role == "modality" else of_all
            if value is not None and (value in names or role not in ("vector", "modality")):
                columns.append((role, value if value in names else ""))
    return Reading(tuple(columns), of_all)


def _first(found: Look, role: str, options: list[str]) -> int | None:
    """Return the place of what is chosen at first: what was recognised, and nothing that must be said."""
    used = found.used(role)
    if used:
        return options.index(used)
    if role == "modality" and found.modality:
        return options.index(next(words for words, one in ALL.items() if one == found.modality))
    if role in ("vector", "modality") or (role == "id" and found.problem):
        return None
    return len(options) - 1


def _show(found: Look) -> None:
    """Show the first rows under what each column is used as, and what is to be known of the file."""
    heads = [f"{column.name}: {column.use}" for column in found.columns]
    st.dataframe([dict(zip(heads, row, strict=True)) for row in found.rows], hide_index=True, width="stretch")
    if found.problem:
        st.warning(plain(found.problem), icon=":material/rule:")
        return
    st.caption(f"{found.total:,} rows of {found.dim:,} numbers; shown are the first {len(found.rows)}.")
    for note in found.notes:
        st.caption(plain(note))


def _import(
    jobs: Jobs,
    name: str,
    file: UploadedFile,
    table: UploadedFile | None,
    reading: Reading,
    label: str,
    skip_bad: bool,
) -> None:
    file.seek(0)
    beside = (table.name, table) if table else None
    if table:
        table.seek(0)
    try:
        job = jobs.import_vectors(
            name, file.name, file, table=beside, reading=reading, label=label, skip_bad=skip_bad
        )
    except GapscopeError as error:
        say_error(str(error))
        return
    begun(job)
    # A new key drops the uploaded bytes from the server's memory; they are on disk by now.
    st.session_state.vectors_round += 1
    st.rerun()
