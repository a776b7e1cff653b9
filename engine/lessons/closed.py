"""Lesson 8: three rungs on which a gap may be closed, before and after an edit, on pairs held out.

The edit and the linear classifier are fitted on the calibration pairs alone, everything is measured on the
others; a picture and its caption are always on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.analysis.edits import Edit, EditName
from engine.analysis.gap import knn_purity, l2m, purity_baseline
from engine.lessons.pairs import Pairs

NEIGHBOURS = 15
# Of the edits, those that can close a gap; dropping dimensions leaves most of it.
CHOSEN: tuple[EditName, ...] = ("centre", "shift", "project-out", "standardise")
_CHANCE_L2M = 1.5  # times the distance of centroids that chance leaves: above, it is no chance any more
_MIXED = 0.8  # of the share of neighbours across that there would be if modality did not matter
_ERRORS = 2  # standard errors of guessing above one half


@dataclass(frozen=True)
class Rungs:
    """Held-out pairs on three rungs.

    `l2m` in [0, 2]; `linear` is the accuracy in [0, 1] of a linear classifier of the modality trained on the
    calibration pairs; `crossing` the share in [0, 1] of the k nearest neighbours of the other modality.
    places_x and places_y: (n, 2) float64 in the plane of the gap before the edit, their common mean at 0.
    """

    l2m: float
    linear: float
    crossing: float
    places_x: np.ndarray = field(repr=False)
    places_y: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Ladder:
    """An edit measured on `held` pairs after it was fitted on `fitted` others.

    The gap is closed on a rung up to `l2m_limit`, up to `linear_limit`, and from `crossing_limit` on: what
    chance leaves of it. `climbed` tells up to which rung in their order it is closed after the edit, 0 to 3,
    and `climbed_before` before.
    """

    before: Rungs
    after: Rungs
    fitted: int
    held: int
    k: int
    l2m_limit: float
    linear_limit: float
    crossing_limit: float

    @property
    def climbed(self) -> int:
        """Return how many rungs, from the first on, are closed after the edit."""
        return self._closed(self.after)

    @property
    def climbed_before(self) -> int:
        """Return how many rungs, from the first on, were closed before."""
        return self._closed(self.before)

    def _closed(self, rungs: Rungs) -> int:
        rows = (
            rungs.l2m <= self.l2m_limit,
            rungs.linear <= self.linear_limit,
            rungs.crossing >= self.crossing_limit,
        )
        return rows.index(False) if False in rows else len(rows)


def ladder(pairs: Pairs, edit: EditName) -> Ladder:
    """Return the three rungs before and after an edit. "shift" moves by all of the calibration pairs' gap.

    Raises GapError where the edit cannot be fitted or leaves nothing of a vector.
    """
    known, held = pairs.halves()
    fitted = Edit.fit(edit, known.x, known.y, delta=l2m(known.x, known.y))
    edited_known, edited = fitted.apply(known.x, known.y), fitted.apply(held.x, held.y)
    plane = _plane(known.x, known.y)
    k = min(NEIGHBOURS, max(1, len(held) - 1))  # no more than an item has others of its own modality
    before, after = (
        _rungs(*rows, *train, plane, k)
        for rows, train in (((held.x, held.y), (known.x, known.y)), (edited, edited_known))
    )
    spread = sum(float(rows.var(0).sum()) for rows in edited)
    return Ladder(
        before=before,
        after=after,
        fitted=len(known),
        held=len(held),
        k=k,
        l2m_limit=_CHANCE_L2M * float(np.sqrt(spread * (1 / len(known) + 1 / len(held)))),
        linear_limit=0.5 + _ERRORS * 0.5 / float(np.sqrt(2 * len(held))),
        crossing_limit=_MIXED * (1 - purity_baseline(len(held), len(held))),
    )


def linear_accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the accuracy of a linear classifier of the modality, balanced, in [0, 1]; 0.5 is guessing.

    train: rows (n, d) and (m, d) float64 of two modalities to learn from; test: others of the same two.
    Fitted where the edit was, so that the classifier knows no more than the edit did. Shi et al. 2023.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1_000, class_weight="balanced")
    model.fit(np.concatenate(train), np.repeat([0, 1], [len(rows) for rows in train]))
    return float(np.mean([(model.predict(rows) == label).mean() for label, rows in enumerate(test)]))


def _rungs(
    x: np.ndarray, y: np.ndarray, known_x: np.ndarray, known_y: np.ndarray, plane: np.ndarray, k: int
) -> Rungs:
    linear = linear_accuracy((known_x, known_y), (x, y))
    middle = (x.mean(0) + y.mean(0)) / 2
    places_x, places_y = (x - middle) @ plane.T, (y - middle) @ plane.T
    return Rungs(l2m(x, y), linear, 1 - knn_purity(x, y, k=k), places_x, places_y)


def _plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return two axes (2, d): the line of centroids, where there is one, and the largest left beside it."""
    apart = x.mean(0) - y.mean(0)
    rows = np.concatenate([x - x.mean(0), y - y.mean(0)])
    length = float(np.linalg.norm(apart))
    if length < 1e-12:
        return np.asarray(np.linalg.svd(rows, full_matrices=False)[2][:2])
    along = apart / length
    rows = rows - np.outer(rows @ along, along)
    return np.stack([along, np.linalg.svd(rows, full_matrices=False)[2][0]])
