"""Pairs of two modalities in two halves: an edit is fitted on one and everything is measured on the other.

Has with them what stays the same for all edits: the labels, and the plane in which both clouds are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from engine.analysis.edits import EDITS, Edit, EditName
from engine.analysis.gap import l2m
from engine.errors import GapError
from engine.lessons.pairs import MOST_PAIRS, Pairs, read_pairs
from engine.storage.columns import read_columns
from engine.storage.data_folder import DataFolder
from engine.types import Modality

DRAWN = 500  # pairs on the map: more make its lines a carpet
WIDEST, FARTHEST = -1.0, 2.0  # shares of the line of centroids, as far as the slider goes
SAME = 1e-6  # centroids nearer than this are one, as edits take it


@dataclass(frozen=True)
class Change:
    """An edit with its setting; "none" leaves everything as it is.

    `share` is how far a shift goes along the line of centroids: 0 is as it is, 1 closed before the rows are
    made unit length again, below 0 wider, above 1 past it. `dims` are what "drop-dims" sets to 0.
    """

    name: EditName | Literal["none"] = "none"
    share: float = 1.0
    dims: int = 3

    def fit(self, fitted: Pairs) -> Edit | None:
        """Return the edit fitted on these pairs, or None where it changes nothing. Raises GapError."""
        if self.name == "none" or (self.name == "shift" and self.share == 0):
            return None
        if not np.isfinite(self.share):
            raise GapError(f"The shift is {self.share}; it must be a finite number, for example 0.5.")
        delta = self.share * l2m(fitted.x, fitted.y)
        return Edit.fit(self.name, fitted.x, fitted.y, delta=delta, dims=self.dims)


NONE = Change()


@dataclass(frozen=True)
class Plane:
    """Two axes (d, 2) float64 of length 1 about a middle (d,): one plane for all edits.

    `reach` is how far from the middle anything lies on it, after every edit at its ends.
    """

    middle: np.ndarray = field(repr=False)
    axes: np.ndarray = field(repr=False)
    reach: float = 1.0

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Return where rows (n, d) of any float dtype lie: (n, 2) float32."""
        return ((rows - self.middle) @ self.axes).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Pairs to fit on and pairs to measure, these in an order drawn by the seed: the first are a sample.

    `labels` has one for each measured row of x, then of y, "" for none. `plane` is that of the measured rows
    as they are: the line of their centroids, and the main axis across.
    """

    fitted: Pairs
    measured: Pairs
    labels: tuple[str, ...] = field(repr=False)
    plane: Plane

    @classmethod
    def of(cls, pairs: Pairs, label_of: dict[str, str]) -> Split:
        """Halve pairs by their seed; an item without a label in `label_of` takes that of its partner."""
        fitted, measured = pairs.halves()
        measured = measured.take(np.random.default_rng(pairs.seed).permutation(len(measured)))
        known = [
            [label_of.get(own) or label_of.get(other, "") for own, other in zip(mine, theirs, strict=True)]
            for mine, theirs in (
                (measured.ids_x, measured.ids_y),
                (measured.ids_y, measured.ids_x),
            )
        ]
        return cls(fitted, measured, (*known[0], *known[1]), _plane(fitted, measured))

    def edited(self, change: Change) -> tuple[np.ndarray, np.ndarray]:
        """Return the measured rows after a change: (n, d) and (n, d) float64. Raises GapError."""
        edit = change.fit(self.fitted)
        x, y = self.measured.x, self.measured.y
        return (x, y) if edit is None else edit.apply(x, y)


def read_split(
    folder: DataFolder,
    collection: str,
    *,
    a: Modality = "image",
    b: Modality = "text",
    most: int = MOST_PAIRS,
    seed: int = 0,
) -> Split:
    """Return the pairs of two modalities of a collection in halves, with the first label of each item.

    Raises as `read_pairs` does.
    """
    pairs = read_pairs(folder, collection, a=a, b=b, most=most, seed=seed)
    columns = read_columns(folder, collection).take((*pairs.ids_x, *pairs.ids_y))
    first = {id_: labels[0] for id_, labels in zip(columns.ids, columns.labels, strict=True) if labels}
    return Split.of(pairs, first)


def _plane(fitted: Pairs, measured: Pairs) -> Plane:
    x, y = measured.x, measured.y
    middle, line = (x.mean(0) + y.mean(0)) / 2, x.mean(0) - y.mean(0)
    rows = np.concatenate([x, y]) - middle
    length = float(np.linalg.norm(line))
    line = line / length if length > SAME else np.linalg.eigh(rows.T @ rows)[1][:, -1]
    rows -= np.outer(rows @ line, line)
    axes = np.stack([line, np.linalg.eigh(rows.T @ rows)[1][:, -1]], axis=1)
    plane, shown = Plane(middle, axes), measured.take(np.arange(min(DRAWN, len(measured))))
    ends = [NONE, Change("shift", WIDEST), Change("shift", FARTHEST), *(Change(name) for name in EDITS)]
    reach = 0.0
    for one in ends:
        try:
            edited = Split(fitted, shown, (), plane).edited(one)
        except GapError:  # an edit that cannot be is not drawn either
            continue
        reach = max([reach, *(float(np.abs(plane.places(side)).max()) for side in edited)])
    return Plane(middle, axes, 1.05 * reach or 1.0)
