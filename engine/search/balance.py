"""The order of a mixed list: raw, centred, standardised or interleaved, and how far one modality crowds it.

Pure functions of what was retrieved; no stored vector changes. What a treatment needs to know of a collection
is made in `analysis/crowding.py` and lent to `search.py`, which retrieves. Sources: GR-CLIP (centring),
2511.22141 (z-scores by modality of question and item).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from engine.analysis.crowding import (
    MIN_ROWS,
    Calibration,
    Spread,
    can_standardise,
    centre,
    standardise,
)
from engine.errors import QueryError
from engine.types import BALANCES, MODALITIES, PLURAL, Balance, Crowding, Hit, Modality

_NARROW = 1e-3  # of copies of one vector nothing is left when their mean is gone
Retrieved = Mapping[Modality, tuple[Hit, ...]]


def check_balance(name: str) -> Balance:
    """Return the treatment of this name. Raises QueryError with those there are."""
    for one in BALANCES:
        if name == one:
            return one
    raise QueryError(f"The balance is one of {', '.join(BALANCES)}, not {name[:40]!r}.")


def balance(
    retrieved: Retrieved, mode: Balance, *, asks: Modality, k: int, calibration: Calibration | None = None
) -> tuple[Hit, ...]:
    """Return the first k of what was retrieved by modality, merged, ranks from 1.

    raw: by cosine. centred: by the cosines of centred vectors (`centred_scores`), which the hits bring along.
    standardised: by how many standard deviations a cosine lies above those of unrelated items of its
    modality. interleaved: by rank, the first of each modality, then the second, in `turns`. Hits of one
    modality keep their order. asks: the modality of the question. `calibration` is needed for
    standardised, and `lacks` must have found nothing amiss.
    """
    if mode == "standardised" and calibration is not None:
        spreads = calibration.spreads[asks]
        retrieved = {one: _standardised(hits, spreads[one]) for one, hits in retrieved.items()}
    every = chain.from_iterable(retrieved.values())
    if mode == "interleaved":
        turn = {one: place for place, one in enumerate(turns(asks, retrieved))}
        hits = sorted(every, key=lambda hit: (hit.retrieval_rank, turn[hit.item.modality]))
    else:
        hits = sorted(every, key=_by_score)
    return tuple(hit.ranked(rank) for rank, hit in enumerate(hits[:k], start=1))


def turns(asks: Modality, searched: Iterable[Modality]) -> list[Modality]:
    """Return modalities in the order they are dealt, the question's own last: it is the one that crowds."""
    return sorted(searched, key=lambda one: (one == asks, MODALITIES.index(one)))


def centred_scores(vectors: np.ndarray, question: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the cosines of centred vectors with a question: (n,) float32 in [-1, 1].

    vectors: (n, d) unit rows of one modality and mean: (d,), its mean; question: (d,), centred by the mean of
    its own modality; all float32. Centring changes ranks within a modality too, as rows are made unit length
    again.
    """
    return np.clip(centre(vectors, mean) @ question, -1.0, 1.0)


def towards(question: np.ndarray, mean: np.ndarray, nearest: float) -> np.ndarray:
    """Return the unit vector (d,) float32 that stored vectors must be near to, so that centred ones are.

    question (d,): centred, of unit length; mean (d,): of the modality that is searched; both float32.
    `nearest` is what the cosine of a centred neighbour will be. A row v scores (v·q - mean·q) / |v - mean|;
    as v is of unit length, the divisor depends on v·mean alone, so that around that score the order is, to
    first order, the one by v·(q + nearest / |v - mean| · mean).
    """
    length = np.sqrt(max(1.0 - float(mean @ mean), _NARROW))  # of v - mean, where v·mean is mean·mean
    tilted = question + np.float32(nearest / length) * mean
    return (tilted / np.linalg.norm(tilted)).astype(np.float32)


def lacks(
    mode: Balance, asks: Modality, searched: Sequence[Modality], calibration: Calibration | None
) -> str:
    """Return in words why a treatment cannot be had for a question, or ""; raw always can.

    asks: the modality of the question; searched: those of the items. `calibration` may be None where the
    treatment needs none.
    """
    if mode == "raw":
        return ""
    if len(searched) < 2:
        only = PLURAL[searched[0]] if searched else "nothing"
        return f"only {only} can be found here, so that there is nothing to balance"
    if mode == "interleaved":
        return ""
    rows = calibration.rows if calibration else {}
    for one in dict.fromkeys((asks, *searched)):
        if rows.get(one, 0) < MIN_ROWS:
            return (
                f"the collection has {rows.get(one, 0):,} {PLURAL[one]}, and it takes {MIN_ROWS} of each "
                f"kind that asks or answers to calibrate"
            )
    spreads = calibration.spreads[asks] if calibration else {}
    if mode == "standardised" and not all(can_standardise(spreads.get(one)) for one in searched):
        return "the cosines of unrelated items are all the same, so that there is no spread to divide by"
    return ""


def basis(mode: Balance, asks: Modality, calibration: Calibration | None) -> str:
    """Return in words what a list that is not raw was ordered by, and what it was calibrated on."""
    if mode == "interleaved" or calibration is None:
        return "Not the raw order: interleaved, the first of each kind, then the second."
    rows = " and ".join(f"{n:,} {PLURAL[one]}" for one, n in calibration.rows.items())
    if mode == "centred":
        return (
            f"Not the raw order: centred on the mean of each kind, over {rows} of this collection; the "
            f"question on the mean of its {PLURAL[asks]}."
        )
    return f"Not the raw order: scores standardised by kind, calibrated on {rows} of this collection."


def crowding(
    hits: Sequence[Hit],
    searched: Mapping[Modality, int],
    mode: Balance,
    *,
    asks: Modality,
    calibration: Calibration | None,
) -> Crowding | None:
    """Return how far one modality crowds out another among `hits`; None for one modality, or no hits.

    searched: how many items of each modality there were to find; asks: the modality of the question.
    Without `calibration` no probability is given.
    """
    if len(searched) < 2 or not hits:
        return None
    found, total = Counter(hit.item.modality for hit in hits), sum(searched.values())
    pairs = calibration.outranked.get(asks, {}) if calibration else {}
    known = {one: row for one, row in pairs.items() if one in searched and mode in row.by_mode}
    return Crowding(
        k=len(hits),
        share={one: found[one] / len(hits) for one in searched},
        of_all={one: n / total for one, n in searched.items()},
        outranked={one: row.by_mode[mode] for one, row in known.items()},
        pairs={one: row.pairs for one, row in known.items()},
    )


def crowding_words(meter: Crowding, asks: Modality) -> str:
    """Return a crowding meter as one line; asks: the modality of the question."""
    shares = [
        f"{PLURAL[one]} {_percent(share)} of the first {meter.k:,} and {_percent(meter.of_all[one])} of what "
        f"was searched (exposure {meter.exposure[one]:.2f}, 1 is neutral)"
        for one, share in meter.share.items()
    ]
    chances = [
        f"an unrelated one of the {PLURAL[asks]} outranks the true one of the {PLURAL[one]} with probability "
        f"{probability:.2f} ({meter.pairs[one]:,} pairs)"
        for one, probability in meter.outranked.items()
    ]
    return f"Crowding: {'; '.join([*shares, *chances])}."


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _standardised(hits: Sequence[Hit], spread: Spread) -> tuple[Hit, ...]:
    scores = standardise(np.array([hit.score for hit in hits]), spread)
    return tuple(replace(hit, balanced=float(score)) for hit, score in zip(hits, scores, strict=True))


def _by_score(hit: Hit) -> tuple[float, int, str]:
    score = hit.score if hit.balanced is None else hit.balanced
    return -score, hit.retrieval_rank, hit.item.id
