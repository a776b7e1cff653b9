"""Hubs: items that are among the nearest of far too many questions, and items that are so for none.

Pure; which questions and which items is the caller's choice. Sources: Radovanović et al. 2010 (skewness of
N_k), Feldbauer et al. 2018 (Robin Hood index, antihubs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 1_000


@dataclass(frozen=True)
class Hubness:
    """How unequally the places among the k nearest are given to `documents` by `questions`.

    `skew` is the third standardised moment of N_k (0: even; a random sphere has about 0.14; None where all
    have as many); `robin_hood` in [0, 1) the share of places that would have to change hands to make it even;
    `antihubs` in [0, 1) the share of documents that are never found.
    """

    k: int
    questions: int
    documents: int
    skew: float | None
    robin_hood: float
    antihubs: float


def neighbour_counts(questions: np.ndarray, documents: np.ndarray, *, k: int = 10) -> np.ndarray:
    """Return N_k: for each document how many questions have it among their k nearest by cosine.

    questions (q, d), documents (n, d): unit rows of any float dtype, 1 <= k <= n. Returns (n,) int64, which
    sums to q * k. Raises ValueError for another k.
    """
    if not 1 <= k <= len(documents):
        raise ValueError(f"k is {k}; it must be 1 to {len(documents)}")
    counts = np.zeros(len(documents), np.int64)
    for start in range(0, len(questions), _BLOCK):
        counts += counts_by_cosine(questions[start : start + _BLOCK] @ documents.T, k=k)
    return counts


def counts_by_cosine(cosines: np.ndarray, *, k: int) -> np.ndarray:
    """Return N_k of each document: cosines (q, n) of any float dtype, 1 <= k <= n -> (n,) int64."""
    count = cosines.shape[1]
    nearest = np.argpartition(cosines, count - k, axis=1)[:, count - k :]
    return np.bincount(nearest.ravel(), minlength=count)


def hubness(questions: np.ndarray, documents: np.ndarray, *, k: int = 10) -> Hubness:
    """Return how unequally documents are found by questions.

    questions (q, d), documents (n, d): unit rows of any float dtype, q >= 1, 1 <= k <= n. Raises ValueError
    for another k or no question.
    """
    if not len(questions):
        raise ValueError("without a question nothing is found")
    return hubness_of_counts(neighbour_counts(questions, documents, k=k), questions=len(questions), k=k)


def hubness_of_counts(counts: np.ndarray, *, questions: int, k: int) -> Hubness:
    """Return how unequal N_k are: counts (n,) int64, of so many questions with k places each."""
    even = counts.mean()
    spread = counts.std()
    return Hubness(
        k=k,
        questions=questions,
        documents=len(counts),
        skew=float((((counts - even) / spread) ** 3).mean()) if spread else None,
        robin_hood=float(np.abs(counts - even).sum() / (2 * counts.sum())),
        antihubs=float((counts == 0).mean()),
    )
