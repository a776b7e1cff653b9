"""What each row of a sample adds to a measure of all rows with all others, from cosines computed once.

Every function returns a number for each row whose mean is the measure, so that its interval can be had by
drawing rows (`row_chance.row_intervals`). Where two or three rows make one term of the measure, a row's
number holds what it adds in every place it can stand in: the first-order projection of a U-statistic
(Hoeffding 1948). Pure; of n rows it takes n² numbers, so that callers give a sample.
"""

from __future__ import annotations

import numpy as np


def uniformity_rows(cosines: np.ndarray, *, t: float = 2.0) -> np.ndarray:
    """Return what rows add to log mean exp(-t ‖xi - yj‖²) over i != j: (n,) float64.

    cosines: (n, n) of unit rows with each other, or of one modality with the other, row i belonging to row i;
    any float dtype. Raises ValueError for less than two rows.
    """
    count = len(cosines)
    if count < 2:
        raise ValueError("uniformity needs two rows")
    potential = np.minimum(cosines, 1)
    potential -= 1
    potential *= 2 * t
    np.exp(potential, out=potential)
    np.fill_diagonal(potential, 0)
    sides = [potential.sum(side, dtype=np.float64) / (count - 1) for side in (0, 1)]
    mean = float(sides[0].mean())
    return np.log(mean) + (sides[0] + sides[1]) / mean - 2


def crowding_rows(cosines: np.ndarray, paired: np.ndarray) -> np.ndarray:
    """Return what pairs add to P(cosine of two unrelated rows > cosine of a true pair): (n,) float64.

    cosines: (n, n) of rows of one modality with each other; paired: (n,) of each with its own partner; both
    of one float dtype. Cosines that differ by the noise of a product are ties, which count half. The mean is
    an AUC, in [0, 1]; a single row's number need not be. Raises ValueError for less than two rows.
    """
    count = len(cosines)
    if count < 2:
        raise ValueError("unrelated rows need two pairs")
    unrelated, partners = rounded(cosines), rounded(paired)
    order = np.argsort(partners, kind="stable")
    found = _places_in_millionths if cosines.dtype == np.float32 else places
    below, up_to = found(partners[order], unrelated)
    outranked = below + up_to  # (n, n): twice the number of partners that each cosine outranks
    of_rows = (outranked.sum(1) - np.diag(outranked)) / (2 * count * (count - 1))  # itself is no other
    # Of a partner: the share of unrelated cosines that outrank it.
    passed = [_passed(one, count) for one in (below, up_to)]
    of_partners = np.empty(count)
    of_partners[order] = (passed[0] + passed[1]) / (2 * count * (count - 1))
    return of_partners + 2 * (of_rows - of_rows.mean())


def _passed(places: np.ndarray, count: int) -> np.ndarray:
    """Return how many of places (n, n), less the diagonal, are above 0, 1, ... count - 1: (count,) int64."""
    found = np.bincount(places.ravel(), minlength=count + 1)
    found -= np.bincount(np.diag(places), minlength=count + 1)
    return found.sum() - np.cumsum(found)[:count]


def places(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of ordered (m,), ascending, are below each value, and how many below or equal.

    values: of any shape and one dtype with `ordered`, m >= 1. Returns two int64 arrays of their shape.
    """
    below = np.searchsorted(ordered, values.ravel(), "left")
    tied = np.flatnonzero(ordered.take(below, mode="clip") == values.ravel())
    up_to = below.copy()
    up_to[tied] = np.searchsorted(ordered, values.ravel()[tied], "right")
    return below.reshape(values.shape), up_to.reshape(values.shape)


def _places_in_millionths(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `places` of float32 with 6 decimals by looking them up, which is ten times as quick.

    ordered (m,), values (n, n): in [-2, 2]. Returns two (n, n) int64.
    """
    own, asked = (np.rint(one * np.float32(1e6)).astype(np.int32) for one in (ordered, values))
    here = np.bincount(own - own[0], minlength=int(own[-1] - own[0]) + 2)
    up_to = np.append(0, np.cumsum(here))  # the first place is for what is below all, the last for above
    at = np.clip(asked - own[0], -1, len(here) - 1) + 1
    return (up_to - np.append(0, here))[at], up_to[at]


def agreement_rows(x: np.ndarray, y: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what pairs add to how far both modalities order the same things alike: two (n,) float64.

    x, y: cosines (n, n) of the rows of each with each other, of any float dtype. The first is of Kendall's
    distance (1 - tau-b) / 2, NaN for a pair to which all others are equally near; the second the share of a
    pair's k nearest that both have, 1 <= k < n; n >= 3.
    """
    count = len(x)
    x, y = rounded(x), rounded(y)
    tau, others = np.empty(count), np.empty((count, count))
    for row in range(count):
        orders = []
        for one in (x, y):
            ranks = np.unique(one[row], return_inverse=True)[1].astype(np.float32)
            order = np.subtract.outer(ranks, ranks)
            np.sign(order, out=order)
            order[row] = order[:, row] = 0
            orders.append(order)
        untied = float(np.prod([np.count_nonzero(order) for order in orders])) ** 0.5
        agreed = np.einsum("jk,jk->j", *orders)
        with np.errstate(invalid="ignore"):
            tau[row], others[row] = agreed.sum(dtype=np.float64) / untied, agreed / untied
    known = np.isfinite(tau)
    distance = (1 - tau) / 2
    # What pair u adds where it is one of the two that are ordered, of which there are two places.
    as_other = -(count - 1) * others[known].sum(0) / max(1, int(known.sum()) - 1) / 2
    found = distance + 2 * (as_other - as_other[known].mean()) if known.any() else distance
    return found, _shared(x, y, k)


def purity_rows(nearest: np.ndarray, following: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what rows add to the mean share of the k nearest that are of the own modality: (n,) float64.

    nearest (n, k) and following (n,) int64 as `nearest_others` gives them, labels (n,) of any dtype. Where a
    row is a neighbour, it adds what the following one in its place would change: the pseudo-values of the
    jackknife.
    """
    k, own = nearest.shape[1], labels[nearest] == labels[:, None]
    more = own.astype(np.float64) - (labels[following] == labels)[:, None]
    return _with_places(own.mean(1), np.bincount(nearest.ravel(), more.ravel() / k, len(nearest)))


def nearest_others(cosines: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's k nearest others, (n, k) int64 in no order, and the one that follows, (n,) int64.

    cosines: (n, n) of rows with each other, of any float dtype; 1 <= k < n. Where k is all others, one of
    them stands for the one that follows.
    """
    scores, most = cosines.copy(), min(k + 1, len(cosines) - 1)
    np.fill_diagonal(scores, -np.inf)
    some = np.argpartition(scores, len(scores) - most, axis=1)[:, len(scores) - most :]
    last = np.take_along_axis(scores, some, axis=1).argmin(1)
    following = some[np.arange(len(some)), last]
    if most == k:
        return some, following
    kept = np.ones(some.shape, bool)
    kept[np.arange(len(some)), last] = False
    return some[kept].reshape(len(some), k), following


def _shared(x: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Return what pairs add to the mean share of the k nearest that both have, as `purity_rows` does.

    x, y: cosines (n, n) of any float dtype. Returns (n,) float64.
    """
    rows, near, after = np.arange(len(x)), [], []
    for one in (x, y):
        nearest, following = nearest_others(one, k=k)
        mine = np.zeros(one.shape, bool)
        np.put_along_axis(mine, nearest, True, axis=1)
        near.append(mine)
        after.append(following)
    both = near[0] & near[1]
    if k == len(x) - 1:  # all others are near: none follows
        return np.asarray(both.sum(1) / k)
    # What is in place of a neighbour in x may be near in y, the other way round, or the same in both.
    gained = [near[1][rows, after[0]][:, None], near[0][rows, after[1]][:, None]]
    same = (after[0] == after[1])[:, None]
    changed = sum((mine * more).astype(np.float64) for mine, more in zip(near, gained, strict=True))
    changed += both * (same - 1.0)
    return _with_places(both.sum(1) / k, -changed.sum(0) / k)


def _with_places(own: np.ndarray, as_other: np.ndarray) -> np.ndarray:
    """Return own (n,), whose mean is a measure, with what rows add in other places, (n,), both float64."""
    return np.asarray(own + as_other - as_other.mean())


def rounded(cosines: np.ndarray) -> np.ndarray:
    """Return cosines as ties count, where what differs by the noise of a product is equal.

    cosines: (n, ...) of any float dtype; returns the same.
    """
    return np.round(cosines, 6 if cosines.dtype == np.float32 else 12)
