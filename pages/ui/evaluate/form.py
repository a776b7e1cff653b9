"""What to measure: collections, questions, reranker, sample; starts a job for each collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from engine.evaluation.questions import Direction, Truth
from engine.search.balance import check_balance
from engine.types import BALANCES
from pages.ui import resources
from pages.ui.models import picker, wording
from pages.ui.wording import plural, say_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.jobs.queue import Jobs
    from engine.storage.chroma import CollectionInfo
    from engine.types import Balance
    from engine.workspace import Workspace

NO_RERANKER = "none"
TOPS = (10, 20, 50, 100, 200)
ALL = 0
_ONE_KIND = "the kind that answers"
_ERRORS, _STARTED = "evaluate_errors", "evaluate_started"


def ask(workspace: Workspace, jobs: Jobs, infos: Mapping[str, CollectionInfo]) -> list[str]:
    """Draw the choices and the button, and return the chosen collections.

    Says what is missing where nothing can be asked.
    """
    names = list(infos)
    asked_for = st.query_params.get("collection", "")
    first = next(name for name in (asked_for, "samples", names[0]) if name in names)
    with st.container(border=True, key="evaluate_ask"):
        collections = st.multiselect(
            "Collections",
            names,
            default=[first],
            key="evaluate_collections",
            help="Several collections of the same files, each by its own model, can be compared below.",
        )
        if not collections:
            st.info("Choose a collection to measure.")
            return []
        questions = _questions(workspace, collections, infos)
        if not questions:
            _nothing(collections)
            return collections
        asked = st.selectbox(
            "Questions",
            list(questions),
            format_func=lambda key: f"{in_words(*key)} ({questions[key]:,})",
            key=f"evaluate_questions_{'-'.join(collections)}",
        )
        reranker, top, limit, mode = _settings(workspace, questions[asked])
        if st.button("Measure", key="evaluate_go", type="primary", icon=":material/play_arrow:"):
            _start(jobs, collections, asked, reranker, top, limit, mode)
    for error in st.session_state.pop(_ERRORS, ()):
        say_error(error)
    return collections


def finished(jobs: Jobs) -> str | None:
    """Return the result of what this visitor started and has not been shown yet, the newest one."""
    started = st.session_state.get(_STARTED, set())
    done = [job for job in jobs.list() if job.spec.id in started and job.evaluation]
    started -= {job.spec.id for job in done}
    return done[0].evaluation if done else None


def in_words(truth: Truth, direction: Direction) -> str:
    """Return who asks for what, by what truth."""
    asks, answers = plural(direction.asks), plural(direction.answers)
    if truth == "pairs":
        names = {"text": "captions", "image": "pictures"}
        return f"{names[direction.asks].capitalize()} ask for their {names[direction.answers]}"
    if truth == "labels":
        if direction.asks == "text":
            return f"Labels ask for the {answers} that have them"
        return f"{asks.capitalize()} ask for others with the same label"
    return f"Your marks: {asks} ask for {answers}"


def _questions(
    workspace: Workspace, collections: Sequence[str], infos: Mapping[str, CollectionInfo]
) -> dict[tuple[Truth, Direction], int]:
    """Return what can be asked of every chosen collection, with the smallest count."""
    from engine.evaluation.judgements import Judgements

    marks = Judgements(workspace.ledger)
    counts = [
        resources.questions_of(
            workspace, name, f"{infos[name]} {workspace.ledger.version(name)} {marks.of(name)}"
        )
        for name in collections
    ]
    return {key: min(one[key] for one in counts) for key in counts[0] if all(key in one for one in counts)}


def _nothing(collections: Sequence[str]) -> None:
    alone = len(collections) == 1
    none = "This collection has no questions" if alone else "These collections have no questions in common"
    st.info(
        f"{none} with known answers. Add pictures with captions or labels (a metadata.jsonl "
        f"beside them), or mark hits as right on the Search page."
    )


def _settings(workspace: Workspace, count: int) -> tuple[str, int, int | None, Balance | None]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        reranker = st.selectbox(
            "Reranker",
            [NO_RERANKER, *picker.rerankers(workspace)],
            index=1,
            format_func=wording.short,
            key="evaluate_reranker",
            accept_new_options=True,
            width=260,
            help="Those on this machine; or type a hub id or a local folder. The Models page has more.",
        )
        top = st.selectbox(
            "Rerank top",
            TOPS,
            index=TOPS.index(50),
            key="evaluate_top",
            width=130,
            disabled=reranker == NO_RERANKER,
        )
        samples = [ALL, *(size for size in (50, 100, 500, 2_000) if size < count)]
        limit = st.selectbox(
            "Sample",
            samples,
            format_func=lambda size: f"{size:,} at random" if size else f"all {count:,}",
            key="evaluate_limit",
            width=170,
            help="A random sample of the questions with seed 0: always the same ones.",
        )
        against = st.selectbox(
            "Ranked against",
            [_ONE_KIND, *BALANCES],
            format_func=lambda one: one if one == _ONE_KIND else f"all kinds, {one}",
            key="evaluate_balance",
            width=220,
            help="All kinds in one list, less what asks, in the order of this name on Search and Rerank.",
        )
    return (
        reranker or NO_RERANKER,
        top,
        limit or None,
        None if against == _ONE_KIND else check_balance(against),
    )


def _start(
    jobs: Jobs,
    collections: Sequence[str],
    asked: tuple[Truth, Direction],
    reranker: str,
    top: int,
    limit: int | None,
    balance: Balance | None,
) -> None:
    from engine.evaluation.results import Plan
    from engine.models.base import ModelChoice

    choice = None if reranker == NO_RERANKER else ModelChoice(reranker.strip())
    errors = []
    for name in collections:
        try:
            job = jobs.evaluate(Plan(name, *asked, reranker=choice, top=top, limit=limit, balance=balance))
            st.session_state.setdefault(_STARTED, set()).add(job.spec.id)
        except GapscopeError as error:
            errors.append(str(error))
    st.session_state[_ERRORS] = errors
    st.rerun()
