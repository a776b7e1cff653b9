"""Flow 2, a question to ranked hits, with every stage kept; the order they are merged in: `balance.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.analysis.crowding import Calibration, centre
from engine.errors import CollectionError, QueryError
from engine.models.base import Embedder, ReadsWords, Reranker
from engine.search.balance import balance, basis, centred_scores, crowding, lacks, towards
from engine.search.notes import WORD, doubt
from engine.search.rerank import Opened, RerankInput, rerank
from engine.search.unrelated import Unrelated
from engine.storage.chroma import CollectionInfo, Store, model_error
from engine.text import MAX_QUERY_CHARS, clean_text
from engine.types import MODALITIES, Balance, Filters, Hit, Item, Modality, Reranked, SearchTrace, VectorTable

MAX_K = 1_000
# What is fetched of each modality to be scored centred: three times what is wanted holds .98 or more of the
# exact first k, for k from 10 to 1,000, among 50,000 rows drawn like CLIP's and among the 500 themselves.
_POOL, _POOL_MORE = 3, 100


@dataclass(frozen=True)
class Query:
    """One question: a text, an upright RGB picture, or the id of a stored item ("more like this")."""

    text: str | None = None
    image: Any = field(default=None, repr=False)
    like: str | None = None
    name: str = ""

    @property
    def modality(self) -> Modality:
        """Return the modality of what is asked with."""
        return "image" if self.image is not None else "text"


@dataclass(frozen=True)
class Reranking:
    """How to reorder: `model` lends the reranker, `opener` gives what opens items for it, `top` how many."""

    model: Callable[[], AbstractContextManager[Reranker]]
    opener: Callable[[Reranker], Callable[[Item], Opened]]
    top: int = 50


@dataclass(frozen=True)
class Balancing:
    """How to order a mixed list: `mode`, and what lends the calibration of a collection that is so and so."""

    mode: Balance
    calibration: Callable[[CollectionInfo], Calibration]


@dataclass(frozen=True)
class _EmbeddedQuery:
    shown: str
    modality: Modality
    vector: np.ndarray
    exclude: str | None = None
    notes: tuple[str, ...] = ()
    words: str = ""
    pieces: tuple[int | None, ...] | None = None


def search(
    query: Query,
    *,
    collection: str,
    store: Store,
    embedder: Callable[[], AbstractContextManager[Embedder]],
    k: int = 10,
    filters: Filters | None = None,
    reranking: Reranking | None = None,
    balancing: Balancing | None = None,
    unrelated: Callable[[CollectionInfo], Unrelated] = lambda info: Unrelated(),
) -> SearchTrace:
    """Return the k items nearest to the question, per modality and merged: by score, or as `balancing` says.

    With `reranking`, its first `top` are retrieved whatever k is, reordered, and then cut to k. Where the
    treatment cannot be had the order is raw, and the trace's notes say why.

    `unrelated` gives the scores that an answer must stand out from, or the trace's doubt says that it does
    not. embedder lends the model, and is called only where something must be embedded. Text is always
    searched as words: a query that looks like a path or an address is never opened. Raises
    QueryError, CollectionNotFoundError, CollectionModelError, ModelError or StoreError.
    """
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; it must be from 1 to {MAX_K:,}.")
    filters = filters or Filters()
    timings: dict[str, float] = {}
    with _timed(timings, "total"):
        info = store.info(collection)
        with _timed(timings, "embed"):
            question = _question(query, info, store, embedder)
        depth = max(k, reranking.top) if reranking else k
        searched = {one: n for one, n in info.counts.items() if n and filters.allows(one)}
        with _timed(timings, "balance"):
            plan = _planned(balancing, question, info, tuple(searched))
        with _timed(timings, "retrieve"):
            retrieved = _retrieved(question, collection, store, tuple(searched), depth, filters, plan)
        if not store.made_by(collection).agrees_with(info.made_by):
            raise _changed(collection)
        asks, known = question.modality, plan.calibration
        retrieval = balance(retrieved, plan.mode, asks=asks, k=depth, calibration=known)
        with _timed(timings, "rerank"):
            reordered = _reranked(query, retrieval, reranking) if reranking else None
        models = (info.made_by.model, *([reordered.model] if reordered else []))
        said = doubt(question.words, models, question.pieces, retrieved, lambda: unrelated(info))
    return SearchTrace(
        collection=collection,
        model=info.made_by.model,
        query=question.shown,
        query_modality=question.modality,
        retrieved=retrieved,
        retrieval=retrieval,
        results=(reordered.hits if reordered else retrieval)[:k],
        searched=searched,
        timings_ms=timings if reranking else {**timings, "rerank": 0.0},
        doubt=said,
        notes=(
            *([said] if said else []),
            *question.notes,
            *plan.notes,
            *(reordered.notes if reordered else ()),
        ),
        balance=plan.mode,
        crowding=crowding(retrieval[:k], searched, plan.mode, asks=asks, calibration=known),
    )


@dataclass(frozen=True)
class _Plan:
    """The treatment that a question gets."""

    mode: Balance = "raw"
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()


def _planned(
    balancing: Balancing | None,
    question: _EmbeddedQuery,
    info: CollectionInfo,
    searched: tuple[Modality, ...],
) -> _Plan:
    """Return the treatment that was asked for, or raw with the reason in words.

    Raises CollectionError where the calibration is of vectors of another width.
    """
    if balancing is None:
        return _Plan()
    mode = balancing.mode
    # Of one modality, and of ranks, nothing is asked of it.
    lent = balancing.calibration(info) if len(searched) > 1 and mode != "interleaved" else None
    if lent and any(len(mean) != len(question.vector) for mean in lent.means.values()):
        raise _changed(info.name)
    if why := lacks(mode, question.modality, searched, lent):
        return _Plan("raw", lent, (f"The order is raw, not {mode}: {why}.",))
    return _Plan(mode, lent, () if mode == "raw" else (basis(mode, question.modality, lent),))


def query_content(query: Query) -> RerankInput:
    """Return what a question asks with, as models read it. Raises QueryError where that is nothing."""
    if query.like:
        raise QueryError('"More like this" has no question to rerank by: ask with words or a picture.')
    if query.image is not None:
        return "image", query.image
    text = clean_text(query.text or "")[:MAX_QUERY_CHARS]
    if not text:
        raise QueryError("There is nothing to search for: type a few words, or give a picture.")
    return "text", text


def _question(
    query: Query,
    info: CollectionInfo,
    store: Store,
    embedder: Callable[[], AbstractContextManager[Embedder]],
) -> _EmbeddedQuery:
    if query.like:
        return _like(query.like, info.name, store)
    with embedder() as model:
        if not info.made_by.agrees_with(model.provenance):
            raise model_error(info.name, info.made_by, model.provenance)
        return _embedded(query, model)


def _changed(collection: str) -> CollectionError:
    return CollectionError(f"{collection!r} was re-embedded while you searched. Search again.")


def _embedded(query: Query, model: Embedder) -> _EmbeddedQuery:
    modality, content = query_content(query)
    vector = model.encode_query(modality, [content])[0]
    if modality == "image":
        return _EmbeddedQuery(query.name or "a picture", modality, vector)
    length = len(clean_text(query.text or ""))
    cut = f"Only the first {MAX_QUERY_CHARS:,} of {length:,} characters were read."
    return _EmbeddedQuery(
        content,
        modality,
        vector,
        notes=(cut,) if length > MAX_QUERY_CHARS else (),
        words=content,
        pieces=tuple(model.pieces(WORD.findall(content))) if isinstance(model, ReadsWords) else None,
    )


def _like(id_: str, collection: str, store: Store) -> _EmbeddedQuery:
    """Ask with a stored item's own vector; nothing is embedded again."""
    if not re.fullmatch(r"[0-9a-f]{64}", id_):
        raise QueryError("An item's id is 64 hexadecimal digits; this is none.")
    for modality in MODALITIES:
        table = store.vectors(collection, modality, [id_])
        if len(table):
            return _EmbeddedQuery(f"more like {id_[:12]}", modality, table.vectors[0], exclude=id_)
    raise QueryError(f"There is no item {id_!r} in the collection {collection!r}.")


def _retrieved(
    question: _EmbeddedQuery,
    collection: str,
    store: Store,
    searched: tuple[Modality, ...],
    k: int,
    filters: Filters,
    plan: _Plan,
) -> dict[Modality, tuple[Hit, ...]]:
    """Return the k best hits of each modality; centred, those of them that are among the k best of all."""
    if plan.mode == "centred" and plan.calibration:
        return _centred(question, plan.calibration, collection, store, searched, k, filters)
    return {one: _nearest(question, collection, store, one, k, filters) for one in searched}


def _nearest(
    question: _EmbeddedQuery, collection: str, store: Store, modality: Modality, k: int, filters: Filters
) -> tuple[Hit, ...]:
    extra = 1 if question.exclude else 0
    rows = store.query(collection, modality, question.vector, k + extra, filters)
    kept = [(item, score) for item, score in rows if item.id != question.exclude][:k]
    kept.sort(key=lambda row: (-row[1], row[0].id))  # Chroma leaves the order of ties open
    return tuple(
        Hit(rank=rank, item=item, score=score, retrieval_rank=rank)
        for rank, (item, score) in enumerate(kept, start=1)
    )


def _centred(
    question: _EmbeddedQuery,
    calibration: Calibration,
    collection: str,
    store: Store,
    searched: tuple[Modality, ...],
    k: int,
    filters: Filters,
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
    items = store.best_of_nearest(collection, reach, pool, filters, best)
    return {
        one: tuple(
            Hit(rank, item, scores[item.id][1], rank, balanced=scores[item.id][0])
            for rank, item in enumerate(items.get(one, ()), start=1)
        )
        for one in searched
    }


def _reranked(query: Query, hits: tuple[Hit, ...], reranking: Reranking) -> Reranked:
    asked = query_content(query)
    with reranking.model() as model:
        return rerank(asked, hits, model, top=reranking.top, open_item=reranking.opener(model))


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = (time.perf_counter() - started) * 1000
