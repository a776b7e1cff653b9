"""Ways to close a gap, or to widen it: fitted on calibration rows, applied to any, unit length again after.

Every one is a map of each row by itself, so that it may be applied to a question too. Pure, and it changes no
stored vector. That a gap is closed says nothing of the search: measure both after each edit. Sources: Liang
et al. 2022 (the shift), Schrodi et al. 2024 (few dimensions), GR-CLIP (mean-centring).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from engine.analysis.gap import unit
from engine.errors import GapError

EditName = Literal["shift", "centre", "standardise", "project-out", "drop-dims"]
EDITS: tuple[EditName, ...] = get_args(EditName)
LEAST_ROWS = 2  # of each modality, to fit a mean and a spread
_VANISHED = 1e-6  # of a unit row: what is left below it is rounding, and has no direction


@dataclass(frozen=True)
class Edit:
    """One edit, fitted for two modalities: rows become unit((row - offset) / scale), less `direction`.

    offsets and scales: (2, d) float64, one row for each modality; direction: (d,) float64 of length 1, taken
    out of both, or None; kept: (d,) bool, the dimensions that are not set to 0.
    """

    name: EditName
    offsets: np.ndarray = field(repr=False)
    scales: np.ndarray = field(repr=False)
    direction: np.ndarray | None = field(repr=False)
    kept: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, name: EditName, x: np.ndarray, y: np.ndarray, *, delta: float = 0.5, dims: int = 3) -> Edit:
        """Fit an edit on calibration rows x (n, d) and y (m, d), float64 of unit length, n, m >= LEAST_ROWS.

        "shift" moves each half of delta along the line of centroids u, towards the other (δ = ‖Δ‖ closes the
        gap before the rows are made unit length again, a negative one widens it); "centre" takes each
        modality's mean off it; "standardise" divides by its spread in every dimension too; "project-out"
        takes u out of every row; "drop-dims" sets to 0 the `dims` dimensions in which the centroids differ
        most. Raises GapError for too few rows, for another name, for dims that are not 1 to d - 1, for a
        delta that is not finite, and where the centroids are one and have no direction.
        """
        if name not in EDITS:
            raise GapError(f"There is no edit {name!r}. Edits are: {', '.join(EDITS)}.")
        if min(len(x), len(y)) < LEAST_ROWS:
            raise GapError(
                f"The edit {name!r} is fitted on {len(x)} and {len(y)} calibration rows; it needs "
                f"{LEAST_ROWS} of each modality at least. Add items, or measure without an edit."
            )
        means, dim = np.stack([x.mean(0), y.mean(0)]), x.shape[1]
        plain, ones, every = np.zeros((2, dim)), np.ones((2, dim)), np.ones(dim, bool)
        if name == "centre":
            return cls(name, means, ones, None, every)
        if name == "standardise":
            spreads = np.stack([x.std(0), y.std(0)])
            # A dimension without spread is 0 once it is centred, whatever divides it.
            return cls(name, means, np.where(spreads > 1e-12, spreads, 1.0), None, every)
        if name == "drop-dims":
            return cls(name, plain, ones, None, _but_largest(means[0] - means[1], dims))
        along = _direction(name, means[0] - means[1])
        if name == "project-out":
            return cls(name, plain, ones, along, every)
        if not np.isfinite(delta):
            raise GapError(f"The shift is {delta}; it must be a finite number, for example 0.5.")
        return cls(name, np.stack([along, -along]) * delta / 2, ones, None, every)

    def apply(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of both modalities after the edit, at unit length, in their order.

        x (n, d), y (m, d): float64 unit rows, which stay as they are. Returns (n, d) and (m, d) float64.
        Raises GapError where nothing is left of a row.
        """
        return self.applied(x, 0), self.applied(y, 1)

    def applied(self, rows: np.ndarray, side: int) -> np.ndarray:
        """Return rows (n, d) float64 of the first (0) or the second modality (1) after the edit, likewise."""
        moved = ((rows - self.offsets[side]) / self.scales[side]) * self.kept
        if self.direction is not None:
            moved -= np.outer(moved @ self.direction, self.direction)
        gone = int((np.linalg.norm(moved, axis=1) < _VANISHED).sum())
        if gone:
            raise GapError(
                f"The edit {self.name!r} leaves nothing of {gone:,} of {len(rows):,} vectors: without a "
                f"length they have no direction. Choose another edit, or a collection whose vectors differ "
                f"more."
            )
        return unit(moved)


def _direction(name: str, apart: np.ndarray) -> np.ndarray:
    """Return the gap vector (d,) float64 at length 1."""
    length = float(np.linalg.norm(apart))
    if length < _VANISHED:
        raise GapError(
            f"The edit {name!r} has no direction: the two centroids are one. There is no gap to close."
        )
    return np.asarray(apart / length)


def _but_largest(apart: np.ndarray, dims: int) -> np.ndarray:
    """Return which dimensions are kept where those go in which (d,) float64 is largest: (d,) bool."""
    if not 1 <= dims < len(apart):
        raise GapError(f"{dims} dimensions cannot be dropped; it must be 1 to {len(apart) - 1}.")
    kept = np.ones(len(apart), bool)
    kept[np.argsort(-np.abs(apart), kind="stable")[:dims]] = False
    return kept
