"""Hubs: golden values of real CLIP, the counts, and what is even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew

from engine.analysis.gap import unit
from engine.analysis.hubness import hubness, neighbour_counts
from tests.helpers.golden import golden


def test_p26_golden_hubs_of_clip():
    x, y = golden("features_clip.npy")
    assert [hubness(x, y).skew, hubness(y, x).skew] == pytest.approx([1.65, 2.36], abs=5e-3)


@given(st.integers(1, 30), st.integers(1, 20), st.data())
@settings(max_examples=30)
def test_p17_the_counts_sum_to_the_places_there_are(questions, documents, data):
    k = data.draw(st.integers(1, documents))
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    counts = neighbour_counts(chance.normal(size=(questions, 4)), chance.normal(size=(documents, 4)), k=k)
    assert counts.sum() == questions * k and (counts <= questions).all()


def test_p10_a_random_sphere_has_few_hubs():
    x, y = (unit(np.random.default_rng(seed).normal(size=(1_000, 8))) for seed in (0, 1))
    found = hubness(x, y)
    assert abs(found.skew) < 0.3 and found.antihubs < 0.01
    assert found.skew == pytest.approx(skew(neighbour_counts(x, y)), abs=1e-12)


def test_one_that_all_find_is_the_largest_hub_there_can_be():
    documents = np.eye(4)
    found = hubness(np.tile(documents[:1], (8, 1)), documents, k=1)
    assert (found.robin_hood, found.antihubs, found.questions, found.documents) == (0.75, 0.75, 8, 4)
    even = hubness(documents, documents, k=1)
    assert (even.skew, even.robin_hood, even.antihubs) == (None, 0, 0)


def test_neighbours_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="1 to 3"):
        neighbour_counts(np.eye(3), np.eye(3), k=4)
    with pytest.raises(ValueError, match="question"):
        hubness(np.eye(3)[:0], np.eye(3), k=1)
