"""Copies are found by all their numbers, in whatever part of the rows they stand, and near ones are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis import copies as module
from engine.analysis.copies import copies


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 1e-20, -1.0]), min_size=1, max_size=40), st.integers(0, 40))
def test_copies_are_those_of_numpy_s_unique_in_the_order_they_come(values, cut):
    rows = np.array([[value, 2.0] for value in values])
    _, first, of, counts = np.unique(
        rows.astype(np.float32), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    found = copies(rows[:cut], rows[cut:].astype(np.float32))
    assert found.first.tolist() == sorted(first) and found.any == (len(first) < len(rows))
    assert found.first[found.of].tolist() == first[of.ravel()].tolist()
    assert found.counts.tolist() == counts[np.argsort(first)].tolist()


def test_near_ones_are_different_and_blocks_do_not_matter(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    rows = np.concatenate([rows, np.nextafter(rows, np.float32(9)), rows])
    whole = copies(rows)
    assert whole.first.tolist() == list(range(100)) and whole.of[100:].tolist() == list(range(50))
    monkeypatch.setattr(module, "_ROWS", 7)
    assert np.array_equal(copies(rows).of, whole.of)
    assert not copies(np.zeros((0, 3), np.float32)).any
