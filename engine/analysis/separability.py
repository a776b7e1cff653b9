"""How well a linear classifier tells two modalities apart on rows it has not seen, and what guessing does.

Pure. Sources: Shi et al. 2023 (linear separability, read as later papers quote it), Wilson 1927 (the interval
of a share), Zou and Donner 2008 (that of a mean of two shares), Fisher's exact test (labels of the held-out
rows permuted, all permutations).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.analysis.gap_chance import Bounds, Null

_TEST_SHARE = 0.2
_NORMAL = 1.959963984540054  # 97.5 % of a standard normal lie below


@dataclass(frozen=True)
class HeldOut:
    """What the classifier did with the held-out rows of both modalities.

    Each field has the first's number and the other's. rows: how many there were; right: how many of them it
    told rightly; groups: of how many things they were.
    """

    rows: tuple[int, int]
    right: tuple[int, int]
    groups: tuple[int, int]

    @property
    def accuracy(self) -> float:
        """Return the balanced accuracy: the mean of both modalities' shares of right answers, in [0, 1]."""
        return sum(self._shares()) / 2

    def interval(self) -> Bounds:
        """Return the 95 % interval of the accuracy of this classifier on things that it has not seen.

        Of both Wilson intervals of a share by Zou and Donner's rule, each with as many draws as there are
        groups, as the rows of one thing may be right and wrong together. How the classifier would differ
        had it been fitted on other rows is not in it.
        """
        ends = [_wilson(share, count) for share, count in zip(self._shares(), self.groups, strict=True)]
        below, above = (
            math.sqrt(sum((share - end[side]) ** 2 for share, end in zip(self._shares(), ends, strict=True)))
            / 2
            for side in (0, 1)
        )
        return max(0.0, self.accuracy - below), min(1.0, self.accuracy + above)

    def null(self) -> Null:
        """Return the accuracy where the modality labels of the held-out rows are permuted, and p.

        Over all permutations: the right answers of one modality are hypergeometric then, and the mean is 0.5.
        """
        told = self.right[0], self.rows[1] - self.right[1]  # of each modality, those told to be of the first
        named, (first, other) = sum(told), self.rows
        hits = np.arange(max(0, named - other), min(first, named) + 1)
        chances = np.exp(
            _log_choose(first, hits) + _log_choose(other, named - hits) - _log_choose(first + other, named)
        )
        accuracies = (hits / first + 1 - (named - hits) / other) / 2
        high = accuracies[np.searchsorted(np.cumsum(chances), 0.99).clip(max=len(hits) - 1)]
        return Null(0.5, float(high), min(1.0, float(chances[hits >= told[0]].sum())))

    def _shares(self) -> tuple[float, float]:
        return self.right[0] / self.rows[0], self.right[1] / self.rows[1]


def held_out(
    x: np.ndarray, y: np.ndarray, *, groups: Sequence[object] | None = None, seed: int = 0
) -> HeldOut:
    """Fit a linear classifier of the modality on most rows, and return what it did with the others.

    A fifth of the groups is held out; what belongs together (a picture and its caption) must share a
    group, or the classifier is tested on what it has seen the twin of: accuracy falls below 0.5 then.
    x (n, d), y (m, d) of any float dtype; groups: one per row of x, then of y; None: every row is one.
    Raises ValueError with fewer than 5 groups, or a modality that is on one side of the split only.
    """
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    named = np.unique(np.arange(len(rows)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    count = int(named.max()) + 1
    if count < 5:
        raise ValueError("a held-out fifth needs five groups")
    held = np.random.default_rng(seed).permutation(count)[: max(1, round(count * _TEST_SHARE))]
    test = np.isin(named, held)
    if any(len(np.unique(labels[part])) < 2 for part in (test, ~test)):
        raise ValueError("one modality is on one side of the split only")
    model = LogisticRegression(C=1.0, max_iter=1_000, class_weight="balanced")
    right = model.fit(rows[~test], labels[~test]).predict(rows[test]) == labels[test]
    sides = [labels[test] == label for label in (0, 1)]
    return HeldOut(
        rows=(int(sides[0].sum()), int(sides[1].sum())),
        right=(int(right[sides[0]].sum()), int(right[sides[1]].sum())),
        groups=(len(np.unique(named[test][sides[0]])), len(np.unique(named[test][sides[1]]))),
    )


def separability(
    x: np.ndarray, y: np.ndarray, *, groups: Sequence[object] | None = None, seed: int = 0
) -> float:
    """Return the balanced accuracy of `held_out`, in [0, 1], which says more of the arguments.

    x (n, d), y (m, d) of any float dtype. Raises ValueError as it does.
    """
    return held_out(x, y, groups=groups, seed=seed).accuracy


def _wilson(share: float, count: int) -> Bounds:
    square = _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return middle - half, middle + half


def _log_choose(of: int, some: np.ndarray | int) -> np.ndarray:
    """Return the logarithm of how many ways there are to choose some (n,) int64 of so many: (n,) float64."""
    logs = np.append(0.0, np.cumsum(np.log(np.arange(1, of + 1))))
    return np.asarray(logs[of] - logs[some] - logs[of - np.asarray(some)])
