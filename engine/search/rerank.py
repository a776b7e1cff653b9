"""Reorders the head of a result list by a cross-encoder; its scores share no scale with a cosine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from engine.errors import MediaError, ModelError
from engine.models.base import Reranker
from engine.storage.data_folder import DataFolder
from engine.types import Hit, Item, Modality, Reranked

RerankInput = tuple[Modality, Any]  # a question or a document, with its modality
_AT_ONCE = 8  # hits opened at once: a decoded photograph takes tens of megabytes
_NAMED = 3  # failures that a note names; all are in `Reranked.failed`
_UNREADABLE = "it does not read {kind}"
_HOPELESS = 16  # hits that all fail: it is the reranker then, and not a document
_NO_NUMBER = "its score is not a finite number"


class Opened(NamedTuple):
    """An item's content as a reranker takes it; `fresh` where it was prepared for the first time."""

    content: Any
    fresh: bool = False


@dataclass
class _Head:
    """What is known of the first hits so far."""

    scores: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    by_caption: set[str] = field(default_factory=set)
    fresh: int = 0
    error: ModelError | None = None
    open_seconds: float = 0.0
    score_seconds: float = 0.0


def opener(folder: DataFolder, reranker: Reranker) -> Callable[[Item], Opened]:
    """Return what opens an item for a reranker: prepared, or as it was kept from the last time.

    It raises MediaError where a file is gone or cannot be read, and ModelError.
    """

    def opened(item: Item) -> Opened:
        def prepared() -> Any:
            return reranker.prepare(item.modality, folder.open_item(item))

        if reranker.codec is None or item.media is None:
            return Opened(prepared())
        return Opened(*folder.library.evidence(item.media, reranker.codec, prepared))

    return opened


def rerank(
    query: RerankInput,
    hits: Sequence[Hit],
    reranker: Reranker,
    *,
    top: int,
    open_item: Callable[[Item], Opened],
) -> Reranked:
    """Score the first `top` hits against the question and put them in the order of their scores.

    A hit whose modality the reranker does not read is read by its caption. What gets no score, and
    everything after `top`, keeps its order below the scored ones; one that fails costs only its own
    place. open_item raises MediaError where a file is gone. Raises ModelError where the reranker fails
    on all of the head, or of its first 16.
    """
    head = hits[:top]
    state = _Head()
    for start in range(0, len(head), _AT_ONCE):
        _read(query, head[start : start + _AT_ONCE], reranker, open_item, state)
        tried = min(start + _AT_ONCE, len(head))
        if state.error and not state.scores and tried >= min(_HOPELESS, len(head)):
            raise state.error
    scored = [
        replace(hit, rerank_score=state.scores[hit.item.id]) for hit in head if hit.item.id in state.scores
    ]
    scored.sort(key=lambda hit: -(hit.rerank_score or 0.0))  # stable: ties stay as retrieved
    unread = [hit for hit in head if hit.item.id not in state.scores]
    ordered = [*scored, *unread, *hits[len(head) :]]
    return Reranked(
        model=reranker.spec.id,
        hits=tuple(hit.ranked(rank) for rank, hit in enumerate(ordered, start=1)),
        scored=len(scored),
        by_caption=frozenset(state.by_caption & state.scores.keys()),
        failed=state.failed,
        fresh=state.fresh,
        timings_ms={"open": state.open_seconds * 1000, "score": state.score_seconds * 1000},
        notes=tuple(_notes(reranker.spec.id, head, state)),
    )


def _read(
    query: RerankInput,
    hits: Sequence[Hit],
    reranker: Reranker,
    open_item: Callable[[Item], Opened],
    state: _Head,
) -> None:
    """Open and score a few hits."""
    started = time.perf_counter()
    documents: dict[str, RerankInput] = {}
    for hit in hits:
        try:
            document, fresh = _readable(query[0], hit.item, reranker, open_item)
        except (MediaError, ModelError) as error:
            state.failed[hit.item.id] = str(error)
            continue
        documents[hit.item.id] = document
        state.fresh += fresh
        if document[0] != hit.item.modality:
            state.by_caption.add(hit.item.id)
    opened = time.perf_counter()
    state.open_seconds += opened - started
    _score(query, documents, reranker, state)
    state.score_seconds += time.perf_counter() - opened


def _score(query: RerankInput, documents: dict[str, RerankInput], reranker: Reranker, state: _Head) -> None:
    """Score documents together, or one by one where that fails, so that the culprit is alone."""
    if not documents:
        return
    try:
        scores = [float(score) for score in reranker.score(query, list(documents.values()))]
    except (MediaError, ModelError) as error:
        if len(documents) > 1:
            for id_, document in documents.items():
                _score(query, {id_: document}, reranker, state)
            return
        state.failed[next(iter(documents))] = str(error)
        state.error = error if isinstance(error, ModelError) else state.error
        return
    for id_, score in zip(documents, scores, strict=True):
        if math.isfinite(score):
            state.scores[id_] = score
        else:
            state.failed[id_] = _NO_NUMBER


def _readable(
    asked: Modality, item: Item, reranker: Reranker, open_item: Callable[[Item], Opened]
) -> tuple[RerankInput, bool]:
    """Return what the reranker reads of an item, and whether it was prepared anew. Raises MediaError."""
    if reranker.can_read(asked, item.modality):
        content, fresh = open_item(item)
        return (item.modality, content), fresh
    if item.caption and reranker.can_read(asked, "text"):
        return ("text", item.caption), False
    raise MediaError(_UNREADABLE.format(kind=f"{item.modality} for a question in {asked}"))


def _notes(model: str, head: Sequence[Hit], state: _Head) -> Iterator[str]:
    if captions := len(state.by_caption & state.scores.keys()):
        yield f"{model} read {captions:,} of {len(head):,} hits by their captions."
    if state.failed:
        names = {hit.item.id: hit.item.name for hit in head}
        first = [f"{names[id_]}: {reason}" for id_, reason in list(state.failed.items())[:_NAMED]]
        more = f"; and {len(state.failed) - _NAMED:,} more" if len(state.failed) > _NAMED else ""
        yield (
            f"{model} gave no score for {len(state.failed):,} of {len(head):,} hits, which stay below the "
            f"scored ones ({'; '.join(first)}{more})."
        )
