"""Flow 2, a question to ranked hits, with every stage kept; the search itself: `retrieve.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.analysis.crowding import Calibration
from engine.errors import CollectionError, QueryError
from engine.models.base import Embedder, ReadsWords, Reranker
from engine.search.balance import basis, crowding, lacks
from engine.search.filtered import candidates
from engine.search.notes import WORD, doubt
from engine.search.rerank import Opened, RerankInput, rerank
from engine.search.retrieve import MAX_K, EmbeddedQuery, Treatment, retrieve
from engine.search.unrelated import Unrelated
from engine.storage.chroma import CollectionInfo, Store, model_error
from engine.storage.data_folder import DataFolder
from engine.text import MAX_QUERY_CHARS, clean_text
from engine.types import MODALITIES, Balance, Filters, Hit, Item, Modality, Reranked, SearchTrace


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


def search(
    query: Query,
    *,
    collection: str,
    folder: DataFolder,
    embedder: Callable[[], AbstractContextManager[Embedder]],
    k: int = 10,
    filters: Filters | None = None,
    reranking: Reranking | None = None,
    balancing: Balancing | None = None,
    unrelated: Callable[[CollectionInfo], Unrelated] = lambda info: Unrelated(),
    copies: float | None = None,
) -> SearchTrace:
    """Return the k items nearest to the question, per modality and merged: by score, or as `balancing` says.

    With `copies`, hits of that cosine with a better one are hidden, and others take their places. With
    `reranking`, its first `top` are retrieved whatever k is, reordered, and then cut to k. Where the
    treatment cannot be had the order is raw, and the trace's notes say why.

    `unrelated` gives the scores that an answer must stand out from, or the trace's doubt says that it does
    not. embedder lends the model, and is called only where something must be embedded. Text is always
    searched as words: a query that looks like a path or an address is never opened. Raises
    QueryError, CollectionNotFoundError, CollectionModelError, ModelError or StoreError.
    """
    if not 1 <= k <= MAX_K:
        raise QueryError(f"k is {k}; it must be from 1 to {MAX_K:,}.")
    store = folder.store
    timings: dict[str, float] = {}
    with _timed(timings, "total"):
        info = store.info(collection)
        with _timed(timings, "embed"):
            question = _question(query, info, store, embedder)
        depth = max(k, reranking.top) if reranking else k
        with _timed(timings, "retrieve"):
            among = candidates(folder, collection, filters or Filters())
            searched = among.counts(info)
        with _timed(timings, "balance"):
            plan = _planned(balancing, question, info, tuple(searched))
        asks, known = question.modality, plan.calibration
        with _timed(timings, "retrieve"):
            found = retrieve(question, among, searched, depth, plan, copies)
        retrieval = found.hits
        if not store.made_by(collection).agrees_with(info.made_by):
            raise _changed(collection)
        with _timed(timings, "rerank"):
            reordered = _reranked(query, retrieval, reranking) if reranking else None
        models = (info.made_by.model, *([reordered.model] if reordered else []))
        said = doubt(question.words, models, question.pieces, found.retrieved, lambda: unrelated(info))
    return SearchTrace(
        collection=collection,
        model=info.made_by.model,
        query=question.shown,
        query_modality=question.modality,
        retrieved=found.retrieved,
        retrieval=retrieval,
        results=(reordered.hits if reordered else retrieval)[:k],
        searched=searched,
        timings_ms=timings if reranking else {**timings, "rerank": 0.0},
        doubt=said,
        notes=(
            *question.notes,
            *([said] if said else []),
            *plan.notes,
            *found.notes,
            *(reordered.notes if reordered else ()),
        ),
        balance=plan.mode,
        crowding=crowding(retrieval[:k], searched, plan.mode, asks=asks, calibration=known),
        copies=found.copies,
    )


def _planned(
    balancing: Balancing | None,
    question: EmbeddedQuery,
    info: CollectionInfo,
    searched: tuple[Modality, ...],
) -> Treatment:
    """Return the treatment that was asked for, or raw with the reason in words.

    Raises CollectionError where the calibration is of vectors of another width.
    """
    if balancing is None:
        return Treatment()
    mode = balancing.mode
    # Of one modality, and of ranks, nothing is asked of it.
    lent = balancing.calibration(info) if len(searched) > 1 and mode != "interleaved" else None
    if lent and any(len(mean) != len(question.vector) for mean in lent.means.values()):
        raise _changed(info.name)
    if why := lacks(mode, question.modality, searched, lent):
        return Treatment("raw", lent, (f"The order is raw, not {mode}: {why}.",))
    return Treatment(mode, lent, () if mode == "raw" else (basis(mode, question.modality, lent),))


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
) -> EmbeddedQuery:
    if query.like:
        return _like(query.like, info.name, store)
    with embedder() as model:
        if not info.made_by.agrees_with(model.provenance):
            raise model_error(info.name, info.made_by, model.provenance)
        return _embedded(query, model)


def _changed(collection: str) -> CollectionError:
    return CollectionError(f"{collection!r} was re-embedded while you searched. Search again.")


def _embedded(query: Query, model: Embedder) -> EmbeddedQuery:
    modality, content = query_content(query)
    vector = model.encode_query(modality, [content])[0]
    if modality == "image":
        return EmbeddedQuery(query.name or "a picture", modality, vector)
    length = len(clean_text(query.text or ""))
    cut = f"Only the first {MAX_QUERY_CHARS:,} of {length:,} characters were read."
    return EmbeddedQuery(
        content,
        modality,
        vector,
        notes=(cut,) if length > MAX_QUERY_CHARS else (),
        words=content,
        pieces=tuple(model.pieces(WORD.findall(content))) if isinstance(model, ReadsWords) else None,
    )


def _like(id_: str, collection: str, store: Store) -> EmbeddedQuery:
    """Ask with a stored item's own vector; nothing is embedded again."""
    if not re.fullmatch(r"[0-9a-f]{64}", id_):
        raise QueryError("An item's id is 64 hexadecimal digits; this is none.")
    for modality in MODALITIES:
        table = store.vectors(collection, modality, [id_])
        if len(table):
            return EmbeddedQuery(f"more like {id_[:12]}", modality, table.vectors[0], exclude=id_)
    raise QueryError(f"There is no item {id_!r} in the collection {collection!r}.")


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
        timings[stage] = timings.get(stage, 0.0) + (time.perf_counter() - started) * 1000
