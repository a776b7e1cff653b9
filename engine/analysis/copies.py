"""Which of many vectors are the same, found by their bytes: near ones are never taken for copies. Pure.

A map and its clusters are made of the different vectors, as a hundred copies of one are a single place: to
UMAP they are a hundred points with no neighbour but each other, and to HDBSCAN an infinite density.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

_ROWS = 10_000  # at once: a million rows are not to be copied
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Copies:
    """The different vectors among n: `first` (u,) int64 is the first row of each, rising.

    `of` (n,) int64 is the place in `first` of every row's vector, `counts` (u,) int64 how often it occurs.
    """

    first: np.ndarray = field(repr=False)
    of: np.ndarray = field(repr=False)
    counts: np.ndarray = field(repr=False)

    @property
    def any(self) -> bool:
        """Tell whether any vector occurs twice."""
        return len(self.first) < len(self.of)


def copies(*parts: np.ndarray) -> Copies:
    """Return which rows of some parts are the same; rows are numbered on from part to part.

    parts: arrays (n, d) of one width, any float dtype. Two rows are the same where all their numbers are, as
    float32; -0 is 0.
    """
    seen: dict[bytes, int] = {}
    of: list[int] = []
    for part in parts:
        for start in range(0, len(part), _ROWS):
            rows = np.asarray(part[start : start + _ROWS], np.float32) + np.float32(0)  # of -0 it makes 0
            digests = (blake2b(row, digest_size=_DIGEST_BYTES).digest() for row in rows)
            of += [seen.setdefault(digest, len(seen)) for digest in digests]
    known = np.array(of, np.int64)
    _, first, counts = np.unique(known, return_index=True, return_counts=True)
    return Copies(first.astype(np.int64), known, counts.astype(np.int64))
