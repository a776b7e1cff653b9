"""Lesson 11: the rerank funnel; how far any reranker can come, what one costs, and when it does harm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure, frame
from pages.ui.gap.lessons.lesson import Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about

if TYPE_CHECKING:
    from engine.lessons.pairs import Pairs
    from engine.lessons.rerank import Funnel, Outcome
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_HARM, _HELP = "yes, it can", "no, it only helps"
_QUALITIES = ("perfect", "good", "noisy", "random")
_KS = (5, 10, 20, 50, 100)


def _compute(folder: DataFolder, collection: str, watch: Watch, *, top: int) -> tuple[Pairs, Funnel]:
    from engine.lessons.pairs import read_pairs
    from engine.lessons.rerank import funnel

    pairs = read_pairs(folder, collection)
    return pairs, funnel(pairs, top)


def _draw(stage: Stage) -> Answer | None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        top = st.selectbox("K, read again", _KS, index=1, key=stage.key("k"), bind="query-params", width=140)
        quality = st.selectbox(
            "Reranker (simulated)",
            _QUALITIES,
            index=1,
            key=stage.key("quality"),
            bind="query-params",
            width=190,
            help="Scores the own picture 1 and others 0, plus noise: none (perfect), a standard deviation of "
            "0.3 (good) or 0.8 (noisy); random is noise alone.",
        )
    computed = stage.computed(
        partial(_compute, top=int(top or _KS[1])), int(top or _KS[1]), title="Reranking every caption's list"
    )
    if computed is None:
        return None
    pairs, found = computed
    chosen = next(one for name, one in found.outcomes.items() if name == (quality or "good"))
    _chart(stage, found, chosen)
    st.dataframe([_row(one) for one in found.outcomes.values()], hide_index=True, width="stretch")
    st.page_link(
        frame.RERANK, label="Ask Pocket's own reranker, which reads the pictures", icon=":material/swap_vert:"
    )
    harmed = [one for one in found.outcomes.values() if one.lost > one.won]
    return Answer(
        _HARM if harmed else _HELP,
        _said(found, chosen),
        about(
            pairs,
            f"K = {found.top} of {found.candidates:,} candidates",
            f"seed {pairs.seed} of the noise; the reranker is simulated, and nothing is fitted",
        ),
        numbers_of(found),
        pairs.seed,
    )


def _chart(stage: Stage, found: Funnel, chosen: Outcome) -> None:
    from engine.figures.curves import curve_chart

    ks = list(found.ceilings)
    lines = {
        "ceiling: R@K before": list(found.ceilings.values()),
        f"R@1 after, {chosen.quality}": [found.by_k[chosen.quality][k] for k in ks],
        "R@1 before": [found.before] * len(ks),
    }
    chart = curve_chart(ks, lines, at=found.top, last=ks[-1], step="K, pictures read again for each caption")
    figure.show(chart, key=stage.key("chart"), name=f"{stage.collection} reranked")


def _row(one: Outcome) -> dict[str, str]:
    return {
        "simulated reranker": one.quality,
        "R@1 after": f"{one.after:.3f}",
        "change (95 % interval)": f"{one.change.mean:+.3f} ({one.change.low:+.3f} to {one.change.high:+.3f})",
        "of what could be gained": "" if one.captured is None else f"{one.captured:.0%}",
        "questions won": f"{one.won:,}",
        "questions lost": f"{one.lost:,}",
    }


def _said(found: Funnel, chosen: Outcome) -> str:
    gained = "" if chosen.captured is None else f", {chosen.captured:.0%} of what could be gained"
    return (
        f"R@1 is {found.before:.3f} before, {chosen.after:.3f} after the {chosen.quality} one "
        f"({chosen.won:,} questions won, {chosen.lost:,} lost{gained}), and no reranker of the first "
        f"{found.top} can pass {found.ceiling:.3f}. It does harm where it tells the own picture from the "
        f"other {found.top - 1} less surely than the first list did: a blind one ends near "
        f"{found.ceiling:.3f} / {found.top} = {found.ceiling / found.top:.3f}. It costs {found.top} "
        f"readings for each of {found.n:,} captions, {found.read:,} in all."
    )


LESSON = Lesson(
    number=11,
    slug="rerank",
    title="Rerank: no shared space, no gap",
    question="A reranker reads the first few pictures of every caption's list again, each with the caption, "
    "and sorts them anew. Can it do harm?",
    choices=(_HARM, _HELP),
    draw=_draw,
    why=(
        "A reranker that reads question and item together gives the two a score and puts neither into a "
        "shared space, so that no distance of two clouds can crowd its list; whether it favours a modality "
        "for other reasons is to be measured.",
        "It can only sort what the first list holds: R@1 after is at most R@K before.",
        "It has to be surer than the list it gets: what it takes from the first place, it takes from a "
        "question that was right already.",
    ),
    paper="Qwen3-VL-Embedding's README, MMEB-v2 on images: 74.8 becomes 74.0 with a reranker of 2B "
    "parameters over the first 100, and 78.2 with one of 8B.",
    trap="A mean gain hides the questions that were lost: count both. A reranker's scores share no scale "
    "with cosines, so what it has not read stays below what it has, in its old order.",
    notes="Start with perfect: it lands on the ceiling, and the ceiling is the first stage's. Then noisy, "
    "with K from 5 to 100: the ceiling rises and so may the losses, and the bill grows with K. The reranker "
    "is simulated here; the link asks a real one.",
    one_of={"rerank_quality": _QUALITIES, "rerank_k": tuple(map(str, _KS))},
)
