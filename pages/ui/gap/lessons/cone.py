"""Lesson 4: the cone, by depth, activation and bias, of networks that nobody has trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.lesson import Answer, Lesson, Stage

if TYPE_CHECKING:
    from engine.lessons.cone import Cones

_NONE, _WIDE, _NARROW = "no cone (about 0)", "a wide cone (up to 0.6)", "a narrow cone (above 0.6)"
_SEEN, _BROAD = 0.1, 0.6  # mean cosines
_DEPTH = 5


def _draw(stage: Stage) -> Answer | None:
    from engine.figures.curves import curve_chart
    from engine.lessons.cone import ACTIVATIONS, BIAS, INPUTS, LAYERS, WIDTH, cones

    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        depth = st.slider("Layers", 0, LAYERS, _DEPTH, key=stage.key("depth"), bind="query-params", width=380)
        bias = st.toggle("Biases", key=stage.key("bias"), bind="query-params")
    found = {one: cones(one, bias=bias) for one in ACTIVATIONS}
    lines: dict[str, list[float]] = {one: cone.within.tolist() for one, cone in found.items()}
    chart = curve_chart(range(LAYERS + 1), lines, at=depth, last=LAYERS, step="layers")
    figure.show(chart, key=stage.key("chart"), name="cones by depth")
    relu = float(found["ReLU"].within[depth])
    word = _NONE if relu < _SEEN else _WIDE if relu <= _BROAD else _NARROW
    biases = f"biases of spread {BIAS:g}" if bias else "no biases"
    about = (
        f"Mean cosine of n = {INPUTS} inputs, orthogonal to each other, after {depth} layers of width "
        f"{WIDTH}; weights by He's initialisation, {biases}, seeds 0 and 1. No collection, nothing trained."
    )
    at: dict[str, float] = {one: float(cone.within[depth]) for one, cone in found.items()}
    two = {"between": float(found["ReLU"].between[depth]), "apart": float(found["ReLU"].apart[depth])}
    return Answer(word, _said(found["ReLU"], depth, at), about, numbers_of({"within": at, "ReLU": two}), 0)


def _said(relu: Cones, depth: int, at: dict[str, float]) -> str:
    rounded = {one: round(value, 2) + 0.0 for one, value in at.items() if one != "ReLU"}  # no "-0.00"
    others = " and ".join(f"{value:.2f} with {one}" for one, value in rounded.items())
    layers = "no layer" if depth == 0 else "1 layer" if depth == 1 else f"{depth} layers"
    return (
        f"After {layers} two outputs have a mean cosine of {at['ReLU']:.2f} with ReLU, {others}. A second "
        f"ReLU network that differs in its seed alone gets the same inputs: an output of the one and one of "
        f"the other have a mean cosine of {relu.between[depth]:.2f}, and their centroids are "
        f"{relu.apart[depth]:.2f} apart (L2M)."
    )


LESSON = Lesson(
    number=4,
    slug="cone",
    title="The cone: a gap before any training",
    question="Inputs that have nothing in common, at a cosine of 0, go through a ReLU network with random "
    "weights: what do its outputs form?",
    choices=(_NONE, _WIDE, _NARROW),
    draw=_draw,
    why=(
        "A ReLU sets all negative numbers to 0, so that outputs point into the same part of the space, and "
        "each layer brings them closer: without biases their cosine is 1/π after one layer and rises on.",
        "Biases are added to every output alike, so that all share a direction and a cone forms with any "
        "activation.",
        "Which way a cone points is left to the random weights, so that two networks, such as one for "
        "pictures and one for texts, begin in two cones with a gap between them.",
    ),
    paper="Liang et al. 2022, Mind the Gap (NeurIPS): the cone effect, with random networks by depth and by "
    "seed; weights as in He et al. 2015.",
    trap="A cone is no proof of training, and a gap none of knowledge: here nothing was learned at all.",
    notes="Begin without biases and let the room guess each activation: ReLU, tanh, linear. Then switch the "
    "biases on. Ask what follows for two encoders that are trained from scratch: where do they begin?",
    home="",
    ranges={"cone_depth": (0, 10)},
    one_of={"cone_bias": ("true", "false")},
)
