"""Lesson 9: one list of both kinds, which one may fill alone, and three treatments with what each fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import glossary
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about, learned
from pages.ui.resources import thumbnail_uri
from pages.ui.wording import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.lessons.mixed import Mixed, Order
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder
    from engine.types import Modality

_NONE, _FEW, _HALF, _MOST = "hardly any", "fewer than half", "about half", "most of them"
_STEPS = ((0.05, _NONE), (0.4, _FEW), (0.6, _HALF))  # of the share of pictures in the first places
_PICTURE, _OWN, _TEXT = "● picture", "● its own picture", "■ text"  # the map's marks
_SEEN = "seen"  # the heading of the thumbnails
_ORDERS = (
    "raw: by cosine alone. centred: by cosine after each modality's mean is taken off. standardised: by how "
    "many spreads a score lies above the mean of its modality. interleaved: the two lists in turn. R@10 and "
    "nDCG@10 look at the first ten."
)
_QUESTIONS = 500  # half of the most pairs that a lesson takes


def _compute(folder: DataFolder, collection: str, watch: Watch) -> tuple[Mixed, dict[str, str]]:
    from engine.lessons.mixed import mixed, words_of
    from engine.lessons.pairs import read_pairs

    found = mixed(read_pairs(folder, collection))
    return found, words_of(folder, found.held)


def _draw(stage: Stage) -> Answer | None:
    computed = stage.computed(_compute, title="Asking with every caption, in four orders")
    if computed is None:
        return None
    found, words = computed
    n, k = len(found.held), found.k
    st.dataframe([_row(one, k) for one in found.orders], hide_index=True, width="stretch")
    glossary.caption(_ORDERS)
    question = _question(stage, n)
    st.markdown(f"**{plain(words[found.held.ids_y[question]])}**")
    _draw_lists(stage, found, words, question)
    st.caption(plain(_alone(found, question)))
    st.markdown("**The question that cosines alone fail most, and the one that each order costs most**")
    st.dataframe([_failed(found, one, words) for one in found.orders], hide_index=True, width="stretch")
    raw = found.orders[0]
    word = next((word for most, word in _STEPS if raw.share < most), _MOST)
    return Answer(
        word,
        f"{n / (2 * n - 1):.0%} of what is searched are pictures, and of the first {k} by cosine "
        f"{raw.share:.0%}; {raw.recall:.0%} of the captions find their own picture there"
        f"{learned(found.held)}. {_treated(found)}",
        about(
            found.held,
            f"k = {k}",
            f"every caption of one half asks that half, calibrated on the {found.fitted:,} pairs of the "
            f"other",
        )
        + "".join(f" {note}" for note in found.notes),
        numbers_of(found.orders) | {"k": k, "fitted": found.fitted, "held": n},
        found.held.seed,
    )


def _row(one: Order, k: int) -> dict[str, str]:
    return {
        "order": one.mode,
        f"pictures in the first {k}": f"{one.share:.0%}",
        f"R@{k} of the own picture": f"{one.recall:.3f}",
        f"nDCG@{k} of the own picture": f"{one.ndcg:.3f}",
        "pictures shown where the right one is missing": f"{one.unasked:.0%}",
    }


def _question(stage: Stage, n: int) -> int:
    """Ask which question is shown, and return its row; says where there are not as many."""
    label = f"Question, 1 to {n:,}"
    chosen = st.number_input(
        label, 1, _QUESTIONS, 1, key=stage.key("question"), bind="query-params", width=180
    )
    if chosen and chosen > n:
        st.warning(f"There is no question {chosen:,}; there are {n:,} here. This is the last one.")
    return min(int(chosen or 1), n) - 1


def _draw_lists(stage: Stage, found: Mixed, words: Mapping[str, str], question: int) -> None:
    """Draw the first places in every order beside each other, two by two, so that none is cut off."""
    n = len(found.held)
    shown = {column for one in found.orders for column in one.first[question].tolist()}
    uris = _thumbnails(stage, found.held.a, [found.held.ids_x[column - n] for column in shown if column >= n])

    def place(column: int, mode: str) -> dict[str, str]:
        if column < n:
            return {_SEEN: "", mode: f"{_TEXT}: {words[found.held.ids_y[column]]}"}
        id_, mark = found.held.ids_x[column - n], _OWN if column - n == question else _PICTURE
        return {_SEEN: uris.get(id_) or "", mode: f"{mark}: {words[id_]}"}

    drawn = {_SEEN: st.column_config.ImageColumn(_SEEN, width=60)}
    for start in range(0, len(found.orders), 2):
        for side, one in zip(st.columns(2), found.orders[start : start + 2], strict=False):
            rows = [place(column, one.mode) for column in one.first[question].tolist()]
            side.dataframe(rows, column_config=drawn, width="stretch", hide_index=True)


def _thumbnails(stage: Stage, kind: Modality, ids: list[str]) -> dict[str, str | None]:
    items = stage.workspace.store.items_of(stage.collection, kind, ids)
    return {item.id: thumbnail_uri(stage.workspace, item) for item in items}


def _alone(found: Mixed, question: int) -> str:
    n = len(found.held)
    counts = [f"{int((one.without[question] >= n).sum())} {one.mode}" for one in found.orders]
    return (
        f"Take this question's own picture away, and no picture is right; in the first "
        f"{found.orders[0].without.shape[1]} there are still so many pictures: {', '.join(counts)}."
    )


def _failed(found: Mixed, one: Order, words: Mapping[str, str]) -> dict[str, str]:
    raw = found.orders[0]
    row = raw.worst if one is raw else one.costs_most(raw)
    if row is None:
        none = {"rank of its own picture": "", "rank by cosine": ""}
        return {"order": one.mode, "question": "none: every rank is as good as by cosine, or better"} | none
    return {
        "order": one.mode,
        "question": words[found.held.ids_y[row]],
        "rank of its own picture": f"{one.ranks[row]:g}",
        "rank by cosine": f"{raw.ranks[row]:g}",
    }


def _treated(found: Mixed) -> str:
    """Return what the best treatment does, and what it puts there where no picture is right."""
    raw, best = found.orders[0], max(found.orders[1:], key=lambda one: one.recall)
    finds = f"{best.recall:.0%} (one question is {1 / len(found.held):.1%})"
    if best.recall > raw.recall:
        said = f"The treatment that finds most here, {best.mode}, finds {finds}."
    else:
        said = f"No treatment finds more here; the best of them, {best.mode}, finds {finds}."
    return (
        f"{said} Look at the last column too: where the own picture is taken away, so that none is right, "
        f"pictures take {raw.unasked:.0%} of the first places by cosine, {best.unasked:.0%} by that order."
    )


LESSON = Lesson(
    number=9,
    slug="mixed",
    title="One list of words and pictures",
    question="A caption asks a collection of as many pictures as other captions. How many of the first ten "
    "are pictures?",
    choices=(_NONE, _FEW, _HALF, _MOST),
    draw=_draw,
    why=(
        "A list of both kinds compares cosines within a modality with cosines across, which are two scales: "
        "the kind whose scale is higher crowds the other, whether or not it is what was asked for. Lesson 2 "
        "shows which that is here.",
        "Centring takes away the distance of the centroids, but cosines within a modality may still spread "
        "wider than those across; standardising divides by that spread, and interleaving ignores scores.",
        "Each of them moves a whole kind up or down, whether or not anything of it is right: what helps "
        "questions that want that kind costs those that want the other.",
    ),
    paper="GR-CLIP (the bias, and centring on the means); arXiv 2511.22141 (z-scores by modality).",
    trap="Means and spreads fitted on the very items that are then searched flatter the result. And balance "
    "is no aim in itself: a list that is half pictures may hold none that is right. Where two lists will "
    "do, show two; where it must be one, measure the orders on your own questions (Evaluate).",
    notes="Show the four lists of one question before the table. Then ask who would want pictures where no "
    "picture is right, and read out the last column. Cosines of two modalities are two scales: a search that "
    "shows one list has to choose an exchange rate, and none of them is free.",
    home=TOWERS,
    ranges={"mixed_question": (1, _QUESTIONS)},
)
