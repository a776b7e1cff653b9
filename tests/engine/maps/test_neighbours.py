"""Neighbours found by blocks are scikit-learn's, and every row is its own nearest."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from engine.maps import neighbours
from engine.progress import CancelledError, Watch
from tests.helpers.data import unit_table


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("n", "k", "pairs"), [(300, 15, 8_000_000), (300, 15, 300 * 37), (20, 20, 1), (2, 1, 9)]
)
def test_they_are_those_of_scikit_learn(monkeypatch, metric, n, k, pairs):
    monkeypatch.setattr(neighbours, "_PAIRS", pairs)
    vectors = unit_table(n, 24).vectors
    rows, distances = neighbours.exact(vectors, k, metric)
    theirs = NearestNeighbors(n_neighbors=k, metric=metric).fit(vectors.astype(np.float64))
    far, near = theirs.kneighbors(vectors.astype(np.float64))
    assert rows.shape == distances.shape == (n, k) and distances.dtype == np.float32
    assert (rows[:, 0] == np.arange(n)).all() and (distances[:, 0] == 0).all()
    # Float32 against float64: where two are as near to the seventh digit, either may come first.
    assert distances == pytest.approx(far, abs=1e-3)
    assert np.mean([len(set(a) & set(b)) / k for a, b in zip(rows, near, strict=True)]) > 0.999
    assert (np.diff(distances, axis=1) >= 0).all()


def test_copies_of_a_row_are_its_neighbours_and_it_comes_first():
    vectors = np.repeat(unit_table(5, 8).vectors, 6, axis=0)
    rows, distances = neighbours.exact(vectors, 6, "cosine")
    assert (rows[:, 0] == np.arange(30)).all() and (rows // 6 == (np.arange(30) // 6)[:, None]).all()
    assert distances == pytest.approx(0, abs=1e-6)


def test_a_block_is_never_larger_than_memory_is_given_for(monkeypatch):
    seen, real = [], neighbours.nearest
    monkeypatch.setattr(neighbours, "_PAIRS", 5_000)
    monkeypatch.setattr(neighbours, "nearest", lambda scores, k: seen.append(scores.size) or real(scores, k))
    neighbours.exact(unit_table(100).vectors, 3, "cosine")
    assert max(seen) <= 5_000 and len(seen) == 2


def test_a_cancel_is_heard_between_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "_PAIRS", 1_000)
    shares: list[float] = []
    with pytest.raises(CancelledError):
        neighbours.exact(
            unit_table(100).vectors, 3, "cosine", Watch(shares.append, lambda: len(shares) == 4, high=0.5)
        )
    assert shares == pytest.approx([0, 0.05, 0.1, 0.15])
