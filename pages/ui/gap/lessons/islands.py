"""Lesson 3: the islands, and whether they are real: a PCA along the gap, its histogram, and UMAP."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.lesson import TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about
from pages.ui.gap.settings import EXPECTED

if TYPE_CHECKING:
    from engine.lessons.islands import Flat, Islands
    from engine.lessons.pairs import Pairs
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_NEIGHBOURS = (5, 15, 50)
_LAST_SEED = 9


def _read(folder: DataFolder, collection: str) -> Pairs:
    from engine.lessons.islands import MOST_PAIRS
    from engine.lessons.pairs import read_pairs

    return read_pairs(folder, collection, most=MOST_PAIRS)


def _compute(folder: DataFolder, collection: str, watch: Watch) -> tuple[Pairs, Islands]:
    from engine.lessons.islands import islands

    pairs = _read(folder, collection)
    return pairs, islands(pairs)


def _fit(folder: DataFolder, collection: str, watch: Watch, *, n_neighbors: int, seed: int) -> Flat:
    from engine.lessons.islands import umap

    return umap(_read(folder, collection), n_neighbors=n_neighbors, seed=seed, watch=watch)


def _draw(stage: Stage) -> Answer | None:
    computed = stage.computed(_compute, title="Measuring the islands")
    if computed is None:
        return None
    pairs, found = computed
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**PCA along the gap**: from left to right, the line of centroids")
        _cloud(found.pca, stage.key("pca"), f"{stage.collection} by PCA along the gap")
    with right:
        n_neighbors, seed = _asked(stage)
        flat = stage.computed(
            partial(_fit, n_neighbors=n_neighbors, seed=seed),
            "umap",
            n_neighbors,
            seed,
            title=f"UMAP with n_neighbors {n_neighbors}, seed {seed}",
            quick=False,
        )
        if flat:
            _cloud(flat, stage.key("flat"), f"{stage.collection} by UMAP")
    from engine.figures.axis_histograms import axis_chart
    from engine.lessons.picture import form_of

    along = axis_chart(found.counts_x, found.counts_y, found.edges, axis="place along the line of centroids")
    figure.show(along, key=stage.key("along"), name=f"{stage.collection} along the gap")
    more = [f"UMAP with n_neighbors = {n_neighbors} and seed {seed}"] if flat else []
    numbers = numbers_of(found) | numbers_of(flat, "umap")
    said = _said(pairs, found, flat)
    return Answer(form_of(found.crossing), said, about(pairs, f"k = {found.k}", *more), numbers, pairs.seed)


def _asked(stage: Stage) -> tuple[int, int]:
    """Ask for what a UMAP is fitted with."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n_neighbors = st.segmented_control(
            "UMAP's n_neighbors",
            _NEIGHBOURS,
            default=15,
            required=True,
            key=stage.key("neighbors"),
            bind="query-params",
        )
        seed = st.number_input(
            "seed", 0, _LAST_SEED, 0, key=stage.key("seed"), bind="query-params", width=130
        )
    return n_neighbors or 15, int(seed or 0)


def _cloud(flat: Flat, key: str, name: str) -> None:
    from engine.figures.clouds import cloud_chart

    reach = 1.05 * max(float(np.abs(part).max()) for part in (flat.x, flat.y)) or 1.0
    figure.show(cloud_chart(flat.x, flat.y, limit=reach), key=key, name=name)


def _said(pairs: Pairs, found: Islands, flat: Flat | None) -> str:
    said = (
        f"Of an item's {found.k} nearest neighbours {found.crossing:.0%} are of the other modality, where "
        f"{found.mixed:.0%} would be if it did not matter: that is measured in all {pairs.x.shape[1]} "
        f"dimensions, and on no map. The centroids are {found.l2m:.2f} apart (L2M)"
    )
    if found.ratio is not None and found.pca.ratio is not None:
        said += (
            f", {found.ratio:.1f} times the spread of a modality. On the PCA it looks like "
            f"{found.pca.ratio:.1f} times: their distance is true there, and of the spread "
            f"{found.shown:.0%} is in sight"
        )
    if flat and flat.ratio is not None:
        said += f"; on this UMAP it looks like {flat.ratio:.1f} times"
    return f"{said}."


LESSON = Lesson(
    number=3,
    slug="islands",
    title="The islands, and whether they are real",
    question="All pictures and all texts on one map: what will they form?",
    choices=EXPECTED,
    draw=_draw,
    why=(
        "A PCA along the gap keeps the distance of the two centroids and loses spread in all other "
        "directions, so that islands look narrower than they are.",
        "UMAP keeps neighbours together: where no item has a neighbour of the other modality nothing ties "
        "the two islands to each other, and the map does not say how far apart they are.",
        "Whether they are islands is told by neighbours in all dimensions; how far apart they are is told "
        "by L2M.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS), for the gap and L2M; the documentation of umap-learn "
    "says that UMAP does not preserve density and may tear apart what is one.",
    trap="A map cannot show the size of a gap, nor that there is none: fitted for each modality by itself, "
    "or in other directions, two islands lie on top of each other.",
    notes="Ask what the distance between the islands on the UMAP means, and let the room name a number. Then "
    "change the seed, and n_neighbors: the islands move, and not one vector has changed. "
    "The histogram below is the one to trust: it is the gap itself, without a map.",
    home=TOWERS,
    ranges={"islands_seed": (0, _LAST_SEED)},
    one_of={"islands_neighbors": [str(one) for one in _NEIGHBOURS]},
)
