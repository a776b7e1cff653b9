"""Vectors that are codes of a quantisation: recognised, refused in words, unpacked where asked. Pure.

The formats are those of Sentence Transformers' `quantize_embeddings`: `binary` and `ubinary` pack 8 signs
into a number (with 128 taken off, or not), `int8` and `uint8` are steps of each dimension's own range. The
codes of other programs are the same, or int8 with one scale and zero at zero.
"""

from __future__ import annotations

import numpy as np

from engine.vector_files.reading import Unpack

_CODE_TYPES = ("int8", "uint8")
_LEAST_WIDTH = 16  # packed bits of 128 dimensions; who writes fewer whole numbers counts something
# An eighth of the widths that models have: what is packed bits may have been written as any type of number.
_EIGHTHS = frozenset(
    width // 8
    for width in (
        *(128, 192, 256, 320, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792),
        *(2048, 2304, 2560, 3072, 3584, 4096),
    )
)
_OFFSET = 128
_SIGNS = 2  # from the least number to the most where they are 0 and 1, or -1 and 1: bits unpacked already


class Codes:
    """What the numbers of a file look like, batch by batch; `numbers` is their type in the file."""

    def __init__(self, numbers: str, width: int) -> None:
        self._numbers, self._width = numbers, width
        self._whole, self._low, self._high = True, np.inf, -np.inf

    def add(self, vectors: np.ndarray) -> None:
        """Take vectors (n, d), any float dtype, into account; NaN are of no vector."""
        if not self._whole:
            return
        values = vectors[np.isfinite(vectors)]
        if len(values):
            self._low, self._high = min(self._low, values.min()), max(self._high, values.max())
            self._whole = bool((values == np.rint(values)).all())

    @property
    def settled(self) -> bool:
        """Tell whether more vectors cannot change what the numbers are."""
        return not self._whole or self._numbers in _CODE_TYPES

    @property
    def _in_a_byte(self) -> bool:
        signed = self._low >= -_OFFSET and self._high < _OFFSET
        return self._whole and (signed or 0 <= self._low <= self._high < 2 * _OFFSET)

    @property
    def offset(self) -> int | None:
        """Return what was taken off each code, 128 or 0; None where that cannot be told."""
        if self._numbers in _CODE_TYPES:
            return _OFFSET if self._numbers == "int8" else 0
        return _OFFSET if self._low < 0 else 0 if self._high >= _OFFSET else None

    def problem(self, unpack: Unpack, *, ranged: bool = False) -> str:
        """Return in words why the numbers cannot be taken so; empty where they can.

        ranged tells that the ranges of int8 are known.
        """
        codes, problem = self._in_a_byte, ""
        shown = f"its vectors are {self._numbers} from {self._low:,g} to {self._high:,g}"
        if not unpack:
            problem = self._unasked(shown) if codes and self._suspicious else ""
        elif unpack != "none" and not codes:
            problem = f"{shown}, which are codes of no quantisation: leave --unpack out"
        elif unpack == "int8" and not ranged:
            if self.offset == 0:
                problem = f"{shown}: such codes have no zero of their own, so that their --ranges are needed"
        elif unpack != "none" and self.offset is None:
            save = "save them as int8 (it was) or uint8 (it was not)"
            problem = f"{shown}, which does not tell whether 128 was taken off them: {save}"
        return problem

    @property
    def _suspicious(self) -> bool:
        if not self._high - self._low > _SIGNS:
            return False
        if self._numbers in _CODE_TYPES:
            return True
        if self._width < _LEAST_WIDTH:
            return False
        return "int" in self._numbers or self._width in _EIGHTHS

    def _unasked(self, shown: str) -> str:
        return (
            f"{shown} in {self._width:,} columns: codes of a quantisation, whose cosines mean nothing. Save "
            f"the vectors as floats, or say what the codes are: --unpack binary (packed bits of "
            f"{8 * self._width:,} dimensions), --unpack int8 (steps of a scale; with --ranges where each "
            f"dimension has its own), or --unpack none to take the numbers as they are. The Library page has "
            f"a box for it"
        )


def unpacked_width(width: int, unpack: Unpack) -> int:
    """Return the width of what becomes of vectors of some width."""
    return 8 * width if unpack == "binary" else width


def unpacked(
    vectors: np.ndarray, unpack: Unpack, offset: int, ranges: np.ndarray | None = None
) -> np.ndarray:
    """Return what codes stand for: vectors (n, d) -> (n, 8 d or d) float32; a row with NaN is NaN.

    vectors: whole numbers in a byte's range, any float dtype. Bits become 1 and -1. int8: with ranges (2, d)
    float, each dimension's least and most, the middle of every step; without them the codes as they are.
    """
    known = np.isfinite(vectors).all(axis=1)
    out = np.full((len(vectors), unpacked_width(vectors.shape[1], unpack)), np.nan, np.float32)
    if unpack == "binary":
        codes = (vectors[known] + offset).astype(np.uint8)
        out[known] = 2.0 * np.unpackbits(codes, axis=1) - 1
    elif ranges is None:
        out[known] = vectors[known]
    else:
        steps = (ranges[1] - ranges[0]) / 255
        out[known] = (vectors[known] + offset + 0.5) * steps + ranges[0]
    return out
