"""The held-out classifier of the modality: its interval and its null against SciPy, and what one holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from engine.analysis.gap import unit
from engine.analysis.separability import HeldOut, held_out, separability


@pytest.mark.parametrize("right", [0, 17, 40])
def test_the_interval_of_two_shares_that_are_one_is_wilsons_narrowed_by_the_root_of_two(right):
    found = HeldOut((40, 40), (right, right), (40, 40))
    wilson = binomtest(right, 40).proportion_ci(method="wilson")
    share = right / 40
    wanted = [share + (end - share) / 2**0.5 for end in (wilson.low, wilson.high)]
    assert found.interval() == pytest.approx(wanted, abs=1e-9)


def test_19_of_20_intervals_hold_the_accuracy_that_is_so_and_rows_of_one_thing_count_once():
    chance, held = np.random.default_rng(0), 0
    for _ in range(1_000):
        right = chance.binomial((30, 45), (0.8, 0.97)).tolist()
        low, high = HeldOut((30, 45), tuple(right), (30, 45)).interval()
        held += low <= (0.8 + 0.97) / 2 <= high
    assert 930 < held < 990
    five_each, one_each = (HeldOut((40, 200), (30, 150), (40, groups)).interval() for groups in (40, 200))
    assert five_each[1] - five_each[0] > one_each[1] - one_each[0]


@pytest.mark.parametrize(("rows", "right"), [((9, 14), (6, 10)), ((20, 20), (20, 20)), ((12, 5), (3, 1))])
def test_the_null_is_fishers_exact_test_and_that_of_permuted_labels(rows, right):
    null = HeldOut(rows, right, rows).null()
    told = [[right[0], rows[0] - right[0]], [rows[1] - right[1], right[1]]]
    assert null.p == pytest.approx(fisher_exact(told, alternative="greater").pvalue) and null.mean == 0.5
    labels = np.repeat([0, 1], rows)
    named = np.concatenate([np.arange(rows[0]) >= right[0], np.arange(rows[1]) < right[1]])
    drawn = np.random.default_rng(0).permuted(np.tile(labels, (4_000, 1)), axis=1)
    same = named == drawn
    accuracies = [[same[row][drawn[row] == label].mean() for label in (0, 1)] for row in range(4_000)]
    found = np.mean(accuracies, axis=1)
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert (found <= null.high + 1e-9).mean() >= 0.985 and (found < null.high - 1e-9).mean() < 0.995


def test_p11_modalities_that_are_one_are_not_told_apart_and_two_islands_are():
    rows = unit(np.random.default_rng(1).normal(size=(300, 8)))
    same = held_out(rows[:150], rows[150:])
    assert same.null().p > 0.01 and same.interval()[0] < 0.5 < same.interval()[1]
    apart = held_out(unit(rows[:150] + 5), unit(rows[150:] - 5), groups=[*range(150)] * 2)
    assert (apart.accuracy, apart.rows, apart.groups) == (1, (30, 30), (30, 30))
    assert apart.null().p < 1e-9 and 0.9 < apart.interval()[0] < 1 == apart.interval()[1]
    assert separability(rows[:150], rows[150:]) == same.accuracy
