"""One training of two towers, walked through step by step: clouds, cosines, curves, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.ui import figure
from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.analysis.two_towers import Snapshot, TowerSettings
    from engine.towers.train import TrainedTowers

BEFORE = (
    "Two linear heads turn Pocket's features of the pictures (1,280 numbers) and of the captions (384) into "
    "64 numbers each, so that a picture is nearer to its own caption than to any other (InfoNCE, the loss "
    "of CLIP). Say what you expect, then press Train."
)
WHY = (
    "A gap needs two things here: a cone to start from, and a temperature so low that closing the gap is not "
    "worth the loss (Liang et al. 2022). Take either away and none forms. Matching pairs may stay at a "
    "cosine of a half and every rank be right all the same: only the order among the candidates counts."
)
TRAP = (
    "The heads know the pairs they were trained on by heart and little else: compare R@1 on trained and on "
    "held-out pairs. That there is a gap, or none, says nothing about what was learned."
)


def title(collection: str, settings: TowerSettings) -> str:
    """Return what was trained, in a line."""
    wrong = f", {settings.mismatched:.0%} mismatched" if settings.mismatched else ""
    return (
        f"{collection}: temperature {settings.temperature:g}, {settings.start}{wrong}, seed {settings.seed}"
    )


def draw(trained: TrainedTowers, expected: str, *, name: str) -> Snapshot:
    """Draw a training that has ended; the slider walks through it, and the step it is at is returned."""
    snapshots = trained.snapshots
    st.markdown(plain(_outcome(snapshots[-1], expected)))
    if trained.features.unread:
        st.warning(plain(f"{trained.features.unread:,} pairs could not be read: {trained.features.reason}"))
    steps = [one.step for one in snapshots]
    at = steps[-1]
    if len(steps) > 1:
        key = f"towers_step_{name}"
        if st.session_state.get(key) not in steps:  # of another training
            st.session_state.pop(key, None)
        at = st.select_slider("Step", steps, value=steps[-1], key=key)
    shown = snapshots[steps.index(at)]
    clouds(snapshots, steps.index(at), by=snapshots[-1], name=name)
    numbers(shown)
    cosines(shown, name)
    curves(snapshots, at, name)
    held = shown.held_out.n if shown.held_out else 0
    st.caption(
        plain(
            f"n = {shown.trained.n:,} trained and {held:,} held-out pairs, of {trained.features.pairs:,}; "
            f"features of Pocket's networks, 64 dimensions, k = 15, seed {trained.settings.seed}. The plane "
            "of the clouds is that of the last step for all steps: from left to right the line of its two "
            "centroids, whose distance there is L2M."
        )
    )
    with st.expander("Why, and the trap", icon=":material/lightbulb:"):
        st.markdown(plain(WHY))
        st.markdown(plain(TRAP))
    return shown


def clouds(snapshots: Sequence[Snapshot], at: int, *, by: Snapshot, name: str) -> None:
    """Draw both clouds of one snapshot in the plane of `by`, at the scale that holds those of all."""
    from engine.analysis.two_towers import places
    from engine.figures.clouds import cloud_chart

    found = places(snapshots, by)
    reach = 1.05 * max(float(np.abs(part).max()) for both in found for part in both)
    step = snapshots[at].step
    chart = cloud_chart(*found[at], limit=reach)
    figure.show(chart, key=f"towers_clouds_{name}", name=f"two towers at step {step}")


def numbers(shown: Snapshot) -> None:
    """Say the numbers of one step."""
    facts = {
        "loss": f"{shown.loss:.2f}",
        "L2M": f"{shown.l2m:.3f}",
        "RMG": f"{shown.rmg:.3f}",
        "neighbours of the other modality (mixed: 0.50)": f"{shown.cross_neighbours:.2f}",
    }
    for part, one in (("trained", shown.trained), ("held out", shown.held_out)):
        if one:
            facts[f"R@1 {part}, text to image (chance {1 / one.n:.3f})"] = f"{one.text_to_image:.2f}"
    inner = "".join(f"<div><b>{value}</b>{label}</div>" for label, value in facts.items())
    st.html(f'<div class="gs-facts">{inner}</div>')


def _outcome(last: Snapshot, expected: str) -> str:
    from engine.lessons.picture import form_of

    found = form_of(last.cross_neighbours)
    said = "It is "
    if expected:
        said = "As you expected: " if expected == found else f"You expected {expected}, and it is "
    return f"{said}{found}. {told(last)}"


def told(last: Snapshot) -> str:
    """Return what a training has come to, in a sentence."""
    return (
        f"Of an item's 15 nearest neighbours {last.cross_neighbours:.0%} are of the other modality; matching "
        f"pairs stand at a cosine of {last.paired.mean:.2f}, and {last.trained.text_to_image:.0%} of the "
        "trained captions find their own picture first."
    )


def cosines(shown: Snapshot, name: str) -> None:
    """Draw the cosines of four kinds of pairs at one step."""
    from engine.analysis.two_towers import EDGES
    from engine.figures.cosine_histograms import Histogram, cosine_chart

    kinds = {
        "matching pairs": shown.paired,
        "other pairs": shown.unpaired,
        "picture and picture": shown.image_image,
        "text and text": shown.text_text,
    }
    rows = [Histogram(label, one.counts, one.mean) for label, one in kinds.items()]
    chart = cosine_chart(rows, EDGES)
    figure.show(chart, key=f"towers_cosines_{name}", name=f"cosines of two towers at step {shown.step}")


def curves(snapshots: Sequence[Snapshot], at: int, name: str) -> None:
    """Draw what changes over the steps of a training, with a mark at one of them."""
    from engine.figures.curves import curve_chart

    lines = {
        "L2M": [one.l2m for one in snapshots],
        "neighbours of the other modality": [one.cross_neighbours for one in snapshots],
        "R@1 trained": [one.trained.text_to_image for one in snapshots],
    }
    if snapshots[-1].held_out:
        lines["R@1 held out"] = [one.held_out.text_to_image if one.held_out else 0.0 for one in snapshots]
    steps = [one.step for one in snapshots]
    chart = curve_chart(steps, lines, at=at, last=steps[-1])
    figure.show(chart, key=f"towers_curves_{name}", name="training of two towers")
