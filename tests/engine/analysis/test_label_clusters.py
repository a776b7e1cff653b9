"""Clusters against labels: what a gap does to them, what cannot be told, and vectors that are the same."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import unit
from engine.analysis.label_clusters import label_clusters


def two_kinds(apart: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return 20 + 20 rows of two labels, which lie 2 from each other, and modalities this far apart."""
    chance = np.random.default_rng(0)
    of = np.repeat([1.0, -1.0], 10)
    sides = []
    for side in (apart / 2, -apart / 2):
        rows = chance.normal(size=(20, 6)) * 0.05
        rows[:, 0] += of
        rows[:, 1] += side
        sides.append(unit(rows))
    return sides[0], sides[1], ["cat" if one > 0 else "dog" for one in of] * 2


def test_without_a_gap_clusters_are_the_labels_and_with_a_wide_one_the_modalities():
    mixed = label_clusters(*two_kinds(0.0))
    assert (mixed.v_measure, mixed.lowest, mixed.one_modality) == (1.0, 1.0, 0.0)
    assert (mixed.rows, mixed.labels) == (40, 2)
    islands = label_clusters(*two_kinds(8.0))
    assert islands.highest == pytest.approx(0, abs=1e-9) and islands.one_modality == 1.0


def test_rows_without_a_label_are_left_out():
    x, y, labels = two_kinds(0.0)
    found = label_clusters(x, y, ["", *labels[1:]])
    assert (found.rows, found.v_measure) == (39, 1.0)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([""] * 40, "No item has a label"),
        (["one"] * 40, "1 different labels"),
        ([f"label {n}" for n in range(40)], "40 different labels"),
    ],
)
def test_labels_that_tell_nothing_are_said(labels, why):
    x, y, _ = two_kinds(0.0)
    assert why in label_clusters(x, y, labels)


def test_fewer_different_vectors_than_labels_are_clustered_as_far_as_they_differ():
    row = unit(np.ones((1, 3)))
    x = np.tile(row, (6, 1))
    labels = [*"aabbcc"] * 2
    assert "All vectors are the same" in label_clusters(x, x, labels)
    found = label_clusters(x, -x, labels)
    assert found.one_modality == 1.0 and found.v_measure == pytest.approx(0, abs=1e-9)
