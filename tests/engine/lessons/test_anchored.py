"""Lesson 12: pictures as means of captions, against golden values, Pocket's own ConSE and its properties."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import unit
from engine.lessons.anchored import SHARPNESS, anchor, anchor_weights, anchored
from engine.models.pocket.image import conse
from tests.helpers.lesson_pairs import clip_pairs, drawn_pairs, pairs_of


def test_golden_anchored_pictures_of_clip():
    """GAP_SCIENCE.md, section 3.10, on its own split; R@1 of T = 1 hangs on how ties are counted."""
    found = anchored(clip_pairs(seed=1), (1, 10, 50))
    assert (found.raw.l2m, found.raw.r1, found.raw.share) == pytest.approx((0.857, 0.600, 0.0), abs=1e-3)
    spaces = found.by_top.values()
    assert [one.l2m for one in spaces] == pytest.approx([0.074, 0.104, 0.109], abs=1e-3)  # ".07 to .11"
    assert [one.r1 for one in spaces] == pytest.approx([0.084, 0.264, 0.284], abs=5e-3)
    assert [one.share for one in spaces] == pytest.approx([0.53, 0.81, 0.83], abs=0.01)
    assert [one.distinct for one in spaces] == [128, 250, 250]
    assert found.changes[10].high < 0


def test_other_splits_of_clip_are_near():
    found = anchored(clip_pairs(seed=0), (1, 10))
    assert [one.r1 for one in found.by_top.values()] == pytest.approx([0.084, 0.264], abs=0.05)
    assert found.by_top[1].distinct == pytest.approx(128, abs=15)


@pytest.mark.parametrize("top", [1, 3, 20])
def test_p22_weights_are_a_mean_and_anchors_bound_it(top):
    held, anchors = drawn_pairs(15, seed=1).x, drawn_pairs(20, seed=2).y
    best, weights = anchor_weights(held, anchors, top=top)
    assert (weights >= 0).all() and weights.sum(1) == pytest.approx(np.ones(15))
    assert (np.linalg.norm(np.einsum("nt,ntd->nd", weights, anchors[best]), axis=1) <= 1 + 1e-12).all()


def test_p22_one_anchor_is_the_nearest_itself():
    held, anchors = drawn_pairs(15, seed=1).x, drawn_pairs(20, seed=2).y
    assert anchor(held, anchors, top=1) == pytest.approx(anchors[np.argmax(held @ anchors.T, axis=1)])


def test_it_is_pockets_conse_of_a_softmax_over_all_anchors():
    held, anchors = drawn_pairs(15, seed=1).x, drawn_pairs(20, seed=2).y
    logits = SHARPNESS * held @ anchors.T
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    theirs = conse(probabilities.astype(np.float32), anchors.astype(np.float32), 5)
    assert anchor(held, anchors, top=5) == pytest.approx(theirs, abs=1e-5)


def test_few_pairs_copies_and_anchors_that_cancel_out():
    few = anchored(drawn_pairs(4), (1, 50))
    assert (few.anchors, few.raw.n, few.raw.k) == (2, 2, 2)
    same = unit(np.ones((8, 5)))
    assert anchored(pairs_of(same, same), (10,)).by_top[10].distinct == 1
    opposite = np.array([[1.0, 0], [-1.0, 0]])
    assert anchor(np.array([[0.0, 1.0]]), opposite, top=2) == pytest.approx(opposite[:1])
