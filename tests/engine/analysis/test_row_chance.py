"""Intervals of measures of all rows with all others hold what is true, and nulls are what shuffling gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as students

from engine.analysis.all_pairs import crowding_rows, nearest_others, purity_rows, uniformity_rows
from engine.analysis.gap import purity_baseline, rmg, unit, unpaired_cosine
from engine.analysis.row_chance import batch_interval, partner_null, purity_null, row_intervals
from tests.helpers.golden import golden

N = 40


def drawn(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, 6))
    return tuple(unit(shared + chance.normal(size=(n, 6)) + side / 2) for side in (1, -1))


def added(x: np.ndarray, y: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    both, every = np.concatenate([x, y]), np.arange(len(x))
    purity = purity_rows(*nearest_others(both @ both.T, k=10), np.repeat([0, 1], len(x)))
    return {
        "uniformity": (uniformity_rows(x @ x.T), every),
        "crowding": (crowding_rows(x @ x.T, (x * y).sum(1)), every),
        "purity": (purity, np.tile(every, 2)),
    }


def test_19_of_20_intervals_hold_what_the_measure_is_on_average():
    found = [added(*drawn(seed)) for seed in range(120)]
    intervals = [row_intervals(one, resamples=300, seed=seed) for seed, one in enumerate(found)]
    for name in found[0]:
        true = np.mean([one[name][0].mean() for one in found])
        held = np.mean([one[name][0] <= true <= one[name][1] for one in intervals])
        assert 0.87 <= held < 1, name


def test_rows_of_one_unit_are_drawn_together_and_those_without_a_number_not_at_all():
    values = np.random.default_rng(0).normal(size=60)
    together, apart = (
        row_intervals({"a": (np.repeat(values, 5), units)})["a"]
        for units in (np.repeat(np.arange(60), 5), np.arange(300))
    )
    assert together[1] - together[0] > 1.8 * (apart[1] - apart[0])
    some = row_intervals({"a": (np.append(values, np.nan), np.arange(61))})["a"]
    assert some[0] < values.mean() < some[1]
    assert row_intervals({"a": (values[:4], np.arange(4)), "b": (values, np.arange(60) % 4)}) == {}


def test_batches_have_students_interval_from_five_on():
    values = np.random.default_rng(1).normal(size=8)
    wanted = students.interval(0.95, 7, values.mean(), values.std(ddof=1) / 8**0.5)
    assert batch_interval(values) == pytest.approx(wanted) and batch_interval(values[:4]) is None


def test_the_null_of_purity_is_that_of_labels_shuffled_one_by_one():
    x, y = drawn(2)
    both = np.concatenate([x, y])
    nearest, _ = nearest_others(both @ both.T, k=10)
    null = purity_null(nearest, N, permutations=300)
    chance, labels, found = np.random.default_rng(9), np.repeat([0, 1], N), []
    for _ in range(300):
        one = chance.permutation(labels)
        found.append(np.mean([[one[other] == one[row] for other in nearest[row]] for row in range(2 * N)]))
    assert null.mean == pytest.approx(purity_baseline(N, N), abs=0.005)
    assert (null.mean, null.high) == pytest.approx((np.mean(found), np.quantile(found, 0.99)), abs=0.02)
    assert null.p == 1 / 301
    mixed = unit(np.random.default_rng(3).normal(size=(2 * N, 6)))
    assert purity_null(nearest_others(mixed @ mixed.T, k=10)[0], N).p > 0.02


def test_p26_golden_shuffled_partners_of_clip():
    x, y = golden("features_clip.npy")
    null, shuffled = partner_null(x, y, x @ y.T)
    assert shuffled == pytest.approx(0.637, abs=1e-3) and null.p == 1 / 201
    assert null.mean == pytest.approx(unpaired_cosine(x, y), abs=1e-3) and null.high < 0.31


def test_shuffled_partners_are_measured_as_pairs_are():
    x, y = drawn(4, 12)
    null, shuffled = partner_null(x, y, x @ y.T, permutations=40, seed=5)
    chance = np.random.default_rng(5)
    orders = [chance.permutation(12) for _ in range(40)]
    assert shuffled == pytest.approx(np.mean([rmg(x, y[order]) for order in orders]))
    assert null.mean == pytest.approx(np.mean([(x * y[order]).sum(1).mean() for order in orders]))
    same = np.ones((4, 3)) / 3**0.5
    null, shuffled = partner_null(same, same, same @ same.T)
    assert null.p == 1 and shuffled == pytest.approx(0, abs=1e-6)
