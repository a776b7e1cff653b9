"""How near unrelated questions come to a collection: measured beside everything else, kept until a write.

A score is only high or low beside what questions score that nothing here is about; models and collections
differ in that by far more than good answers do from bad ones. A hundred fixed questions are embedded with the
collection's own model, in a thread of its own, and asked of the collection; an answer waits for a bounded
time. The limits are kept in the ledger's state with the version of the collection they are of.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from engine.background import Background, Work
from engine.errors import FolderError
from engine.models.base import ModelChoice
from engine.progress import CancelledError
from engine.search.unrelated_questions import QUESTIONS
from engine.storage.chroma import CollectionInfo
from engine.storage.columns import last_change
from engine.storage.data_folder import DataFolder
from engine.types import Modality, Provenance

if TYPE_CHECKING:
    from engine.models.lender import Models

log = logging.getLogger(__name__)
SHARE = 0.95
PATIENCE_SECONDS = 2.0  # of an answer for a measurement; Pocket's first took .7 (one core, busy), others .02
MEASURING = (
    "How unrelated questions score here is still being measured, once after each change: ask again to see "
    "whether this answer stands out from them."
)
# Of questions that a collection happens to be about, the scores are high: were a tenth of these, their score
# would be the limit, and what the collection is best at would be doubted. Deviations are of the median.
_MOST_DEVIATIONS, _TO_DEVIATIONS = 2.5, 1.4826
_AT_ONCE = 8
_UNNOTICED_SECONDS = 0.5
_AT_MOST_CLOSING_SECONDS = 30.0
_FORMAT = 1


@dataclass(frozen=True)
class Unrelated:
    """The cosine up to which unrelated questions come, by modality; `measuring` where it is not known yet."""

    limits: Mapping[Modality, float] = field(default_factory=dict)
    measuring: bool = False


class UnrelatedScores:
    """The limits of every collection of one data folder; safe to share between threads."""

    def __init__(self, folder: DataFolder, models: Models) -> None:
        self._folder, self._models = folder, models
        self._background = Background()
        self._lock = threading.Lock()
        self._works: dict[str, Work] = {}
        self._asking: dict[Provenance, np.ndarray] = {}

    def of(
        self,
        info: CollectionInfo,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Unrelated:
        """Return the limits of a collection as it is now; measured where it was written to.

        Waits no longer than `patience_seconds`, and calls `on_wait` where it takes a while. Where measuring
        fails, nothing is limited, and the log says why. Raises FolderError, StoreError.
        """
        version = self._version(info)
        with self._lock:
            work = self._works.get(info.name)
            if work is None or work.title != version or work.state in ("failed", "cancelled"):
                if kept := self._kept(info.name, version):
                    return kept
                work = self._works[info.name] = Work(version)
                self._background.begin(work, partial(self._measured, info, version))
        if not work.ended.wait(min(_UNNOTICED_SECONDS, patience_seconds)):
            on_wait()
            work.ended.wait(patience_seconds)
        if work.error:
            log.warning("how unrelated questions score in %s is not known: %s", info.name, work.error)
        return work.result or Unrelated(measuring=work.active)

    def forget(self, collection: str) -> None:
        """Forget a collection that is no more. Raises FolderError."""
        with self._lock:
            if work := self._works.pop(collection, None):
                work.cancel()
        self._folder.ledger.drop_state(_key(collection))

    def close(self) -> None:
        """End what is being measured: it reads a store that is about to be closed."""
        with self._lock:
            works = list(self._works.values())
        for work in works:
            work.cancel()
        for work in works:
            work.ended.wait(_AT_MOST_CLOSING_SECONDS)

    def _version(self, info: CollectionInfo) -> str:
        parts = f"{_FORMAT} {SHARE} {QUESTIONS} {last_change(self._folder, info.name, info)}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def _kept(self, collection: str, version: str) -> Unrelated | None:
        text = self._folder.ledger.get_state(_key(collection))
        data = json.loads(text) if text else {}
        return Unrelated(data["limits"]) if data.get("version") == version else None

    def _measured(self, info: CollectionInfo, version: str, work: Work) -> Unrelated:
        """Measure and keep. Raises GapscopeError, and CancelledError where the work is to stop."""
        asking = self._vectors(info.made_by, work)
        limits: dict[Modality, float] = {}
        for modality in (one for one, count in info.counts.items() if count):
            _check(work)
            best = self._folder.store.best_scores(info.name, modality, asking)
            if len(best):
                limits[modality] = limit(best)
        _check(work)  # a collection that was deleted meanwhile leaves nothing behind
        try:
            self._folder.ledger.set_state(_key(info.name), json.dumps({"version": version, "limits": limits}))
        except FolderError as error:  # a full disk: it is measured again by the next process
            log.warning("the unrelated scores of %s are not kept: %s", info.name, error)
        return Unrelated(limits)

    def _vectors(self, made_by: Provenance, work: Work) -> np.ndarray:
        """Return the questions' unit vectors (n, dim) float32; of one model they are made once."""
        if made_by in self._asking:
            return self._asking[made_by]
        with self._models.embedder(ModelChoice.of(made_by)) as model:
            rows = []
            for start in range(0, len(QUESTIONS), _AT_ONCE):
                _check(work)
                rows.append(model.encode_query("text", QUESTIONS[start : start + _AT_ONCE]))
        return self._asking.setdefault(made_by, np.concatenate(rows))


def limit(best: np.ndarray) -> float:
    """Return the cosine up to which unrelated questions come: the 95th percentile of their best scores.

    best: (n,) of any float dtype, n > 0, the best cosine of each. At most 2.5 deviations above the median,
    where the deviation is the one of a normal distribution with the same median absolute deviation.
    """
    middle = float(np.median(best))
    deviation = _TO_DEVIATIONS * float(np.median(np.abs(best - middle)))
    return min(float(np.quantile(best, SHARE)), middle + _MOST_DEVIATIONS * deviation)


def _check(work: Work) -> None:
    if work.stop.is_set():
        raise CancelledError


def _key(collection: str) -> str:
    return f"unrelated scores of {collection}"
