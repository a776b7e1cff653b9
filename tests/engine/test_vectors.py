"""Proves the vector arithmetic in double precision; a row without direction is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.vectors import cosine, normalise, truncate


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=st.floats(-1e6, 1e6)))
def test_rows_get_unit_length_and_keep_their_direction(vectors):
    if (vectors == 0).all(axis=1).any():
        with pytest.raises(ValueError, match="zero"):
            normalise(vectors)
        return
    unit = normalise(vectors)
    peaks = np.abs(vectors).max(axis=1, keepdims=True)
    norms = peaks * np.linalg.norm(vectors / peaks, axis=1, keepdims=True)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit * norms, vectors, rtol=1e-5, atol=1e-6 * norms.max())


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1, 1e30])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scale_and_dtype_do_not_matter(scale, dtype):
    row = np.array([[3.0, 4.0]]) * (1 if dtype == np.float16 else scale)
    np.testing.assert_allclose(normalise(row.astype(dtype)), [[0.6, 0.8]], rtol=1e-3)


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [-np.inf, np.inf]])
def test_a_row_without_direction_is_refused(bad):
    with pytest.raises(ValueError, match="cannot be normalised"):
        normalise(np.array([[1.0, 0.0], bad]))


def test_no_rows_stay_no_rows():
    assert normalise(np.zeros((0, 4))).shape == (0, 4)


def test_the_input_is_not_changed():
    vectors = np.array([[3.0, 4.0]])
    normalise(vectors)
    assert vectors.tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("dim", [1, 3, 8])
def test_a_width_is_cut_from_the_front(dim):
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    narrow = truncate(vectors, dim)
    assert (narrow.shape, narrow.dtype) == ((5, dim), np.float32)
    assert (narrow == vectors[:, :dim]).all()
    if dim < 8:
        assert not np.allclose(np.linalg.norm(truncate(normalise(vectors), dim), axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(normalise(narrow), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dim", [0, -1, 9])
def test_a_width_that_is_not_there_is_refused(dim):
    with pytest.raises(ValueError, match=f"a width of {dim} cannot be cut from vectors of 8"):
        truncate(np.ones((2, 8)), dim)


def test_a_width_is_cut_from_no_rows():
    assert truncate(np.zeros((0, 8), np.float32), 4).shape == (0, 4)


def test_cosine_of_every_pair():
    rng = np.random.default_rng(0)
    a, b = normalise(rng.normal(size=(3, 16))), normalise(rng.normal(size=(5, 16)))
    wanted = [[float(np.dot(x.astype(np.float64), y)) for y in b] for x in a]
    np.testing.assert_allclose(cosine(a, b), wanted, atol=1e-6)


def test_cosine_never_leaves_its_range():
    rows = normalise(np.random.default_rng(1).normal(size=(200, 384)))
    found = cosine(rows, np.vstack([rows, -rows]))
    assert found.max() <= 1
    assert found.min() >= -1
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-6)
