"""Lesson 2: the cosines of four kinds of pairs, and why matching ones rank first all the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.analysis.pairwise import outranks
from engine.evaluation.gap_retrieval import Retrieval, retrieval
from engine.lessons.pairs import Pairs

EDGES = np.linspace(-1.0, 1.0, 41)


@dataclass(frozen=True)
class Kind:
    """The cosines of one kind of pairs: counts (40,) int64 between EDGES, mean and median in [-1, 1]."""

    counts: np.ndarray = field(repr=False)
    mean: float
    median: float


@dataclass(frozen=True)
class FourHistograms:
    """Cosines of matching and other pairs across modalities, and within each; i = i is left out.

    `auc` is P(matching > other pair across), `beaten` P(two other items of a > matching pair), both in
    [0, 1]. `a_to_b` tells how well items of a find theirs among b.
    """

    paired: Kind
    unpaired: Kind
    within_a: Kind
    within_b: Kind
    auc: float
    beaten: float
    a_to_b: Retrieval | None


def four_histograms(pairs: Pairs) -> FourHistograms:
    """Return the cosines of four kinds of pairs, all with all: n² of each."""
    x, y = pairs.x, pairs.y
    other = ~np.eye(len(pairs), dtype=bool)
    paired, unpaired = (x * y).sum(1), (x @ y.T)[other]
    within_a, within_b = (x @ x.T)[other], (y @ y.T)[other]
    keys = range(len(pairs))
    return FourHistograms(
        paired=kind_of(paired),
        unpaired=kind_of(unpaired),
        within_a=kind_of(within_a),
        within_b=kind_of(within_b),
        auc=1 - outranks(unpaired, paired),
        beaten=outranks(within_a, paired),
        a_to_b=retrieval(x, y, keys, keys, seed=pairs.seed),
    )


def kind_of(cosines: np.ndarray) -> Kind:
    """Return cosines (n,) of any float dtype, n above 0, as counts between EDGES with mean and median."""
    counts = np.histogram(np.clip(cosines, -1, 1), EDGES)[0]
    return Kind(counts, float(cosines.mean()), float(np.median(cosines)))
