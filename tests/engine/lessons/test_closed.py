"""Lesson 8: what an edit closes of real CLIP's gap, and what it does not, against golden values."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.edits import Edit
from engine.analysis.gap import knn_purity, l2m, unit
from engine.errors import GapError
from engine.lessons.closed import CHOSEN, ladder, linear_accuracy
from engine.lessons.pairs import Pairs
from tests.helpers.golden import golden


def pairs(x, y):
    ids = tuple(f"{n}" for n in range(len(x)))
    return Pairs("c", "m", "image", "text", ids, tuple(f"t{one}" for one in ids), x, y, len(x), 0)


def test_centring_clip_on_all_rows_closes_the_centroids_and_leaves_7_per_cent_of_neighbours_across():
    x, y = golden("features_clip.npy")
    edited = Edit.fit("centre", x, y).apply(x, y)
    assert l2m(*edited) == pytest.approx(0.028, abs=1e-3)
    assert 1 - knn_purity(*edited, k=15) == pytest.approx(0.073, abs=2e-3)


def test_centring_clip_on_a_half_climbs_two_rungs_of_three_on_the_other():
    found = ladder(pairs(*golden("features_clip.npy")), "centre")
    assert (found.fitted, found.held, found.k) == (250, 250, 15)
    assert (found.before.l2m, found.before.linear) == (
        pytest.approx(0.85, abs=0.02),
        pytest.approx(1, abs=0.01),
    )
    assert found.before.crossing == 0 and found.climbed_before == 0
    assert found.after.l2m < found.l2m_limit < 0.2
    assert found.after.linear == pytest.approx(0.5, abs=0.045)  # two standard errors of guessing, n 500
    assert found.after.crossing == pytest.approx(0.13, abs=0.03)  # 0.07 where all rows fit the means
    assert found.climbed == 2


@pytest.mark.parametrize("edit", CHOSEN)
def test_a_gap_that_is_one_offset_is_closed_on_every_rung(edit):
    x, y = offset_pairs(400)
    found = ladder(pairs(x, y), edit)
    assert found.climbed_before == 0 and found.climbed == 3


def offset_pairs(n):
    """Return rows (n, 12) of two modalities that differ by one vector and noise, at unit length."""
    drawn = np.random.default_rng(5)
    away = np.zeros(12)
    away[0] = 0.5
    shared = drawn.normal(size=(n, 12)) * ([0.1] + [0.3] * 11)
    return [unit(shared + side * away + drawn.normal(size=(n, 12)) * 0.1) for side in (1, -1)]


def test_the_edit_and_the_classifier_know_only_the_first_half():
    x, y = offset_pairs(40)
    known, held = pairs(x, y).halves()
    edit = Edit.fit("centre", known.x, known.y)
    edited = edit.apply(held.x, held.y)
    found = ladder(pairs(x, y), "centre")
    assert found.after.l2m == pytest.approx(l2m(*edited))
    assert found.after.linear == linear_accuracy(edit.apply(known.x, known.y), edited)
    assert found.after.crossing == pytest.approx(1 - knn_purity(*edited, k=15))
    apart = found.before.places_x.mean(0) - found.before.places_y.mean(0)
    assert np.linalg.norm(apart) <= found.before.l2m + 1e-9 and apart[0] > 0.9 * found.before.l2m


def test_a_classifier_that_has_nothing_to_go_by_guesses_and_one_that_has_is_right():
    x, y = offset_pairs(40)
    assert linear_accuracy((x, x), (y, y)) == 0.5
    assert linear_accuracy((x, y), (x[:10], y[:10])) == 1


def test_four_pairs_are_enough_and_vectors_that_are_all_the_same_are_said():
    x, y = offset_pairs(4)
    found = ladder(pairs(x, y), "centre")
    assert (found.fitted, found.held, found.k) == (2, 2, 1)
    same = np.tile(unit(np.array([[1.0, 2.0, 3.0]])), (6, 1))
    with pytest.raises(GapError, match="leaves nothing"):
        ladder(pairs(same, same), "centre")
