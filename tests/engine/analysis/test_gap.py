"""The gap metrics: golden values of real CLIP, and the properties of GAP_SCIENCE.md section 6 by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import NearestNeighbors

from engine.analysis.gap import (
    alignment,
    cone,
    cross_uniformity,
    joined,
    knn_purity,
    l2i,
    l2m,
    l2m_squared_unbiased,
    pc1_agreement,
    purity_baseline,
    rmg,
    top_dims_share,
    uniformity,
    unit,
    unpaired_cosine,
)
from engine.analysis.gap_chance import l2m_null
from engine.analysis.separability import separability
from tests.helpers.data import unit_table
from tests.helpers.golden import golden

quick = settings(max_examples=40, deadline=None)


@st.composite
def pairs(draw: st.DrawFn, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw two modalities of n unit rows, that may coincide, repeat or be opposite."""
    shape = (draw(st.integers(least, 12)), draw(st.integers(2, 6)))
    numbers = st.floats(-3, 3, allow_nan=False).map(lambda value: round(value, 2))
    rows = [draw(hnp.arrays(np.float64, shape, elements=numbers)) + 1e-3 for _ in range(2)]
    return tuple(unit(np.where(np.abs(one).max(1, keepdims=True) < 1e-6, 1.0, one)) for one in rows)


def rotation(dim: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def all_of(x: np.ndarray, y: np.ndarray) -> list[float]:
    both = [l2m(x, y), rmg(x, y), l2i(x, y), alignment(x, y), cone(x), cone(y), uniformity(x), uniformity(y)]
    return [*both, l2m_squared_unbiased(x, y), cross_uniformity(x, y), unpaired_cosine(x, y)]


def test_p26_golden_values_of_clip():
    x, y = golden("features_clip.npy")
    found = [l2m(x, y), l2m_squared_unbiased(x, y) ** 0.5, *all_of(x, y)[1:8], knn_purity(x, y)]
    wanted = [0.8514, 0.850, 0.5915, 1.1745, 1.380, 0.5315, 0.5152, -1.794, -1.841, 1.0]
    assert found == pytest.approx(wanted, abs=1e-3)
    assert separability(x, y, groups=[*range(500)] * 2) == 1.0
    assert [cross_uniformity(x, y), unpaired_cosine(x, y)] == pytest.approx([-3.334, 0.1616], abs=1e-3)
    shares = [top_dims_share(x, y, k=k) for k in (1, 3, 10)]
    assert [*shares, pc1_agreement(x, y)] == pytest.approx([0.346, 0.714, 0.802, 0.9998], abs=1e-3)


def test_p26_shuffled_pairs_leave_l2m_and_raise_rmg():
    x, y = golden("features_clip.npy")
    shuffled = y[np.random.default_rng(0).permutation(500)]
    assert l2m(x, shuffled) == pytest.approx(l2m(x, y), abs=1e-12)
    assert rmg(x, shuffled) == pytest.approx(0.637, abs=2e-3)


def test_p27_an_untrained_model_has_a_gap_too():
    x, y = golden("features_clip_random.npy")
    assert [l2m(x, y), rmg(x, y), cone(x), cone(y)] == pytest.approx([1.136, 0.748, 0.681, 0.664], abs=1e-3)
    assert separability(x, y, groups=[*range(500)] * 2) == 1.0


@given(pairs())
@quick
def test_p1_the_same_on_both_sides_is_no_gap(drawn):
    x, _ = drawn
    assert (l2m(x, x), rmg(x, x), alignment(x, x)) == pytest.approx((0, 0, 0), abs=1e-12)


def test_p1_rows_that_nearly_coincide_have_no_gap_to_themselves():
    for seed in range(200):
        rows = 1 + 1e-7 * np.random.default_rng(seed).normal(size=(7, 5))
        assert rmg(unit(rows), unit(rows)) == 0


def test_p1_a_classifier_of_twins_is_right_half_the_time():
    x = unit(np.random.default_rng(0).normal(size=(60, 8)))
    assert separability(x, x, groups=[*range(60)] * 2) == 0.5


@given(pairs(), st.integers(0, 9))
@quick
def test_p2_turning_both_changes_nothing(drawn, seed):
    x, y = drawn
    turn = rotation(x.shape[1], seed)
    assert all_of(x @ turn, y @ turn) == pytest.approx(all_of(x, y), abs=1e-9)


@given(pairs(), st.randoms(use_true_random=False))
@quick
def test_p3_the_order_of_pairs_does_not_matter_and_the_pairing_does_not_for_l2m(drawn, chance):
    x, y = drawn
    order = list(range(len(x)))
    chance.shuffle(order)
    assert all_of(x[order], y[order]) == pytest.approx(all_of(x, y), abs=1e-9)
    shuffled, own = all_of(x, y[order]), all_of(x, y)
    for place in (0, 4, 5, 6, 7, 8):  # L2M, cones and uniformity know no pairs
        assert shuffled[place] == pytest.approx(own[place], abs=1e-9)


@given(pairs())
@quick
def test_p4_p5_p6_p7_p8_relations(drawn):
    x, y = drawn
    assert [l2m(y, x), rmg(y, x), alignment(y, x)] == pytest.approx([l2m(x, y), rmg(x, y), alignment(x, y)])
    lengths = np.linalg.norm(x.mean(0)) + np.linalg.norm(y.mean(0))
    assert 0 <= l2m(x, y) <= lengths + 1e-12 <= 2 + 1e-9
    assert l2m(x, -x) == pytest.approx(2 * np.linalg.norm(x.mean(0)))
    c_xx, c_yy, c_xy = (x @ x.T).mean(), (y @ y.T).mean(), (x @ y.T).mean()
    assert l2m(x, y) ** 2 == pytest.approx(c_xx + c_yy - 2 * c_xy, abs=1e-9)
    assert alignment(x, y) == pytest.approx(2 - 2 * (x * y).sum(1).mean(), abs=1e-9)
    assert l2m(x, y) <= l2i(x, y) + 1e-9 and l2i(x, y) <= alignment(x, y) ** 0.5 + 1e-9


@given(pairs(), st.floats(0.01, 100))
@quick
def test_p9_lengths_do_not_count_and_no_direction_is_refused(drawn, scale):
    x, _ = drawn
    assert unit(x * scale) == pytest.approx(x, abs=1e-12)
    for bad in (0.0, np.nan, np.inf):
        rows = x.copy()
        rows[0] = bad
        with pytest.raises(ValueError, match="zero or not finite"):
            unit(rows)


@given(pairs())
@quick
def test_p10_uniformity_stays_in_its_range(drawn):
    x, _ = drawn
    n = len(x)
    assert -2 * 2 * n / (n - 1) - 1e-9 <= uniformity(x) <= 1e-9
    squared = pdist(x, "sqeuclidean")
    assert uniformity(x) == pytest.approx(np.log(np.exp(-2 * squared).mean()), abs=1e-9)
    assert cone(x) == pytest.approx(1 - squared.mean() / 2, abs=1e-9)
    two = np.stack([x[0], -x[0]])
    assert uniformity(two) == pytest.approx(-8, abs=1e-9)
    assert uniformity(two.astype(np.float32)) == pytest.approx(-8, abs=1e-5)


@given(pairs())
@quick
def test_p10_uniformity_across_counts_all_that_are_no_pair(drawn):
    x, y = drawn
    squared = cdist(x, y, "sqeuclidean")[~np.eye(len(x), dtype=bool)]
    assert cross_uniformity(x, y) == pytest.approx(np.log(np.exp(-2 * squared).mean()), abs=1e-9)
    assert -8 - 1e-9 <= cross_uniformity(x, y) <= 1e-9
    assert unpaired_cosine(x, y) == pytest.approx(1 - squared.mean() / 2, abs=1e-9)


def test_p10_a_random_sphere():
    x, y = (unit(np.random.default_rng(seed).normal(size=(2_000, 64))) for seed in (0, 1))
    assert uniformity(x) == pytest.approx(-4 + 8 / 64, abs=0.01)
    assert l2m(x, y) == pytest.approx((2 / 2_000) ** 0.5, rel=0.3)
    assert rmg(x, y) == pytest.approx(0.5, abs=0.01)


def test_p11_shuffled_labels_cannot_be_told_and_p_is_never_nothing():
    rows = unit(np.random.default_rng(5).normal(size=(2_000, 16)))
    assert separability(rows[:1000], rows[1000:]) == pytest.approx(0.5, abs=0.05)
    x, y = unit(rows + 5)[:200], unit(rows - 5)[:200]
    null = l2m_null(x, y, permutations=99)
    assert null.p == 1 / 100 and null.mean < null.high < l2m(x, y)
    assert l2m_null(rows[:1000], rows[1000:], permutations=99).p > 0.05
    assert l2m_null(x, y, permutations=99) == null


def test_p12_half_a_shift_each_closes_the_gap_and_no_shift_leaves_it():
    x, y = (unit(np.random.default_rng(seed).normal(size=(50, 8)) + seed) for seed in (1, 2))
    delta = x.mean(0) - y.mean(0)
    assert l2m(x - delta / 2, y + delta / 2) == pytest.approx(0, abs=1e-12)
    assert l2m(unit(x), unit(y)) == pytest.approx(l2m(x, y), abs=1e-12)


def test_p23_random_relu_layers_make_a_narrow_cone_of_what_was_at_right_angles():
    chance, rows = np.random.default_rng(0), np.eye(100)
    found = []
    for width in (100, 6_000):
        weights = chance.normal(size=(width, 6_000))  # He et al. 2015: the length does not matter here
        rows = unit(np.maximum(rows @ weights, 0))
        found.append(cone(rows))
    assert found == pytest.approx([1 / np.pi, 0.494], abs=0.01)


def test_the_first_component_is_the_gap_where_that_is_most_of_the_spread():
    chance = np.random.default_rng(0)
    for rows in (4, 60):  # by all components, and by the first alone
        x, y = (unit(chance.normal(size=(rows, 12)) * 0.05 + side * np.eye(12)[3]) for side in (1, -1))
        centred = np.concatenate([x, y]) - np.concatenate([x, y]).mean(0)
        first = np.linalg.svd(centred)[2][0]
        apart = x.mean(0) - y.mean(0)
        wanted = abs(first @ apart) / np.linalg.norm(apart)
        assert pc1_agreement(x, y) == pytest.approx(wanted, abs=1e-9) and wanted > 0.9
        assert top_dims_share(x, y, k=1) > 0.9 and top_dims_share(x, y, k=12) == pytest.approx(1)
    assert pc1_agreement(x, x) is None and top_dims_share(x, x, k=1) is None


@given(pairs())
@quick
def test_p13_everything_twice_is_the_same_distance(drawn):
    x, y = drawn
    assert l2m(np.repeat(x, 2, 0), np.repeat(y, 2, 0)) == pytest.approx(l2m(x, y), abs=1e-12)


def test_p14_the_unbiased_distance_of_the_same_averages_nothing_and_may_be_below():
    chance, found = np.random.default_rng(0), []
    for _ in range(300):
        rows = unit(chance.normal(size=(40, 8)) + 1)
        found.append(l2m_squared_unbiased(rows[:20], rows[20:]))
    assert abs(np.mean(found)) < 3 * np.std(found) / 300**0.5 and min(found) < 0
    assert np.mean([l2m(rows[:20], rows[20:]) ** 2]) > 0


def test_p25_a_larger_offset_is_a_larger_gap():
    chance = np.random.default_rng(0)
    shared, noise = chance.normal(size=(2, 100, 8))
    u = np.eye(8)[7]
    shared[:, 7] = 0
    sizes = [
        l2m(unit(shared + a * u + 0.1 * noise), unit(shared - a * u - 0.1 * noise)) for a in (0.1, 0.5, 1, 2)
    ]
    assert sizes == sorted(sizes)


def test_purity_agrees_with_scikit_learn_and_its_baseline_with_mixing():
    x, y = unit_table(700, seed=1).vectors, unit_table(500, seed=2).vectors
    rows, labels = np.concatenate([x, y]), np.repeat([0, 1], [700, 500])
    near = NearestNeighbors(n_neighbors=6, metric="cosine").fit(rows).kneighbors(return_distance=False)
    assert knn_purity(x, y, k=6) == pytest.approx((labels[near] == labels[:, None]).mean(), abs=1e-4)
    assert knn_purity(x, y, k=6) == pytest.approx(purity_baseline(700, 500), abs=0.02)
    with pytest.raises(ValueError, match="1 to 1199"):
        knn_purity(x, y, k=1200)


def test_a_picture_and_its_captions_are_joined_once_each():
    pair_of = {"p1": "p1", "p2": "p2", "c1": "p1", "c2": "p1", "c3": "gone"}
    assert joined(["p1", "p2"], ["c3", "c1", "c2"], pair_of) == ([0], [1])
    assert joined(["c1", "c2"], ["p1"], pair_of) == ([0], [0])
    assert joined([], ["c1"], pair_of) == ([], [])


def test_pairs_need_as_many_on_both_sides():
    with pytest.raises(ValueError, match="as many rows on both sides"):
        rmg(np.ones((2, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError):
        cone(np.ones((1, 2)))
    with pytest.raises(ValueError):
        uniformity(np.ones((1, 2)))
    with pytest.raises(ValueError):
        cross_uniformity(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError):
        unpaired_cosine(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError):
        l2m_squared_unbiased(np.ones((1, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="five groups"):
        separability(np.ones((2, 2)), np.ones((2, 2)))
