"""A collection's own judgements: how many there are, their export, and the import of TREC's files."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from pages.ui.wording import plain, say_error

if TYPE_CHECKING:
    from engine.evaluation.judgements import Imported
    from engine.workspace import Workspace

_DONE, _ROUND = "judgements_done", "judgements_round"


def draw(workspace: Workspace, collection: str) -> None:
    """Draw the counts, the export and the import of one collection's judgements."""
    from engine.evaluation.judgements import Judgements

    st.caption(f"Collection {plain(collection)}")
    marks = Judgements(workspace.ledger).of(collection)
    if marks:
        right = sum(mark.relevance > 0 for mark in marks)
        questions = len({mark.question for mark in marks})
        st.text(
            f"{_counted(len(marks), 'judgement')} of {_counted(questions, 'question')}: "
            f"{right:,} right, {len(marks) - right:,} wrong."
        )
        st.download_button(
            "Export as TREC files",
            partial(Judgements(workspace.ledger).export, collection),
            file_name=f"{collection}-judgements.zip",
            mime="application/zip",
            key="judgements_export",
            icon=":material/download:",
            on_click="ignore",
            help="A zip of qrels.txt and topics.tsv, for trec_eval, ir_measures, or an import elsewhere.",
        )
    else:
        st.text("Nothing is judged yet: mark hits as right or wrong on Search or Rerank, or import qrels.")
    if done := st.session_state.pop(_DONE, None):
        _say_done(done)
    with st.expander("Import judgements", icon=":material/upload_file:"):
        _importer(workspace, collection)


def _importer(workspace: Workspace, collection: str) -> None:
    round_ = st.session_state.setdefault(_ROUND, 0)
    qrels = st.file_uploader(
        "Qrels, a zip that was exported here, or a zip of BEIR",
        key=f"qrels_{collection}_{round_}",
        help="Lines of: question id, 0, item id or file name, relevance from 0 (wrong) to 10. Or BEIR's "
        "qrels, whose header names query-id, corpus-id and score; of several splits test counts.",
    )
    topics = st.file_uploader(
        "Topics: the questions of those ids (optional)",
        key=f"topics_{collection}_{round_}",
        help="Lines of: question id, a tab, the question in words, or BEIR's queries.jsonl. Ids that were "
        "exported here are known.",
    )
    skip = st.checkbox("Skip lines with ids that are not known here", key="qrels_skip_unknown")
    ready = qrels is not None
    if st.button("Import", key="qrels_import", disabled=not ready, icon=":material/upload:") and qrels:
        _take(workspace, collection, qrels, topics, skip)


def _take(
    workspace: Workspace, collection: str, qrels: IO[bytes], topics: IO[bytes] | None, skip: bool
) -> None:
    from engine.evaluation.judgements import Judgements

    for file in filter(None, (qrels, topics)):
        file.seek(0)  # an earlier try has read it
    try:
        done = Judgements(workspace.ledger).take(collection, qrels, topics, skip_unknown=skip)
    except GapscopeError as error:
        say_error(str(error))
        return
    st.session_state[_DONE] = done
    st.session_state[_ROUND] += 1  # a new key empties the uploaders
    st.rerun()


def _say_done(done: Imported) -> None:
    of = plain(f", from {done.file}") if done.file else ""
    st.success(
        f"{_counted(done.stored, 'judgement')} of {_counted(done.questions, 'question')} imported{of}."
    )
    if done.left_out:
        more = "; …" if done.left_out > len(done.faults) else ""
        named = "; ".join(map(str, done.faults))
        st.warning(plain(f"{_counted(done.left_out, 'line')} skipped: {named}{more}"))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
