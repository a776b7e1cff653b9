"""What rows add to measures of all rows with all others: against measuring anew with each row left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kendalltau

from engine.analysis.all_pairs import (
    agreement_rows,
    crowding_rows,
    nearest_others,
    places,
    purity_rows,
    uniformity_rows,
)
from engine.analysis.gap import cross_uniformity, knn_purity, pc1_agreement, unit
from engine.analysis.hubness import hubness
from engine.analysis.pairwise import crowding, neighbour_agreement
from engine.analysis.separability import separability

N = 40


def drawn(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, 6))
    return tuple(unit(shared + chance.normal(size=(n, 6)) + side / 2) for side in (1, -1))


def jackknife(measure: Callable[..., float], *rows: np.ndarray) -> np.ndarray:
    """Return how much more each row adds than the mean of all, by leaving it out."""
    count = len(rows[0])
    left = [measure(*(np.delete(one, row, 0) for one in rows)) for row in range(count)]
    return (count - 1) * (np.mean(left) - np.array(left))


def test_rows_add_what_leaving_them_out_takes_away():
    x, y = drawn(0)
    distances, _ = agreement_rows(x @ x.T, y @ y.T, k=5)
    for added, measure in (
        (uniformity_rows(x @ y.T), cross_uniformity),
        (crowding_rows(x @ x.T, (x * y).sum(1)), crowding),
        (distances, lambda *rows: neighbour_agreement(*rows, k=5)[0]),
    ):
        anew = jackknife(measure, x, y)
        assert np.corrcoef(added, anew)[0, 1] > 0.99
        assert added.std() == pytest.approx(anew.std(), rel=0.1)
        assert added.mean() == pytest.approx(measure(x, y), abs=1e-9)


def nearest_of(rows: np.ndarray, k: int) -> list[set[int]]:
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return [set(np.argsort(-one)[:k].tolist()) for one in scores]


def test_neighbours_add_what_the_next_in_their_place_would_change():
    x, y = drawn(1, 14)

    def purity(rows: np.ndarray, labels: np.ndarray) -> float:
        near = nearest_of(rows, 4)
        return float(
            np.mean([labels[other] == labels[row] for row, some in enumerate(near) for other in some])
        )

    def overlap(x: np.ndarray, y: np.ndarray) -> float:
        both = zip(nearest_of(x, 4), nearest_of(y, 4), strict=True)
        return float(np.mean([len(a & b) / 4 for a, b in both]))

    both, labels = np.concatenate([x, y]), np.repeat([0, 1], 14)
    added = purity_rows(*nearest_others(both @ both.T, k=4), labels)
    assert added.mean() == pytest.approx(purity(both, labels))
    assert added - added.mean() == pytest.approx(jackknife(purity, both, labels), abs=1e-9)
    _, added = agreement_rows(x @ x.T, y @ y.T, k=4)
    assert added.mean() == pytest.approx(overlap(x, y))
    assert added - added.mean() == pytest.approx(jackknife(overlap, x, y), abs=1e-9)


def test_p2_p3_p4_neighbours_hubs_and_a_classifier_know_no_axes_no_order_and_no_sides():
    x, y = drawn(6, 60)
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(6, 6)))[0]
    order = np.random.default_rng(8).permutation(60)

    def measured(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> list[float]:
        hubs = [hubness(x, y), hubness(y, x)]
        of_hubs = [number for one in hubs for number in (one.skew, one.robin_hood, one.antihubs)]
        told = separability(x, y, groups=[*groups, *groups])
        return [knn_purity(x, y), pc1_agreement(x, y), told, *of_hubs]

    own = measured(x, y, np.arange(60))
    assert measured(x @ turn, y @ turn, np.arange(60)) == pytest.approx(own, abs=1e-9)
    assert measured(x[order], y[order], order) == pytest.approx(own, abs=1e-9)
    swapped = measured(y, x, np.arange(60))
    assert swapped == pytest.approx([*own[:3], *own[6:], *own[3:6]], abs=1e-9)


@pytest.mark.parametrize("k", [1, 5, 13])
def test_the_nearest_and_the_one_that_follows_are_those_of_a_sort(k):
    x, _ = drawn(2, 14)
    nearest, following = nearest_others(x @ x.T, k=k)
    assert [set(row) for row in nearest.tolist()] == nearest_of(x, k)
    if k < 13:
        more = nearest_of(x, k + 1)
        assert [{one} for one in following.tolist()] == [
            some - few for some, few in zip(more, nearest_of(x, k), strict=True)
        ]
    added = purity_rows(nearest, following, np.arange(14) < 7)
    assert added.mean() == pytest.approx(6 / 13 if k == 13 else added.mean()) and np.isfinite(added).all()


def test_ties_count_in_kendalls_distance_as_scipy_counts_them():
    x, y = (np.round(one, 1) for one in drawn(3, 12))
    distances, _ = agreement_rows(x @ x.T, y @ y.T, k=3)
    taus = [
        kendalltau(*(np.delete(np.round(one @ one[row], 12), row) for one in (x, y))) for row in range(12)
    ]
    assert distances.mean() == pytest.approx((1 - np.mean([one.statistic for one in taus])) / 2, abs=1e-9)
    same = np.ones((5, 5))
    same[0, 1] = same[1, 0] = 0.5  # to the last three all are equally near
    distances, shared = agreement_rows(same, same, k=2)
    assert np.isnan(distances).tolist() == [False, False, True, True, True]
    assert np.isfinite(shared).all()


def test_places_are_those_of_two_searches():
    values = np.random.default_rng(4).integers(0, 9, (5, 7)).astype(float)
    ordered = np.sort(np.random.default_rng(5).integers(0, 9, 11)).astype(float)
    below, up_to = places(ordered, values)
    assert (below == (ordered < values[..., None]).sum(-1)).all()
    assert (up_to == (ordered <= values[..., None]).sum(-1)).all()


@pytest.mark.parametrize("seed", range(4))
def test_crowding_in_float32_is_that_of_searches_with_ties_and_all_above_or_below(seed):
    x, y = (np.round(one, 1).astype(np.float32) for one in drawn(seed, 30))
    cosines, paired = x @ x.T, (x * y).sum(1)
    for shift in (0, 3, -3):  # as it is, all partners above, all below
        narrow = crowding_rows(cosines, paired + np.float32(shift))
        wide = crowding_rows(
            *(np.round(one.astype(np.float64), 6) for one in (cosines, paired + np.float32(shift)))
        )
        assert narrow == pytest.approx(wide, abs=1e-9)
        assert shift == 0 or narrow == pytest.approx(float(shift < 0), abs=1e-9)
