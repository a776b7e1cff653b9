"""What the Rerank page says of an answer: was it worth it, what moved and how far, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from engine.types import MODALITIES, Modality
from pages.ui import figure, frame, marks
from pages.ui.evaluate.results import worse_questions
from pages.ui.rerank import lists, wording
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.evaluation.questions import Known
    from engine.evaluation.rank_changes import Comparison, Move
    from engine.types import SearchTrace
    from engine.workspace import Workspace

_LINES = 50  # that can still be told apart in one drawing
_NAMED = 5
_SOURCES = {
    "pairs": "known because its caption is the question, word for word",
    "labels": "known by the label that is the question",
    "judgements": "marked by people here",
}
_BOXES = {"win": st.success, "tie": st.info, "loss": st.warning}
_STYLE = """<style>
.gs-facts.gs-cost {gap: .3rem 1.8rem; padding-top: 0;} .gs-facts.gs-cost > div {max-width: 15rem;}
.gs-facts.gs-cost b {font-size: 1.2rem;}
.gs-moved {font-size: .9rem; line-height: 1.4;}
.gs-moved h4 {font-size: .95rem; margin: .2rem 0 .3rem; padding: 0;}
.gs-moved ol {list-style: none; margin: 0 0 .8rem; padding: 0;}
.gs-moved li {display: grid; grid-template-columns: 8.6rem 1fr; gap: .5rem; margin: 0; padding: .2rem 0;
  font-size: .875rem; border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent);
  font-variant-numeric: tabular-nums;}
.gs-moved bdi {overflow: hidden; text-overflow: ellipsis; white-space: nowrap;}
[class*="st-key-rr_chart_"] svg :is(.textpoint, .annotation, .legend, .textpoint) text {
  fill: currentColor !important;}
</style>"""


EXAMPLES = (
    "a bee on a flower",
    "a red boat on the water",
    "two birds",
    "a sign with words on it",
)


@dataclass(frozen=True)
class View:
    """One question answered: what was retrieved, and by each reranker's name what it made of that."""

    question: str
    trace: SearchTrace
    found: Mapping[str, Comparison]
    modality: Modality | None

    def noun(self, count: int = 1) -> str:
        """Return what the items are called: "picture", or "items" where several kinds are shown."""
        words = plural(self.modality) if self.modality else "items"
        return words.removesuffix("s") if count == 1 else words


def invite(collection: str) -> None:
    """Say what to do first; the samples come with questions to begin with."""
    st.info("Type a few words and press Enter, or ask with a picture.")
    if collection == "samples":
        with st.container(horizontal=True, gap="xsmall"):
            for number, example in enumerate(EXAMPLES):
                st.button(
                    example,
                    key=f"rerank_example_{number}",
                    on_click=lambda words=example: st.session_state.update(q=words),
                )


@st.fragment
def draw(workspace: Workspace, view: View) -> None:
    """Draw the answer; a mark draws it again without asking any model again."""
    from engine.evaluation.questions import known_answers

    with frame.errors():
        st.html(_STYLE)
        modalities = (view.modality,) if view.modality else MODALITIES
        known = known_answers(workspace.ledger, view.trace.collection, view.question, modalities)
        gains = known.gains if known else {}
        if view.found:
            _banners(view, known)
            _summaries(view, gains)
            for one in view.found.values():
                worse_questions(workspace, view.trace.collection, one.reranked.model)
        marks.summary(workspace, view.trace.collection, view.question)
        rows = _rows(view)
        lists.draw(
            workspace,
            view.trace.collection,
            view.question,
            view.trace.retrieval,
            view.found,
            right=gains,
            rows=rows,
        )
        _more(view, rows)


def _rows(view: View) -> int:
    """Return how many rows of each list are shown; another question begins with few again."""
    asked, rows = st.session_state.get("rr_rows", ("", 0))
    return rows if asked == view.question else lists.FIRST


def _more(view: View, rows: int) -> None:
    total = len(view.trace.retrieval)
    if rows < total:
        st.button(
            f"Show {min(total, rows * 2) - rows:,} more of {total:,}",
            key="rr_more",
            icon=":material/expand_more:",
            on_click=lambda: st.session_state.update(rr_rows=(view.question, rows * 2)),
        )


def _banners(view: View, known: Known | None) -> None:
    """Say for every reranker whether it was worth it, and where that is known from."""
    from engine.evaluation.rank_changes import worth

    if known is None:
        st.info(
            f"Whether it was worth it is not known: no caption or label here is this question word for "
            f"word. Mark a right {view.noun()} below, and this page will tell.",
            icon=":material/help:",
        )
        return
    results = {
        name: worth(known.gains, view.trace.retrieval, one.reranked.hits) for name, one in view.found.items()
    }
    for name, result in results.items():
        if known.truth == "pairs" and not view.found[name].reranked.by_caption.isdisjoint(known.gains):
            st.info(
                f"{plain(name)} read the right answer's caption, and the question is that caption: it was "
                f"shown the answer, so its order proves nothing.",
                icon=":material/visibility:",
            )
        elif view.found[name].reranked.scored:
            words = wording.verdict(
                result, view.noun(), retrieved=len(view.trace.retrieval), reranked=len(view.found[name].head)
            )
            _BOXES[result.verdict](f"{plain(name)}: {words}" if len(results) > 1 else words)
    found = next(iter(results.values())).found
    number = len(known.gains)
    st.caption(
        f"{number:,} right {view.noun(number)}, {_SOURCES[known.truth]}; {found:,} of {number:,} among the "
        f"{len(view.trace.retrieval):,} retrieved."
    )


def _summaries(view: View, gains: Mapping[str, float]) -> None:
    """Draw for every reranker what it changed; two stand beside each other."""
    from engine.evaluation.rank_changes import agreement

    if len(view.found) > 1:
        (first, one), (second, other) = view.found.items()
        tau = agreement(one.reranked, other.reranked)
        st.markdown(wording.agreement(first, second, tau))
    places = st.columns(len(view.found), gap="large") if len(view.found) > 1 else [st.container()]
    for number, (place, (name, one)) in enumerate(zip(places, view.found.items(), strict=True)):
        with place:
            _summary(view, name, one, gains, key=f"rr_chart_{number}")


def _summary(view: View, name: str, one: Comparison, gains: Mapping[str, float], *, key: str) -> None:
    alone = len(view.found) == 1
    if not alone:
        st.markdown(f"**{plain(name)}**")
    if not one.reranked.scored:
        st.warning(wording.nothing(name, one), icon=":material/block:")
        return
    st.markdown(wording.sentence(one))
    st.html(f'<div class="gs-facts gs-cost">{"".join(wording.facts(view.trace, one))}</div>')
    for note in wording.notes(one):
        st.caption(note)
    chart, named = st.columns([3, 2], gap="large") if alone else (st.container(), st.container())
    with chart:
        _chart(one, gains, key, name)
    with named:
        st.html(
            f'<div class="gs-moved">{_moved("▲ Biggest climbers", one.climbers(_NAMED))}'
            f"{_moved('▼ Biggest fallers', one.fallers(_NAMED))}</div>"
        )


def _chart(one: Comparison, gains: Mapping[str, float], key: str, name: str) -> None:
    from engine.figures.bump_chart import bump_chart

    lines = one.drawn(_LINES, [id_ for id_ in gains if any(move.item.id == id_ for move in one.moves)])
    with st.container(key=key):
        figure.show(bump_chart(lines, right=gains), key=f"{key}_plot", name=f"ranks by {name}")
    if len(lines) < len(one.moves):
        st.caption(f"{len(lines):,} of {len(one.moves):,} are drawn: the best ranks before or after.")


def _moved(title: str, moves: list[Move]) -> str:
    if not moves:
        return f"<h4>{title}</h4><ol><li>none</li></ol>"
    rows = "".join(
        f"<li><span>{move.before:,} → {move.after:,}, {'up' if move.moved > 0 else 'down'} "
        f"{abs(move.moved):,}</span><bdi>{escape((move.item.caption or move.item.name)[:120])}</bdi></li>"
        for move in moves
    )
    return f"<h4>{title}</h4><ol>{rows}</ol>"
