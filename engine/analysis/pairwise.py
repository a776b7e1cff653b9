"""What belongs together against what does not: who crowds out a true pair, and whether both sides agree.

Row i of one modality belongs to row i of the other. Over all pairs of rows, so that callers give a sample
where there are many. Pure; distances of centroids and of pairs alone are in `gap.py`. Sources: Schrodi et al.
2024 (neighbour agreement), Liang et al. 2022 (the contrastive loss of CLIP, Radford et al. 2021).
"""

from __future__ import annotations

import numpy as np

from engine.analysis.all_pairs import agreement_rows, crowding_rows, places
from engine.analysis.gap import check_paired


def crowding(x: np.ndarray, y: np.ndarray) -> float:
    """Return P(cosine of two unrelated rows of x > cosine of a true pair), an AUC in [0, 1]; ties count half.

    At 1 every search over both modalities finds the own one first. x, y: (n, d) unit rows of any float
    dtype, row i with row i, n >= 2. Raises ValueError for less, or for two shapes.
    """
    check_paired(x, y)
    return float(crowding_rows(x @ x.T, (x * y).sum(1)).mean())


def outranks(unrelated: np.ndarray, partners: np.ndarray) -> float:
    """Return P(unrelated > partner) + P(equal) / 2, in [0, 1], over all of both: an AUC.

    unrelated (n,), partners (m,), of any float dtype, n and m above 0.
    """
    below, up_to = places(np.sort(partners), unrelated)
    return float((below + up_to).sum() / (2 * len(unrelated) * len(partners)))


def neighbour_agreement(x: np.ndarray, y: np.ndarray, *, k: int = 10) -> tuple[float, float] | None:
    """Return how far both modalities order the same things alike: Kendall's distance, and the overlap at k.

    For every pair the others are ordered by cosine, once in x and once in y. The first number is the mean of
    (1 - tau) / 2, in [0, 1], 0.5 where the orders know nothing of each other; the second the mean share of
    the k nearest that both have, in [0, 1]. x, y: (n, d) unit rows of any float dtype, row i with row i,
    n >= 3; 1 <= k < n. None where everything is equally near. Raises ValueError for less, another k, or
    two shapes. Schrodi et al. 2024, there over classes.
    """
    check_paired(x, y)
    if not 1 <= k < len(x) or len(x) < 3:
        raise ValueError(f"{k} neighbours of {len(x)} pairs cannot be compared")
    distances, shared = agreement_rows(x @ x.T, y @ y.T, k=k)
    known = distances[np.isfinite(distances)]
    return (float(known.mean()), float(shared.mean())) if len(known) else None


def contrastive_loss(x: np.ndarray, y: np.ndarray, *, temperature: float = 0.01, batch: int = 50) -> float:
    """Return CLIP's loss: the cross entropy of cosine / temperature, each row against its batch, both ways.

    In [0, inf); log(batch) where everything is equally near. Batches are consecutive rows, and a last one
    that is not whole is left out, since the loss depends on their size. x, y: (n, d) unit rows of any float
    dtype, row i with row i, n >= 1. Raises ValueError for a temperature that is not positive, no row,
    or two shapes.
    """
    check_paired(x, y)
    if not temperature > 0 or not np.isfinite(temperature):
        raise ValueError(f"the temperature is {temperature}; it must be more than 0")
    if not len(x) or batch < 1:
        raise ValueError("a loss needs a pair")
    return float(batch_losses(x, y, temperature=temperature, batch=batch).mean())


def batch_losses(x: np.ndarray, y: np.ndarray, *, temperature: float, batch: int) -> np.ndarray:
    """Return `contrastive_loss` of every whole batch, (batches,) float64; x, y: (n, d), which it checks."""
    size = min(batch, len(x))
    losses = []
    for start in range(0, len(x) - size + 1, size):
        rows = slice(start, start + size)
        logits = (x[rows] @ y[rows].T) / temperature
        losses.append((_cross_entropy(logits) + _cross_entropy(logits.T)) / 2)
    return np.array(losses)


def _cross_entropy(logits: np.ndarray) -> float:
    peaks = logits.max(1)
    return float((np.log(np.exp(logits - peaks[:, None]).sum(1)) + peaks - np.diag(logits)).mean())
