"""See: the gap in one picture, two collections of the same things side by side, and why they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure, frame
from pages.ui.gap.address import Controls
from pages.ui.gap.lessons.lesson import SAMPLES, TOWERS, Stage
from pages.ui.gap.lessons.words import learned
from pages.ui.gap.settings import collections
from pages.ui.gap.shown import Shown
from pages.ui.glossary import explained
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.lessons.pairs import Pairs
    from engine.lessons.picture import GapNumbers, Places, Projected
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder
    from engine.workspace import Workspace

CONTRAST = {
    "two islands": "Trained by contrast at a low temperature: each caption only has to be nearer to its own "
    "picture than other pictures are. Once that order is right, nothing pulls the two clouds together.",
    "one mixed cloud": "Trained by contrast, at a temperature or from a start at which the loss had a reason "
    "to close the gap.",
}
ANCHORED = (
    "Pocket is anchored: a picture's vector is made from the vectors of the words that Pocket recognises in "
    "it. So pictures lie near the texts and have more of them as neighbours than on an island, even where "
    "the centroids differ."
)
_PLANE = (
    "Each side is what one model makes of its pictures and captions. Grey lines join a picture with its own "
    "caption. Along the gap, distances from left to right are those "
    "of the vectors; UMAP keeps neighbours together, and how far its islands lie apart means little. Draw "
    "both sides the same way to see what is the model's and what the drawing's."
)


def controls() -> Controls:
    """Return what can be chosen on both sides."""
    from engine.lessons.picture import PROJECTED

    sides = ("left", "right")
    names = tuple(f"{side}_{name}" for side in sides for name in ("collection", "projection"))
    return Controls(names, one_of={f"{side}_projection": PROJECTED for side in sides})


def draw(workspace: Workspace) -> Shown | None:
    """Draw two collections beside each other, each as a map with what its vectors say; return those."""
    names = collections(workspace)
    left, right = st.columns(2, gap="large")
    with left:
        one = _one(workspace, names, TOWERS, "PCA along the gap", side="left")
    with right:
        other = _one(workspace, names, SAMPLES, "UMAP", side="right")
    st.caption(_PLANE)
    with st.container(horizontal=True):
        for label, view, icon in (
            ("Walk through the lessons", "Lessons", ":material/school:"),
            ("Make a gap yourself", "Train", ":material/play_arrow:"),
        ):
            st.page_link(frame.GAP_LAB, label=label, icon=icon, query_params={"view": view})
    if one is None or other is None:
        return None
    numbers = numbers_of(one[1], "left") | numbers_of(other[1], "right")
    return Shown(tuple(dict.fromkeys((one[0].collection, other[0].collection))), one[0].seed, numbers)


def _one(
    workspace: Workspace, names: list[str], home: str, projected: Projected, *, side: str
) -> tuple[Pairs, GapNumbers] | None:
    """Draw one collection: what is chosen, its places, its numbers and why; return its numbers."""
    from engine.lessons.picture import PROJECTED

    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"{side}_collection"
        if (asked := st.query_params.get(key)) and asked not in names:
            st.warning(
                plain(f"There is no collection {asked!r} with pictures and texts; showing another one.")
            )
        index = names.index(home) if home in names else 0
        name = st.selectbox("Collection", names, index=index, key=key, bind="query-params", width=190)
        drawn = st.segmented_control(
            "Drawn by",
            PROJECTED,
            default=projected,
            required=True,
            key=f"{side}_projection",
            bind="query-params",
        )
    stage = Stage(workspace, name or names[0], side)
    numbers = stage.computed(_numbers, "numbers", title="Measuring the vectors")
    places = Stage(workspace, stage.collection, f"{side}_places").computed(
        _umap if drawn == "UMAP" else _pca,
        drawn,
        title="Drawing by UMAP, which is compiled the first time" if drawn == "UMAP" else "Drawing by PCA",
        quick=drawn != "UMAP",
    )
    if numbers is not None:
        st.subheader(numbers[1].form.capitalize(), anchor=False)
    if places is not None:
        _picture(places, stage, drawn or projected)
    if numbers is not None:
        _say(*numbers)
    return numbers if places is not None else None


def _numbers(folder: DataFolder, collection: str, watch: Watch) -> tuple[Pairs, GapNumbers]:
    from engine.lessons.pairs import read_pairs
    from engine.lessons.picture import gap_numbers

    pairs = read_pairs(folder, collection)
    return pairs, gap_numbers(pairs)


def _pca(folder: DataFolder, collection: str, watch: Watch) -> Places:
    from engine.lessons.pairs import read_pairs
    from engine.lessons.picture import places_of

    return places_of(read_pairs(folder, collection), "PCA along the gap", watch)


def _umap(folder: DataFolder, collection: str, watch: Watch) -> Places:
    from engine.lessons.pairs import read_pairs
    from engine.lessons.picture import places_of

    return places_of(read_pairs(folder, collection), "UMAP", watch)


def _picture(places: Places, stage: Stage, drawn: Projected) -> None:
    from engine.figures.clouds import cloud_chart

    both = np.concatenate([places.x, places.y])
    middle = (both.min(0) + both.max(0)) / 2  # UMAP's places lie anywhere
    reach = 1.08 * max(float(np.abs(both - middle).max()), 1e-3)
    chart = cloud_chart(places.x - middle, places.y - middle, limit=reach, height_px=330)
    figure.show(chart, key=stage.key("picture"), name=f"{stage.collection} {drawn}")
    if places.note:
        st.caption(plain(places.note))


def _say(pairs: Pairs, found: GapNumbers) -> None:
    """Say what the vectors have, how well they find, and why."""
    facts = {
        "L2M (0 to 2)": f"{found.l2m:.2f}",
        f"neighbours of the other modality (mixed: {found.crossing_chance:.2f})": f"{found.crossing:.2f}",
    }
    if found.b_to_a:
        first, chance = found.b_to_a.hits["1"].mean, found.b_to_a.chance_hits["1"]
        facts[f"R@1, text to picture (chance {chance:.3f}{learned(pairs)})"] = f"{first:.2f}"
    inner = "".join(f"<div><b>{value}</b>{explained(label)}</div>" for label, value in facts.items())
    st.html(f'<div class="gs-facts">{inner}</div>')
    why = _why(pairs.model, found.form)
    if why:
        st.html(f'<p class="gs-why">{explained(why)}</p>')
    st.caption(
        plain(
            f"n = {len(pairs):,} of {pairs.there:,} pairs of {plural(pairs.a)} and {plural(pairs.b)}, "
            f"k = {found.k}, model {pairs.model}, seed {pairs.seed}. {' '.join(pairs.notes)}"
        )
    )


def _why(model: str, form: str) -> str:
    """Return how a model came to what its vectors form, where that is known here."""
    if model.startswith("towers:"):
        return CONTRAST.get(form, "")
    return ANCHORED if model == "pocket" and form != "two islands" else ""
