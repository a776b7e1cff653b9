"""Lesson 4: networks that nobody trained, and how narrow a cone their outputs lie in, layer by layer.

Needs no collection. He et al. 2015 (the weights), Liang et al. 2022 (the cone effect).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from engine.analysis.gap import cone, l2m, unit, unpaired_cosine

Activation = Literal["ReLU", "tanh", "linear"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
LAYERS = 10
WIDTH, INPUTS = 512, 256
BIAS = 0.5  # the spread of biases, where the inputs of a layer have one of about 1
# He's initialisation: a ReLU lets half of the spread pass, and what comes out of every layer stays as large.
_GAINS: dict[Activation, float] = {"ReLU": 2.0, "tanh": 1.0, "linear": 1.0}


@dataclass(frozen=True)
class Cones:
    """Outputs of two networks of one kind that differ in their seed alone, for the same inputs.

    within: (LAYERS + 1,) float64, the mean cosine in [-1, 1] of two outputs of the first network after each
    layer, from none on; between: likewise, the mean cosine of an output of the first with one of the second
    for another input; apart: (LAYERS + 1,) float64 in [0, 2], the distance of their centroids (L2M).
    """

    within: np.ndarray = field(repr=False)
    between: np.ndarray = field(repr=False)
    apart: np.ndarray = field(repr=False)


@lru_cache(64)  # of pure numbers: what people choose with a slider is asked for again and again
def cones(activation: Activation, *, bias: bool, seed: int = 0) -> Cones:
    """Return the cones of two networks, of `seed` and the one after it, for inputs orthogonal to each other.

    Weights are drawn by He's initialisation, biases from a normal distribution of spread BIAS or left out.
    """
    both = [outputs(activation, bias=bias, seed=one) for one in (seed, seed + 1)]
    pairs = list(zip(*both, strict=True))
    return Cones(
        within=np.array([cone(x) for x, _ in pairs]),
        between=np.array([unpaired_cosine(x, y) for x, y in pairs]),
        apart=np.array([l2m(x, y) for x, y in pairs]),
    )


def outputs(activation: Activation, *, bias: bool, seed: int) -> list[np.ndarray]:
    """Return the outputs of a random network at unit length: after no layer, after the first, and so on.

    LAYERS + 1 arrays (INPUTS, WIDTH) float64; the inputs are orthogonal, of length sqrt(WIDTH).
    """
    drawn = np.random.default_rng(seed)
    rows = np.eye(INPUTS, WIDTH) * np.sqrt(WIDTH)
    found = [unit(rows)]
    for _ in range(LAYERS):
        rows = rows @ drawn.normal(0, np.sqrt(_GAINS[activation] / WIDTH), (WIDTH, WIDTH))
        rows = rows + drawn.normal(0, BIAS, WIDTH) if bias else rows
        rows = (
            np.maximum(rows, 0) if activation == "ReLU" else np.tanh(rows) if activation == "tanh" else rows
        )
        found.append(unit(rows))
    return found
