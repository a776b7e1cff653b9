"""What is measured of the gap between two modalities, as one record, and in words why a number is missing.

`gap_matrix.py` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.analysis.gap_chance import FEWEST_UNITS, Bounds, Null
from engine.analysis.hubness import Hubness
from engine.evaluation.gap_retrieval import Retrieval
from engine.types import Modality

LEAST_PAIRS = 3  # three have two others each, which is the least that can be ordered


@dataclass(frozen=True)
class OfPairs:
    """What only rows that belong together have; `sample` of the pairs where all are compared with all.

    Ranges and formulas are told by the functions of the same name in `engine/analysis/`. `crowding_a` is the
    probability that two unrelated rows of a are nearer than a true pair; `rank_distance` and
    `neighbour_overlap` compare how the two modalities order the same `agreement_pairs`. `null_partners` is
    the mean cosine of a sample's pairs where partners are shuffled, and `rmg_shuffled` the mean RMG there.
    """

    l2i: float
    alignment: float
    cosine_paired: float
    cosine_unpaired: float
    null_partners: Null
    rmg_shuffled: float
    uniformity_across: float
    crowding_a: float
    crowding_b: float
    rank_distance: float | None
    neighbour_overlap: float | None
    agreement_pairs: int
    loss: float
    temperature: float
    batch: int
    sample: int
    a_to_b: Retrieval | None
    b_to_a: Retrieval | None


@dataclass(frozen=True)
class PairGap:
    """The gap between two modalities of a collection, of `n_a` and `n_b` items.

    It is measured on `rows_a` and `rows_b` of them, and `pairs` counts which of these belong together. `l2m`
    is the distance of the centroids, in [0, 2], over those rows; `l2m_squared_unbiased` its square without
    what a small sample adds, which may be below 0, and `l2m_unbiased` the root of that, 0 there; `rmg` in [0,
    1] over `pairs` rows that belong together, None without pairs; `separability` the held-out accuracy of a
    linear classifier and `purity` the share of the k nearest neighbours that are of the own modality
    (`purity_baseline` where modalities are mixed). Those, the nulls, uniformity, `pc1_agreement` and hubs are
    over `sample_a` and `sample_b` rows, `null_swap` over as many pairs. `null_purity` is the purity with
    shuffled modalities, `null_separability` the accuracy with those of the held-out rows shuffled, over all
    ways to do so. `cosine_across` is the mean over all of a with all of b; `top_dims` the share of the
    squared gap in so many dimensions. `intervals` are of 95 %, by name: from `resamples` draws of whole
    pairs, but separability's by Wilson's formula and the loss's by Student's t over batches; what has none
    here has none at all (hubs, `top_dims`, `pc1_agreement`), or is told of in `absent`. `absent` tells in
    words why a number is None, `notes` what was done to the rows.
    """

    a: Modality
    b: Modality
    n_a: int
    n_b: int
    l2m: float
    l2m_unbiased: float | None
    null: Null | None
    pairs: int
    rmg: float | None
    separability: float | None
    purity: float | None
    purity_baseline: float | None
    k: int
    sample_a: int
    sample_b: int
    seed: int
    rows_a: int
    rows_b: int
    l2m_squared_unbiased: float | None
    null_swap: Null | None
    null_separability: Null | None
    null_purity: Null | None
    cone_a: float | None
    cone_b: float | None
    cosine_across: float
    uniformity_a: float | None
    uniformity_b: float | None
    top_dims: dict[str, float | None]
    pc1_agreement: float | None
    hubs_a_to_b: Hubness
    hubs_b_to_a: Hubness
    of_pairs: OfPairs | None
    intervals: dict[str, Bounds]
    resamples: int
    permutations: int
    absent: dict[str, str]
    notes: tuple[str, ...]


def absent(found: PairGap) -> dict[str, str]:
    """Return why numbers of a pair of modalities are None, or lack an interval, by their names."""
    why: dict[str, str] = {}
    one = [name for name, count in ((found.a, found.n_a), (found.b, found.n_b)) if count < 2]
    if one:
        reason = f"a spread needs two items, and there is one {' and one '.join(one)}"
        names = ("l2m_unbiased", "l2m_squared_unbiased", "null", "purity", "null_purity", "purity_baseline")
        why |= dict.fromkeys(names, reason)
        why |= {f"{kind}_{side}": reason for kind in ("cone", "uniformity") for side in _sides_of_one(found)}
    if found.separability is None:
        reason = "a held-out fifth needs five things with items of both modalities on both sides"
        why |= dict.fromkeys(("separability", "null_separability"), reason)
    if found.top_dims["1"] is None:
        why |= dict.fromkeys(("top_dims", "pc1_agreement"), "the centroids are one: the gap has no direction")
    if found.pairs < 2:
        why |= dict.fromkeys(("rmg", "null_swap"), _few_pairs(found.pairs, 2))
    if found.of_pairs is None:
        why["of_pairs"] = _few_pairs(found.pairs, LEAST_PAIRS)
    elif found.of_pairs.rank_distance is None:
        why["rank_distance"] = "all items are equally near to each other: they have no order"
    if not found.intervals:
        why["intervals"] = f"resampling needs {FEWEST_UNITS} items of each modality"
    elif found.rmg is not None and "rmg" not in found.intervals:
        why["intervals.rmg"] = f"resampling needs {FEWEST_UNITS} pairs"
    if found.of_pairs is not None and "loss" not in found.intervals:
        why["intervals.loss"] = f"it needs {FEWEST_UNITS} batches of {found.of_pairs.batch} pairs"
    if None in (found.hubs_a_to_b.skew, found.hubs_b_to_a.skew):
        why["skew"] = "every item is found equally often: there is no spread to be skewed"
    return why


def _sides_of_one(found: PairGap) -> list[str]:
    return [side for side, count in (("a", found.n_a), ("b", found.n_b)) if count < 2]


def _few_pairs(pairs: int, least: int) -> str:
    if not pairs:
        return "no item of one modality belongs to an item of the other: there are no pairs"
    return f"it needs {least} pairs, and there {'is' if pairs == 1 else 'are'} {pairs}"
