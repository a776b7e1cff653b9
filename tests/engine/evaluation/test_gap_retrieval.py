"""Retrieval between the modalities of a collection: golden values of real CLIP, and the rules of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.gap import l2m, unit
from engine.evaluation import gap_retrieval
from engine.evaluation.gap_retrieval import best_ranks, retrieval
from engine.evaluation.metrics import measures, ranks_by_score
from engine.progress import CancelledError, Watch
from tests.helpers.golden import golden

quick = settings(max_examples=30, deadline=None)


def drawn(seed: int, n: int = 20, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, d))
    return tuple(unit(shared + 0.7 * chance.normal(size=(n, d)) + side) for side in (0.5, -0.5))


def ranks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return best_ranks(x, y, range(len(x)), range(len(y)))


def both_ways(x: np.ndarray, y: np.ndarray):
    return retrieval(x, y, range(len(x)), range(len(y))), retrieval(y, x, range(len(y)), range(len(x)))


def test_p26_golden_retrieval_of_clip():
    there, back = both_ways(*golden("features_clip.npy"))
    assert [one.mean for one in there.hits.values()] == pytest.approx([0.552, 0.808, 0.892], abs=1e-3)
    assert [one.mean for one in back.hits.values()] == pytest.approx([0.506, 0.766, 0.862], abs=1e-3)
    assert [there.mrr.mean, back.mrr.mean] == pytest.approx([0.667, 0.630], abs=1e-3)
    assert (back.hits["1"].low, back.hits["1"].high) == pytest.approx((0.464, 0.550), abs=0.006)
    assert (there.questions, there.candidates) == (500, 500)
    assert there.chance_hits["10"] == 0.02 and there.chance_mrr == pytest.approx(0.0136, abs=1e-4)


def test_p27_untrained_clip_has_a_large_gap_and_finds_nothing():
    x, y = golden("features_clip_random.npy")
    assert l2m(x, y) > 1
    for one in both_ways(x, y):
        assert one.hits["1"].mean <= 3 / 500 and one.hits["10"].mean < 0.05


def test_p1_what_is_the_same_on_both_sides_is_found_first():
    x, _ = drawn(0, 300)
    for one in both_ways(x, x):
        assert (one.hits["1"].mean, one.mrr.mean, one.median_rank) == (1, 1, 1)


@given(st.integers(0, 999), st.integers(0, 9))
@quick
def test_p2_p3_p4_turning_both_and_another_order_keep_ranks_and_a_swap_swaps_directions(seed, other):
    x, y = drawn(seed)
    turn = np.linalg.qr(np.random.default_rng(other).normal(size=(6, 6)))[0]
    order = np.random.default_rng(other).permutation(len(x))
    assert (ranks(x @ turn, y @ turn) == ranks(x, y)).all()
    assert (ranks(x[order], y[order]) == ranks(x, y)[order]).all()
    assert both_ways(x, y) == both_ways(y, x)[::-1]


def test_p2_turning_one_modality_or_shuffling_it_finds_nothing():
    x, y = golden("features_clip.npy")
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(512, 512)))[0]
    assert (ranks(x, y @ turn) <= 1).mean() < 0.02
    shuffled = y[np.random.default_rng(1).permutation(500)]
    assert (ranks(x, shuffled) <= 1).mean() < 0.02


def test_p10_a_random_sphere_is_found_by_chance():
    x, y = (unit(np.random.default_rng(seed).normal(size=(1_000, 32))) for seed in (0, 1))
    found = retrieval(x, y, range(1_000), range(1_000))
    assert found.hits["10"].mean == pytest.approx(0.01, abs=0.01)
    assert found.median_rank == pytest.approx(500, rel=0.1)


@given(st.integers(0, 999))
@quick
def test_p15_more_places_find_more_and_all_places_all(seed):
    found = ranks(*drawn(seed))
    shares = [(found <= k).mean() for k in range(1, 21)]
    assert shares == sorted(shares) and shares[-1] == 1
    assert shares[0] <= (1 / found).mean() <= 1
    for rank in found:
        one = measures(np.array([rank]), (1, 10))
        assert one["recall@1"] <= one["ndcg@10"] + 1e-12 and one["ndcg@10"] <= one["recall@10"] + 1e-12


@given(st.integers(0, 999))
@quick
def test_p16_a_shift_of_all_documents_and_one_across_them_of_the_question_keep_ranks(seed):
    chance = np.random.default_rng(seed)
    documents = np.round(chance.normal(size=(15, 6)), 3)
    documents[:, 5] = 0
    question, shift = np.round(chance.normal(size=6), 3), np.round(chance.normal(size=6), 3)

    def order(question: np.ndarray, documents: np.ndarray) -> list[float]:
        return ranks_by_score(np.round(documents @ question, 9), range(15)).tolist()

    wanted = order(question, documents)
    assert order(question, documents + shift) == wanted
    across = np.eye(6)[5] * 7  # no document has anything along it
    assert order(question + across, documents) == wanted
    assert ranks_by_score(np.exp(np.round(documents @ question, 9)), range(15)).tolist() == wanted


def test_constant_scores_earn_no_credit():
    same = np.ones((101, 2)) / 2**0.5
    found = retrieval(same, same, range(101), range(101))
    assert (found.hits["10"].mean, found.median_rank) == (0, 51)


def test_any_of_several_captions_is_right_and_one_without_a_partner_is_not_asked():
    pictures, captions = np.eye(4)[:2], np.eye(4)[[1, 0, 2]]
    assert best_ranks(pictures, captions, ["a", "b"], ["a", "a", "c"]).tolist() == [1]
    assert retrieval(pictures, captions, ["a", "b"], ["c", "d", "e"]) is None


def test_many_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(gap_retrieval, "MOST_QUESTIONS", 10)
    x, y = drawn(0, 50)
    found = retrieval(x, y, range(50), range(50), seed=1)
    assert (found.questions, found.candidates) == (10, 50)
    assert found == retrieval(x, y, range(50), range(50), seed=1)


def test_a_cancel_is_heard():
    with pytest.raises(CancelledError):
        retrieval(*drawn(0), range(20), range(20), watch=Watch(cancelled=lambda: True))
