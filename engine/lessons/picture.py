"""A gap in one picture: the places of a collection's pairs on a map, and what the vectors say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from engine.analysis.gap import knn_purity, l2m
from engine.evaluation.gap_retrieval import Retrieval, retrieval
from engine.lessons.pairs import Pairs
from engine.maps.projection import ProjectionSettings, fit
from engine.progress import Watch
from engine.types import VectorTable

Projected = Literal["PCA along the gap", "UMAP"]
PROJECTED: tuple[Projected, ...] = get_args(Projected)
NEIGHBOURS, SEED = 15, 42
ISLANDS, MIXED = 0.1, 0.4  # shares of neighbours of the other modality: below, above


@dataclass(frozen=True)
class GapNumbers:
    """What the vectors of pairs say: L2M in [0, 2], and the share of the k nearest that cross, in [0, 1].

    `crossing_chance` is that share where the modalities are mixed; `b_to_a` tells how well items of b find
    theirs among a.
    """

    l2m: float
    crossing: float
    crossing_chance: float
    k: int
    b_to_a: Retrieval | None

    @property
    def form(self) -> str:
        """Return what the two modalities form, by the share of neighbours that cross."""
        return form_of(self.crossing)


@dataclass(frozen=True)
class Places:
    """Where pairs lie on a map: x and y (n, 2) float32, row i with row i; `note` says what stood in."""

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    note: str = ""


def form_of(crossing: float) -> str:
    """Return what two modalities form, by the share of neighbours of the other one, in [0, 1]."""
    return "two islands" if crossing < ISLANDS else "one mixed cloud" if crossing > MIXED else "partly mixed"


def gap_numbers(pairs: Pairs) -> GapNumbers:
    """Return what the vectors of pairs say of their gap; k is NEIGHBOURS, or what there is."""
    n, keys = len(pairs), range(len(pairs))
    k = min(NEIGHBOURS, n - 1)
    return GapNumbers(
        l2m=l2m(pairs.x, pairs.y),
        crossing=1 - knn_purity(pairs.x, pairs.y, k=k),
        crossing_chance=n / (2 * n - 1),
        k=k,
        b_to_a=retrieval(pairs.y, pairs.x, keys, keys, seed=pairs.seed),
    )


def places_of(
    pairs: Pairs, projected: Projected, watch: Watch, *, n_neighbors: int = 15, seed: int = SEED
) -> Places:
    """Return the places of pairs, both modalities fitted together. Raises CancelledError, ProjectionError."""
    n = len(pairs)
    settings = ProjectionSettings("pca", gap_axis=(pairs.a, pairs.b))
    if projected == "UMAP":
        settings = ProjectionSettings("umap", n_neighbors=n_neighbors, seed=seed)
    rows = np.concatenate([pairs.x, pairs.y]).astype(np.float32)
    # An id may stand for both sides: what is imported names a pair's items alike.
    ids = tuple(f"{side} {id_}" for side, some in (("x", pairs.ids_x), ("y", pairs.ids_y)) for id_ in some)
    found = fit(
        VectorTable(ids, rows),
        [pairs.a] * n + [pairs.b] * n,
        settings,
        on_progress=watch.at,
        cancelled=watch.cancelled,
    )
    return Places(found.places[:n], found.places[n:], found.note)
