"""Lesson 1: one picture, its caption, another caption, another picture: who is nearer to whom?"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.lesson import Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about, learned
from pages.ui.resources import thumbnail_uri
from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.lessons.four import FourThings, NamedPairs, Nearest
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_OWN, _PICTURE, _OTHER = "its own caption", "the other picture", "the other caption"
_WORDS: dict[Nearest, str] = {"own": _OWN, "other picture": _PICTURE, "other caption": _OTHER}
_STYLE = """<style>
.gs-four {display: flex; gap: .8rem; align-items: center; overflow-wrap: anywhere; line-height: 1.35;}
.gs-four img {height: 8rem; max-width: 50%; object-fit: contain; border-radius: .5rem;}
.st-key-four_map svg :is(.xtick, .ytick, .cbtitle, .hovertext) text {fill: currentColor !important;}
</style>"""


def _compute(folder: DataFolder, collection: str, watch: Watch) -> NamedPairs:
    from engine.lessons.four import named_pairs

    return named_pairs(folder, collection)


def _draw(stage: Stage) -> Answer | None:
    named = stage.computed(_compute, title="Reading the pairs")
    if named is None:
        return None
    from engine.lessons.four import four_things

    presets = named.preset()
    with st.container(horizontal=True):
        first = _chosen(stage, named, "first", "Picture", presets[0])
        second = _chosen(stage, named, "second", "Another picture", presets[1])
    if first == second:
        st.info("Both are the same picture: choose two.")
        return None
    found = four_things(named.pairs, first, second)
    st.html(_STYLE)
    for column, row in zip(st.columns(2), (first, second), strict=True):
        column.html(_card(stage, named, row))
    _map(stage, named, (first, second), found)
    return Answer(
        _WORDS[found.nearest],
        _said(named, named.names[first], found),
        about(named.pairs),
        numbers_of(found) | _cosines(found),
        named.pairs.seed,
    )


def _cosines(found: FourThings) -> dict[str, float]:
    """Return the cosines of the first picture by what it is compared with."""
    names = ("its own caption", "the other picture", "the other caption")
    return {f"cosine with {name}": float(one) for name, one in zip(names, found.cosines[0, 1:], strict=True)}


def _chosen(stage: Stage, named: NamedPairs, name: str, label: str, preset: int) -> int:
    """Ask for one of the pairs, by the name of its picture; return its row."""
    key = stage.key(name)
    if (asked := st.query_params.get(key)) and asked not in named.names:
        st.warning(plain(f"There is no picture {asked!r} among these pairs; showing another one."))
    picked = st.selectbox(label, named.names, index=preset, key=key, bind="query-params", width=280)
    return named.names.index(picked) if picked in named.names else preset


def _card(stage: Stage, named: NamedPairs, row: int) -> str:
    items = stage.workspace.store.items_of(stage.collection, named.pairs.a, [named.pairs.ids_x[row]])
    uri = thumbnail_uri(stage.workspace, items[0]) if items else None
    picture = f'<img src="{uri}" alt="{escape(named.names[row])}">' if uri else ""
    return f'<div class="gs-four">{picture}<bdi>{escape(named.captions[row][:300])}</bdi></div>'


def _map(stage: Stage, named: NamedPairs, rows: tuple[int, int], found: FourThings) -> None:
    """Draw all cosines of the four as a heat map."""
    from engine.figures.heat_map import heat_map
    from engine.models.playground import Heading, Matrix

    sides = [
        Heading(f"{kind} {place}", f"{kind} {place}: {words[row]}", modality)
        for place, row in enumerate(rows, start=1)
        for kind, words, modality in (
            ("picture", named.names, named.pairs.a),
            ("caption", named.captions, named.pairs.b),
        )
    ]
    matrix = Matrix(tuple(sides), tuple(sides), found.cosines.astype(np.float32), named.pairs.model, "cosine")
    with st.container(key=stage.key("map")):
        chart = heat_map(matrix, colour_label="cosine")
        figure.show(chart, key=stage.key("chart"), name=f"{stage.collection} four things")


def _said(named: NamedPairs, name: str, found: FourThings) -> str:
    own, picture, other = found.cosines[0, 1:]
    said = (
        f"{name} has a cosine of {picture:.2f} with the other picture, {own:.2f} with its own caption and "
        f"{other:.2f} with the other one. Among all {found.among:,} captions its own is at rank "
        f"{found.rank:g} (guessing: {(found.among + 1) / 2:g})"
    )
    if found.nearest == "other picture" and found.rank == 1:
        said += ": nearer to another picture, and yet the first of all texts"
    return (
        f"{said}. In one list of all captions and all other pictures, {found.mixed_among:,} together, its "
        f"own caption is at rank {found.mixed_rank:g}. Over all "
        f"pairs{learned(named.pairs)}, another picture is nearer than the own caption in "
        f"{named.nearer:.0%} of all draws."
    )


LESSON = Lesson(
    number=1,
    slug="four",
    title="Who is nearer to whom?",
    question="A picture, its caption, another picture, its caption: what is nearest to the first picture?",
    choices=(_OWN, _PICTURE, _OTHER),
    draw=_draw,
    why=(
        "An embedding holds what an item shows, and also which modality it is: where the second weighs "
        "more, another picture is nearer than the picture's own words.",
        "Among texts alone the modality is the same for all of them, so that it favours none, and the right "
        "one can come first at a low cosine.",
        "So compare a cosine only with others between the same two modalities: which text is nearest is a "
        "fair question, whether a text or a picture is nearer is not.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS): embeddings of pictures and of texts lie apart.",
    trap="Two pictures at a high cosine need not show the same thing, nor does a low cosine between a "
    "picture and a text say that they do not match.",
    notes="Let the room vote with hands before you reveal. Then choose two pictures that have nothing in "
    "common, and ask again: is the other picture still nearer than the caption? Read the first row of "
    "the map only.",
    open=("four_first", "four_second"),
)
