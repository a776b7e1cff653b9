"""Vectors kept smaller, and searched as they are kept: cut to a width, int8, sign bits, bits with rescoring.

Pure; knows no items and no store. int8 and bits are encoded as `sentence_transformers.quantize_embeddings`
does it. Every search is exact: each question is compared with everything that is kept. Sources: Kusupati et
al. 2022 (Matryoshka representation learning, for cutting), Yamada et al. 2021 (bits with rescoring).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from engine.vectors import normalise, truncate

OVERSAMPLE = 4  # candidates that rescoring looks at, as a multiple of k
_LEVELS = 255  # steps between the lowest and the highest of the 256 values of a byte
Codes = tuple[np.ndarray, ...]


class Scheme(Protocol):
    """A way to keep vectors; what is kept has one row for each vector in every array of it."""

    def encode(self, rows: np.ndarray) -> Codes:
        """Return what is kept of rows (n, d), unit rows float32: arrays (n, width) of any dtype."""

    def scores(self, questions: np.ndarray, codes: Codes, k: int) -> np.ndarray:
        """Return how near questions (q, d), unit rows float32, are to all that is kept: (q, n) float32.

        codes: arrays (n, width) of `encode`. Higher is nearer, and good for the first k: what a search for k
        does not look at is -infinity.
        """

    def decode(self, codes: Codes) -> np.ndarray:
        """Return the vectors that codes, arrays (n, width), stand for: (n, w) float32, of any length."""


@dataclass(frozen=True)
class Cut:
    """The first `width` numbers of a vector, made unit length again; at the full width all of it."""

    width: int

    def encode(self, rows: np.ndarray) -> Codes:
        """Return rows (n, d) float32 cut: one array (n, width) float32.

        Raises ValueError for a row of which nothing is left.
        """
        return (normalise(truncate(rows, self.width)),)

    def scores(self, questions: np.ndarray, codes: Codes, k: int) -> np.ndarray:
        """Return the cosine of each of questions (q, d) float32, cut as well, with codes: (q, n) float32."""
        return np.asarray(self.encode(questions)[0] @ codes[0].T)

    def decode(self, codes: Codes) -> np.ndarray:
        """Return codes as they are: (n, width) float32."""
        return codes[0]


@dataclass(frozen=True)
class Int8:
    """A byte for each number: which of 256 equal steps between the ends of its dimension it lies in.

    `starts` and `steps` (d,) float32 are taken from calibration rows; a number beyond their ends takes the
    nearest step. A code stands for the middle of its step.
    """

    starts: np.ndarray = field(repr=False)
    steps: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, rows: np.ndarray) -> Int8:
        """Take the lowest and the highest number of each dimension from rows (n, d) float32, n >= 1."""
        low, high = rows.min(0), rows.max(0)
        steps = (high - low) / _LEVELS
        return cls(low, np.where(steps == 0, np.float32(1), steps))

    def encode(self, rows: np.ndarray) -> Codes:
        """Return rows (n, d) float32 as bytes: one array (n, d) int8."""
        places = np.clip(np.floor((rows - self.starts) / self.steps), 0, _LEVELS)
        return ((places - 128).astype(np.int8),)

    def scores(self, questions: np.ndarray, codes: Codes, k: int) -> np.ndarray:
        """Return the product of questions (q, d) float32 with what codes stand for: (q, n) float32."""
        near = (questions * self.steps) @ codes[0].astype(np.float32).T
        return np.asarray(near + (questions @ self._middle)[:, None])

    def decode(self, codes: Codes) -> np.ndarray:
        """Return the middle of each step of codes, (n, d) int8: (n, d) float32."""
        return np.asarray(codes[0] * self.steps + self._middle)

    @property
    def _middle(self) -> np.ndarray:
        """Return what the code 0 stands for (d,) float32."""
        return self.starts + np.float32(128.5) * self.steps


@dataclass(frozen=True)
class Bits:
    """A bit for each of `dim` numbers: whether it is above 0; near is what differs in few bits (Hamming)."""

    dim: int

    def encode(self, rows: np.ndarray) -> Codes:
        """Return rows (n, d) of any float dtype as bits, 8 in a byte: one array (n, ceil(d / 8)) uint8."""
        return (np.packbits(rows > 0, axis=-1),)

    def scores(self, questions: np.ndarray, codes: Codes, k: int) -> np.ndarray:
        """Return 1 - 2 Hamming / d of the bits of questions (q, d) with codes: (q, n) float32.

        It is the cosine of the signs.
        """
        return 1 - np.float32(2 / self.dim) * hamming(self.encode(questions)[0], codes[0])

    def decode(self, codes: Codes) -> np.ndarray:
        """Return the signs of codes, (n, ceil(d / 8)) uint8, as 1 and -1: (n, d) float32."""
        return 2 * np.unpackbits(codes[0], axis=-1, count=self.dim).astype(np.float32) - 1


@dataclass(frozen=True)
class Rescored:
    """Bits to find OVERSAMPLE * k candidates by, and bytes by which the question itself orders these."""

    bits: Bits
    int8: Int8

    def encode(self, rows: np.ndarray) -> Codes:
        """Return rows (n, d) float32 as bits (n, ceil(d / 8)) uint8 and as bytes (n, d) int8."""
        return (*self.bits.encode(rows), *self.int8.encode(rows))

    def scores(self, questions: np.ndarray, codes: Codes, k: int) -> np.ndarray:
        """Return the product of questions (q, d) float32 with the bytes of their candidates in codes.

        Returns (q, n) float32, -infinity for what is none. Of those at one Hamming distance, the first rows
        become candidates.
        """
        apart = hamming(self.bits.encode(questions)[0], codes[0])
        q, n = apart.shape
        found = np.full((q, n), -np.inf, np.float32)
        count = min(n, OVERSAMPLE * k)
        order = apart.astype(np.int64) * n + np.arange(n)  # no two alike
        nearest = np.argpartition(order, count - 1, axis=1)[:, :count]  # (q, count)
        vectors = self.int8.decode((codes[1][nearest],))  # (q, count, d)
        np.put_along_axis(found, nearest, np.einsum("qd,qcd->qc", questions, vectors), axis=1)
        return found

    def decode(self, codes: Codes) -> np.ndarray:
        """Return what the bytes of codes, (n, d) int8, stand for: (n, d) float32."""
        return self.int8.decode(codes[1:])


def hamming(questions: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Return in how many bits questions (q, b) uint8 differ from documents (n, b) uint8: (q, n) int32."""
    if questions.shape[1] % 8 == 0:  # eight bytes at once
        questions, documents = questions.view(np.uint64), documents.view(np.uint64)
    return np.bitwise_count(questions[:, None] ^ documents).sum(-1, dtype=np.int32)


def first(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of the k highest of scores (n,), any float dtype, best first: (at most k,) int64."""
    k = min(k, len(scores))
    found = np.argpartition(-scores, k - 1)[:k]
    return found[np.argsort(-scores[found], kind="stable")]


def bytes_per_vector(codes: Codes) -> int:
    """Return what a vector takes as it is kept, in bytes; codes: arrays (n, width) of any dtype, n >= 1."""
    return sum(one[0].nbytes for one in codes)
