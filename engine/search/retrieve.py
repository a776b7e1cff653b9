"""A question's vector to ranked hits of each modality, merged, and without copies where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.analysis.crowding import Calibration, centre
from engine.search.balance import balance, centred_scores, towards
from engine.search.copies import hide_copies, note
from engine.search.filtered import Candidates
from engine.types import Balance, Hit, Modality, VectorTable

MAX_K = 1_000
# What is fetched of each modality to be scored centred: three times what is wanted holds .98 or more of the
# exact first k, for k from 10 to 1,000, among 50,000 rows drawn like CLIP's and among the 500 themselves.
_POOL, _POOL_MORE = 3, 100


@dataclass(frozen=True)
class EmbeddedQuery:
    """A question as its vector (d,) float32 of unit length; `exclude` is the item that it asks with.

    `words` and `pieces` are what `notes.doubt` takes.
    """

    shown: str
    modality: Modality
    vector: np.ndarray
    exclude: str | None = None
    notes: tuple[str, ...] = ()
    words: str = ""
    pieces: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Treatment:
    """How the modalities of an answer are merged, and what that is calibrated by; `notes` say why."""

    mode: Balance = "raw"
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was retrieved, merged, and of it the copies that were hidden."""

    retrieved: dict[Modality, tuple[Hit, ...]]
    hits: tuple[Hit, ...]
    copies: dict[str, tuple[Hit, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def retrieve(
    question: EmbeddedQuery,
    among: Candidates,
    searched: Mapping[Modality, int],
    k: int,
    plan: Treatment,
    copies: float | None,
) -> Found:
    """Return the first k hits, merged; without copies, deeper ones take the places of those hidden."""
    depth = k
    while True:
        retrieved = _retrieved(question, among, tuple(searched), depth, plan)
        hits = balance(retrieved, plan.mode, asks=question.modality, k=depth, calibration=plan.calibration)
        if copies is None:
            return Found(retrieved, hits)
        vectors = {
            one: among.vectors(one, [hit.item.id for hit in hits if hit.item.modality == one])
            for one in searched
        }
        shown, hidden = hide_copies(hits, vectors, copies)
        if len(shown) >= k or len(hits) < depth or depth >= MAX_K:
            shown = shown[:k]
            hidden = {hit.item.id: hidden[hit.item.id] for hit in shown if hit.item.id in hidden}
            said = note(hidden, copies)
            return Found(retrieved, shown, hidden, (said,) if said else ())
        depth = min(2 * depth, MAX_K)


def _retrieved(
    question: EmbeddedQuery,
    among: Candidates,
    searched: tuple[Modality, ...],
    k: int,
    plan: Treatment,
) -> dict[Modality, tuple[Hit, ...]]:
    """Return the k best hits of each modality; centred, those of them that are among the k best of all."""
    if plan.mode == "centred" and plan.calibration:
        return _centred(question, plan.calibration, among, searched, k)
    return {one: _nearest(question, among, one, k) for one in searched}


def _nearest(question: EmbeddedQuery, among: Candidates, modality: Modality, k: int) -> tuple[Hit, ...]:
    extra = 1 if question.exclude else 0
    rows = among.query(modality, question.vector, k + extra)
    kept = [(item, score) for item, score in rows if item.id != question.exclude][:k]
    kept.sort(key=lambda row: (-row[1], row[0].id))  # Chroma leaves the order of ties open
    return tuple(
        Hit(rank=rank, item=item, score=score, retrieval_rank=rank)
        for rank, (item, score) in enumerate(kept, start=1)
    )


def _centred(
    question: EmbeddedQuery,
    calibration: Calibration,
    among: Candidates,
    searched: tuple[Modality, ...],
    k: int,
) -> dict[Modality, tuple[Hit, ...]]:
    """Return the k nearest to the centred question, by modality, scored by their centred vectors.

    The index holds vectors as they are: what is near to the centred question among them is so only nearly,
    and more is fetched than wanted.
    """
    means, asks = calibration.means, question.modality
    asking = centre(question.vector[None, :], means[asks])[0]  # (d,)
    if not asking.any():  # the question is the mean: any direction is as good
        asking = question.vector
    scores: dict[str, tuple[float, float]] = {}  # centred, and as the vectors are

    def best(tables: Mapping[Modality, VectorTable]) -> dict[Modality, list[str]]:
        ranked: list[tuple[float, int, str, Modality]] = []
        for one, table in tables.items():
            centred = centred_scores(table.vectors, asking, means[one]).tolist()
            cosines = np.clip(table.vectors @ question.vector, -1.0, 1.0).tolist()
            found = sorted((-score, id_) for score, id_ in zip(centred, table.ids, strict=True))
            scores.update(zip(table.ids, zip(centred, cosines, strict=True), strict=True))
            own = [(score, id_) for score, id_ in found if id_ != question.exclude]
            # As `balance` merges: where two score the same, the one that ranks higher in its modality.
            ranked += [(score, rank, id_, one) for rank, (score, id_) in enumerate(own)]
        chosen = sorted(ranked)[:k]
        return {one: [id_ for *_, id_, modality in chosen if modality == one] for one in tables}

    nearest = calibration.nearest[asks]
    reach = {one: towards(asking, means[one], nearest[one]) for one in searched}
    pool = min(_POOL * k, 2 * k + _POOL_MORE) + bool(question.exclude)
    items = among.best_of_nearest(reach, pool, best)
    return {
        one: tuple(
            Hit(rank, item, scores[item.id][1], rank, balanced=scores[item.id][0])
            for rank, item in enumerate(items.get(one, ()), start=1)
        )
        for one in searched
    }
