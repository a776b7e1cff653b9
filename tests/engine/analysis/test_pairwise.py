"""Pairs against what does not belong together: golden values of real CLIP, and what may not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from engine.analysis.edits import Edit
from engine.analysis.gap import unit
from engine.analysis.pairwise import contrastive_loss, crowding, neighbour_agreement
from tests.helpers.golden import golden

quick = settings(max_examples=30, deadline=None)


def drawn(seed: int, n: int = 12, d: int = 6, offset: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, d))
    return tuple(unit(shared + chance.normal(size=(n, d)) + side * offset) for side in (1, -1))


def test_p26_golden_crowding_and_loss_of_clip():
    x, y = golden("features_clip.npy")
    assert [crowding(y, x), crowding(x, y)] == pytest.approx([0.964, 0.992], abs=1e-3)
    assert contrastive_loss(x, y, temperature=0.01, batch=50) == pytest.approx(0.566, abs=1e-3)
    narrow = [one.astype(np.float32) for one in (x, y)]
    assert crowding(*narrow) == pytest.approx(crowding(x, y), abs=1e-5)


def test_p26_golden_agreement_of_clip():
    x, y = golden("features_clip.npy")
    distance, overlap = neighbour_agreement(x, y)
    nearest = [np.argsort(-np.where(np.eye(500), -9, one @ one.T))[:, :10] for one in (x, y)]
    wanted = [len(set(a) & set(b)) / 10 for a, b in zip(*(one.tolist() for one in nearest), strict=True)]
    assert distance == pytest.approx(0.385, abs=2e-3) and overlap == pytest.approx(np.mean(wanted), abs=1e-9)


def test_p26_the_loss_is_least_at_the_default_gap_at_clips_temperature_and_closed_when_it_is_warm():
    x, y = golden("features_clip.npy")
    deltas = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75)
    moved = [Edit.fit("shift", x, y, delta=delta).apply(x, y) for delta in deltas]
    sharp = [contrastive_loss(*both, temperature=0.01) for both in moved]
    assert deltas[int(np.argmin(sharp))] == 0
    assert sharp[1:4] == pytest.approx([0.599, 0.566, 0.631], abs=1e-3)
    least = {
        scale: deltas[int(np.argmin([contrastive_loss(*both, temperature=1 / scale) for both in moved]))]
        for scale in (50, 20, 10, 1)
    }
    assert least == {50: 0.25, 20: 0.5, 10: 0.75, 1: 0.75}


@given(st.integers(0, 999), st.integers(0, 9))
@quick
def test_p2_p3_turning_both_and_another_order_of_pairs_change_nothing(seed, other):
    x, y = drawn(seed)
    turn = np.linalg.qr(np.random.default_rng(other).normal(size=(6, 6)))[0]
    order = np.random.default_rng(other).permutation(len(x))

    def measured(x: np.ndarray, y: np.ndarray) -> list[float]:
        return [crowding(x, y), *neighbour_agreement(x, y, k=3), contrastive_loss(x, y, batch=len(x))]

    assert measured(x @ turn, y @ turn) == pytest.approx(measured(x, y), abs=1e-9)
    assert measured(x[order], y[order]) == pytest.approx(measured(x, y), abs=1e-9)


@given(st.integers(0, 999))
@quick
def test_crowding_is_the_share_of_draws_counted_one_by_one(seed):
    x, y = drawn(seed, n=7)
    x[3] = x[1]  # a tie of unrelated rows
    y[1] = x[3]
    paired, scores = np.round((x * y).sum(1), 9), np.round(x @ x.T, 9)
    others = scores[~np.eye(7, dtype=bool)]
    wanted = np.mean([(other > own) + (other == own) / 2 for other in others for own in paired])
    assert crowding(x, y) == pytest.approx(wanted, abs=1e-12)


def test_agreement_is_scipys_tau_over_all_others_and_whole_with_oneself():
    x, y = drawn(1, n=30)
    taus = [kendalltau(np.delete(x @ x[row], row), np.delete(y @ y[row], row)).statistic for row in range(30)]
    distance, overlap = neighbour_agreement(x, y, k=5)
    assert distance == pytest.approx((1 - np.mean(taus)) / 2, abs=1e-9)
    assert neighbour_agreement(x, x, k=5) == (pytest.approx(0), 1)
    assert 5 / 29 * 0.5 < overlap < 1  # by chance 5 of 29 are shared


def test_where_everything_is_equally_near_nothing_is_favoured():
    same = np.tile(unit(np.array([[1.0, 2.0]])), (6, 1))
    assert crowding(same, same) == 0.5
    assert neighbour_agreement(same, same, k=2) is None
    assert contrastive_loss(same, same, batch=6) == pytest.approx(np.log(6))


def test_the_loss_is_over_whole_batches_and_is_nothing_for_sure_pairs():
    x = np.eye(7)
    assert contrastive_loss(x, x, temperature=0.01, batch=3) == pytest.approx(0, abs=1e-12)
    y = np.roll(x, 1, axis=0)
    y[6] = -x[6]  # past the last whole batch
    assert contrastive_loss(x, y, temperature=1, batch=3) == contrastive_loss(
        x[:6], y[:6], temperature=1, batch=3
    )


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (lambda x: crowding(x[:1], x[:1]), "two pairs"),
        (lambda x: crowding(x, x[:2]), "as many rows"),
        (lambda x: neighbour_agreement(x, x, k=9), "cannot be compared"),
        (lambda x: neighbour_agreement(x[:2], x[:2], k=1), "cannot be compared"),
        (lambda x: contrastive_loss(x, x, temperature=0), "more than 0"),
        (lambda x: contrastive_loss(x, x, temperature=float("nan")), "more than 0"),
        (lambda x: contrastive_loss(x[:0], x[:0]), "needs a pair"),
    ],
)
def test_what_cannot_be_measured_is_said(measure, words):
    with pytest.raises(ValueError, match=words):
        measure(np.eye(4))
