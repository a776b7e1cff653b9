"""Vectors kept smaller: against sentence-transformers' quantisation and plain loops, and what must hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.compression import Bits, Cut, Int8, Rescored, bytes_per_vector, first, hamming
from engine.analysis.gap import unit


def drawn(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, dim)) + 0.3).astype(np.float32)


SHAPES = given(
    n=st.integers(2, 30), dim=st.integers(1, 70), seed=st.integers(0, 1_000)
)  # also widths of no whole byte


@pytest.fixture(scope="module")
def theirs() -> Iterator[ModuleType]:
    """Return sentence-transformers' quantisation without the rest of it, which takes long to import."""
    folder = Path(find_spec("sentence_transformers").origin).parent / "util"
    package = ModuleType("util_alone")
    package.__path__ = [str(folder)]
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "util_alone", package)
        yield import_module("util_alone.quantization")
    for name in set(sys.modules) - before:
        if name.startswith("util_alone."):
            del sys.modules[name]


@settings(max_examples=40)
@SHAPES
def test_bytes_and_bits_are_those_of_sentence_transformers(theirs, n, dim, seed):
    fitted, rows = drawn(n, dim, seed), drawn(n, dim, seed + 1)
    int8 = Int8.fit(fitted)
    wanted = theirs.quantize_embeddings(rows, "int8", calibration_embeddings=fitted)
    [ours] = int8.encode(rows)
    assert ours.dtype == np.int8 and np.array_equal(ours, wanted)
    lower_ends = theirs._dequantize_embeddings(wanted, "int8", np.stack([fitted.min(0), fitted.max(0)]))
    assert int8.decode((ours,)) == pytest.approx(lower_ends + int8.steps / 2, abs=1e-5)
    [bits] = Bits(dim).encode(rows)
    assert np.array_equal(bits, theirs.quantize_embeddings(rows, "ubinary"))


@settings(max_examples=40)
@SHAPES
def test_scores_are_products_with_what_codes_stand_for(n, dim, seed):
    rows, questions = drawn(n, dim, seed), drawn(3, dim, seed + 1)
    signs = np.where(questions > 0, 1, -1) / np.sqrt(dim)
    for scheme, asked in ((Int8.fit(rows), questions), (Bits(dim), signs)):
        codes = scheme.encode(rows)
        kept = scheme.decode(codes)
        kept = kept / np.sqrt(dim) if isinstance(scheme, Bits) else kept
        assert scheme.scores(questions, codes, 1) == pytest.approx(asked @ kept.T, abs=1e-5)


@settings(max_examples=40)
@SHAPES
def test_hamming_counts_the_signs_that_differ(n, dim, seed):
    rows, questions = drawn(n, dim, seed), drawn(4, dim, seed + 1)
    [bits_q], [bits] = Bits(dim).encode(questions), Bits(dim).encode(rows)
    loop = [[sum((q > 0) != (r > 0)) for r in rows] for q in questions]
    assert np.array_equal(hamming(bits_q, bits), loop)


def test_a_byte_is_at_most_half_a_step_off_within_the_ends_and_clipped_beyond():
    fitted = drawn(50, 8)
    int8 = Int8.fit(fitted)
    assert (np.abs(int8.decode(int8.encode(fitted)) - fitted) <= int8.steps / 2 + 1e-6).all()
    [beyond] = int8.encode(np.stack([fitted.min(0) - 1, fitted.max(0) + 1]))
    assert set(beyond[0]) == {-128} and set(beyond[1]) == {127}


def test_a_dimension_that_is_always_the_same_is_kept():
    rows = drawn(6, 4)
    rows[:, 2] = 0.25
    int8 = Int8.fit(rows)
    codes = int8.encode(rows)
    assert len(set(codes[0][:, 2])) == 1 and np.isfinite(int8.decode(codes)).all()


def test_a_cut_is_the_first_numbers_at_unit_length_and_of_the_full_width_the_vector():
    rows = drawn(9, 12)
    [cut] = Cut(5).encode(rows)
    assert cut == pytest.approx(rows[:, :5] / np.linalg.norm(rows[:, :5], axis=1, keepdims=True), abs=1e-6)
    assert Cut(12).scores(rows, Cut(12).encode(rows), 1) == pytest.approx(rows @ rows.T, abs=1e-6)
    with pytest.raises(ValueError, match="zero"):
        Cut(1).encode(np.float32([[0, 1]]))


@pytest.mark.parametrize("k", [1, 3, 40])
def test_rescoring_is_a_plain_loop_over_four_times_k_candidates(k):
    rows, questions = drawn(60, 24), drawn(5, 24, 1)
    bits, int8 = Bits(24), Int8.fit(rows)
    scheme = Rescored(bits, int8)
    codes = scheme.encode(rows)
    scores = scheme.scores(questions, codes, k)
    kept = scheme.decode(codes)
    for question, found in zip(questions, scores, strict=True):
        apart = [int(((question > 0) != (row > 0)).sum()) for row in rows]
        candidates = sorted(range(60), key=lambda row: (apart[row], row))[: 4 * k]
        assert sorted(np.flatnonzero(np.isfinite(found))) == sorted(candidates)
        best = sorted(candidates, key=lambda row: -float(question @ kept[row]))
        assert first(found, k).tolist() == best[:k]


def test_what_a_vector_takes_is_counted():
    rows = drawn(3, 20)
    bits, int8 = Bits(20), Int8.fit(rows)
    taken = [
        bytes_per_vector(one.encode(rows)) for one in (Cut(20), Cut(8), int8, bits, Rescored(bits, int8))
    ]
    assert taken == [80, 32, 20, 3, 23]


def test_the_first_are_the_highest_and_no_more_than_there_are():
    assert first(np.float32([0.1, 0.9, 0.5]), 2).tolist() == [1, 2]
    assert first(np.float32([0.1, 0.9, 0.5]), 9).tolist() == [1, 2, 0]
