"""Five readings after an edit of two modalities: map, cosines, retrieval, clusters against labels, hubs.

And the gap itself, measured again after each edit: how far a shift went is not the gap that is left. All of
it on the half that the edit was not fitted on. What compares all with all is over a sample, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from engine.analysis.edits import EDITS, EditName
from engine.analysis.gap import l2m, rmg
from engine.analysis.hubness import hubness
from engine.analysis.label_clusters import LabelClusters, label_clusters
from engine.analysis.pairwise import contrastive_loss
from engine.errors import GapError
from engine.evaluation.gap_retrieval import MOST_QUESTIONS, best_ranks
from engine.evaluation.metrics import Interval, bootstrap
from engine.lessons.histograms import Kind, kind_of
from engine.lessons.split import DRAWN, FARTHEST, NONE, WIDEST, Change, Split
from engine.types import Modality

KS = (1, 5, 10)
HUB_K = TOP = 10
COSINE_ROWS = 700  # pairs whose cosines with all of these are in the histograms: half a million of a kind
CLUSTER_ROWS = 2_000  # pairs that k-means sees
CURVE_ROWS = 500  # pairs on which every place of the slider is measured beforehand
SHARES = tuple(np.linspace(WIDEST, FARTHEST, 13).tolist())
TEMPERATURE = 0.01  # CLIP's: a logit scale of 100
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Found:
    """The ranks (q,) float64, from 1, at which questions of one modality find theirs among `candidates`."""

    ranks: np.ndarray = field(repr=False)
    candidates: int

    def recall(self, k: int) -> float:
        """Return the share of questions that find theirs in the first k, in [0, 1]."""
        return float((self.ranks <= k).mean())

    def change(self, before: Found, k: int = 1, seed: int = 0) -> Interval:
        """Return how recall at k changed for the same questions, in [-1, 1]: a paired bootstrap of 95 %."""
        hits = (self.ranks <= k).astype(np.float64) - (before.ranks <= k)
        return bootstrap(hits, resamples=_RESAMPLES, seed=seed)


@dataclass(frozen=True)
class Readings:
    """What is read after a change, on `n` pairs it was not fitted on.

    `hubs_b` is the skew of how often items of b are among the first HUB_K of items of a, `hubs_a` the other
    way; None where all are found as often. `clusters` are words where there is nothing to tell. places_a and
    places_b: (m, 2) float32 in the plane of the split, row i with row i.
    """

    change: Change
    n: int
    l2m: float
    rmg: float
    paired: Kind
    unpaired: Kind
    within_a: Kind
    within_b: Kind
    a_to_b: Found
    b_to_a: Found
    hubs_a: float | None
    hubs_b: float | None
    clusters: LabelClusters | str
    places_a: np.ndarray = field(repr=False)
    places_b: np.ndarray = field(repr=False)


def readings(split: Split, change: Change = NONE) -> Readings:
    """Return all readings of the measured half of a split after a change.

    Raises GapError where the edit cannot be fitted, or leaves nothing of a vector.
    """
    x, y = split.edited(change)
    small_x, small_y = x.astype(np.float32), y.astype(np.float32)
    keys, seed = range(len(x)), split.measured.seed
    k = min(HUB_K, len(x) - 1)
    asking = slice(0, MOST_QUESTIONS)
    return Readings(
        change=change,
        n=len(x),
        l2m=l2m(x, y),
        rmg=rmg(x, y),
        **_cosines(small_x[:COSINE_ROWS], small_y[:COSINE_ROWS]),
        a_to_b=Found(best_ranks(small_x, small_y, keys, keys, seed=seed), len(y)),
        b_to_a=Found(best_ranks(small_y, small_x, keys, keys, seed=seed), len(x)),
        hubs_a=hubness(small_y[asking], small_x, k=k).skew,
        hubs_b=hubness(small_x[asking], small_y, k=k).skew,
        clusters=_clusters(split, small_x, small_y),
        places_a=split.plane.places(x[:DRAWN]),
        places_b=split.plane.places(y[:DRAWN]),
    )


def _cosines(x: np.ndarray, y: np.ndarray) -> dict[str, Kind]:
    other = ~np.eye(len(x), dtype=bool)
    return {
        "paired": kind_of((x * y).sum(1)),
        "unpaired": kind_of((x @ y.T)[other]),
        "within_a": kind_of((x @ x.T)[other]),
        "within_b": kind_of((y @ y.T)[other]),
    }


def _clusters(split: Split, x: np.ndarray, y: np.ndarray) -> LabelClusters | str:
    n = len(x)
    of_x, of_y = split.labels[:n][:CLUSTER_ROWS], split.labels[n:][:CLUSTER_ROWS]
    return label_clusters(x[:CLUSTER_ROWS], y[:CLUSTER_ROWS], (*of_x, *of_y), seed=split.measured.seed)


@dataclass(frozen=True)
class Curve:
    """The gap, retrieval and the loss at every share of `shares`, on `n` pairs; recall is at 1."""

    n: int
    temperature: float
    shares: tuple[float, ...]
    l2m: tuple[float, ...]
    rmg: tuple[float, ...]
    a_to_b: tuple[float, ...]
    b_to_a: tuple[float, ...]
    loss: tuple[float, ...]


def curve(split: Split, *, temperature: float = TEMPERATURE) -> Curve:
    """Return what a shift does at each share of SHARES, on CURVE_ROWS of the measured pairs at most.

    The loss is CLIP's in batches of 50, or of all pairs where there are fewer. Raises GapError.
    """
    few = replace(split, measured=split.measured.take(np.arange(min(CURVE_ROWS, len(split.measured)))))
    keys, rows = range(len(few.measured)), []
    for share in SHARES:
        x, y = few.edited(Change("shift", share))
        found = [Found(best_ranks(*two, keys, keys), len(x)).recall(1) for two in ((x, y), (y, x))]
        rows.append((l2m(x, y), rmg(x, y), *found, contrastive_loss(x, y, temperature=temperature)))
    return Curve(len(few.measured), temperature, SHARES, *(tuple(one) for one in zip(*rows, strict=True)))


class Ranked(NamedTuple):
    """One of the first hits of a question: which item, and its cosine."""

    id: str
    modality: Modality
    cosine: float


def top(split: Split, change: Change, question: np.ndarray, *, k: int = TOP) -> list[Ranked]:
    """Return the first k of all measured items of both modalities for a question in words, after a change.

    question (d,): a unit vector of any float dtype, changed as the texts are. Raises GapError where neither
    modality is text, for a vector of another width, and as `readings` does.
    """
    measured = split.measured
    kinds = (measured.a, measured.b)
    if "text" not in kinds:
        raise GapError("A question in words is changed as texts are, and neither of these two is text.")
    if question.shape != measured.x.shape[1:]:
        raise GapError(f"The question has {len(question)} numbers, and the items have {measured.x.shape[1]}.")
    edit, row = change.fit(split.fitted), question[None].astype(np.float64)
    asked = row if edit is None else edit.applied(row, kinds.index("text"))
    cosines = np.concatenate(split.edited(change)) @ asked[0]
    items = [(id_, measured.a) for id_ in measured.ids_x] + [(id_, measured.b) for id_ in measured.ids_y]
    first = np.argsort(-cosines, kind="stable")[:k].tolist()
    return [Ranked(items[place][0], items[place][1], float(cosines[place])) for place in first]


@dataclass(frozen=True)
class Tried:
    """One edit beside none: what is read, and how R@1 changed both ways; or why it could not be."""

    name: EditName
    readings: Readings | None
    a_to_b: Interval | None
    b_to_a: Interval | None
    refused: str = ""

    @property
    def keeps(self) -> bool | None:
        """Tell whether no loss of R@1 can be told from chance either way; None where it could not be."""
        if self.a_to_b is None or self.b_to_a is None:
            return None
        return self.a_to_b.high >= 0 and self.b_to_a.high >= 0


def five_edits(split: Split, *, dims: int = 3) -> tuple[Readings, list[Tried]]:
    """Return the readings as they are, and after each of EDITS on the same pairs; the shift is whole."""
    before, found = readings(split), []
    seed = split.measured.seed
    for name in EDITS:
        try:
            after = readings(split, Change(name, 1.0, dims))
        except GapError as error:
            found.append(Tried(name, None, None, None, str(error)))
            continue
        both = (after.a_to_b.change(before.a_to_b, seed=seed), after.b_to_a.change(before.b_to_a, seed=seed))
        found.append(Tried(name, after, *both))
    return before, found
