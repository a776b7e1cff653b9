"""Lesson 11: the rerank funnel against golden values, and P21: an oracle, own scores, what may not move."""

from __future__ import annotations

import numpy as np
import pytest

from engine.lessons.rerank import KS, QUALITIES, first_stage, funnel, places, reranked, simulated
from tests.helpers.lesson_pairs import clip_pairs, drawn_pairs


def test_golden_ceilings_of_clip_and_a_noisy_reranker_that_does_harm():
    """GAP_SCIENCE.md, section 3.9, all 500 captions."""
    found = funnel(clip_pairs(), 20)
    assert list(found.ceilings) == list(KS)
    assert list(found.ceilings.values()) == pytest.approx([0.506, 0.766, 0.862, 0.942, 0.986, 1.0], abs=1e-3)
    assert (found.n, found.candidates, found.read) == (500, 500, 10_000)
    perfect, good, noisy, random = (found.outcomes[one] for one in QUALITIES)
    assert perfect.after == found.ceiling == found.ceilings[20]
    assert (perfect.captured, perfect.lost) == (1.0, 0)
    assert found.before < good.after < found.ceiling and good.lost > 0
    assert noisy.after < found.before and noisy.lost > noisy.won
    assert random.after == pytest.approx(found.ceiling / 20, abs=0.03)


def test_p21_only_the_head_moves_and_its_ceiling_holds():
    lists = first_stage(drawn_pairs(40, noise=1.5, seed=2))
    for top in (1, 3, 10, 40):
        scores = np.random.default_rng(top).normal(size=(40, top))
        after = reranked(lists, scores)
        assert (after[:, top:] == lists[:, top:]).all()
        assert (np.sort(after[:, :top]) == np.sort(lists[:, :top])).all()
        for k in range(1, top + 1):
            assert (places(after) <= k).mean() <= (places(lists) <= top).mean()


def test_p21_own_scores_and_equal_ones_change_nothing_and_an_oracle_reaches_the_ceiling():
    pairs = drawn_pairs(40, noise=1.5, seed=2)
    lists = first_stage(pairs)
    cosines = np.take_along_axis(pairs.y @ pairs.x.T, lists, axis=1)
    assert (reranked(lists, cosines[:, :10]) == lists).all()
    assert (reranked(lists, np.zeros((40, 10))) == lists).all()
    oracle = reranked(lists, simulated(lists, "perfect", np.zeros((40, 10))))
    assert 0 < (places(lists) <= 1).mean() < (places(oracle) <= 1).mean() == (places(lists) <= 10).mean()


def test_wins_and_losses_are_the_change_and_k_runs_on_the_same_noise():
    found = funnel(drawn_pairs(40, noise=1.5, seed=2), 10)
    for one in found.outcomes.values():
        assert (one.won - one.lost) / 40 == pytest.approx(one.after - found.before) == one.change.mean
        assert one.after == found.by_k[one.quality][10] and found.by_k[one.quality][1] == found.before
    assert list(found.ceilings) == [1, 5, 10, 20]  # of 40 candidates


def test_four_pairs_are_enough_and_where_nothing_can_be_gained_no_share_is_told():
    found = funnel(drawn_pairs(4, gap=0, noise=0), 20)
    assert (found.top, found.before, found.read) == (4, 1.0, 16)
    assert {one.captured for one in found.outcomes.values()} == {None}
    assert found.outcomes["random"].lost >= 0 and found.outcomes["perfect"].lost == 0
