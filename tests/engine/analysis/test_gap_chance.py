"""What chance does to the gap: nulls that are never nothing, and intervals that hold what is true."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis import gap, gap_chance
from engine.analysis.gap import cone, l2i, l2m, l2m_squared_unbiased, rmg, unit, unpaired_cosine
from engine.analysis.gap_chance import intervals, l2m_null, l2m_swap_null
from engine.progress import CancelledError, Watch
from tests.helpers.golden import golden

OF_ALL = {
    "l2m",
    "l2m_unbiased",
    "l2m_squared_unbiased",
    "cone_a",
    "cone_b",
    "cosine_across",
    "cosine_unpaired",
}
EVERY = OF_ALL | {"rmg", "l2i", "alignment", "cosine_paired"}


def drawn(seed: int, n: int, offset: float) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, 6))
    return tuple(unit(shared + 0.5 * chance.normal(size=(n, 6)) + side * offset) for side in (1, -1))


def paired_intervals(x: np.ndarray, y: np.ndarray, **more: int) -> dict[str, tuple[float, float]]:
    rows = range(len(x))
    return intervals(x, y, [*rows, *rows], (rows, rows), **more)


def test_p26_golden_nulls_and_interval_of_clip():
    x, y = golden("features_clip.npy")
    labels, swapped = l2m_null(x, y), l2m_swap_null(x, y)
    assert [labels.mean, swapped.mean] == pytest.approx([0.050, 0.051], abs=2e-3)
    assert labels.p == swapped.p == 1 / 201
    assert [labels.high, swapped.high] == pytest.approx([0.080, 0.114], abs=0.02)
    low, high = paired_intervals(x, y)["l2m"]
    assert (low, high) == pytest.approx((0.845, 0.859), abs=2e-3)


def test_p11_p_is_never_less_than_the_permutations_can_tell_and_large_where_there_is_nothing():
    x, y = drawn(0, 80, 3)
    for null in (l2m_null, l2m_swap_null):
        found = null(x, y, permutations=99)
        assert found.p == 1 / 100 and found.mean < found.high < l2m(x, y)
        assert found == null(x, y, permutations=99) != null(x, y, permutations=99, seed=1)
        assert null(*drawn(0, 200, 0), permutations=99).p > 0.05
        same = np.tile(x[:1], (9, 1))
        assert null(same, same, permutations=20).p == 1


def test_swapping_needs_pairs_and_hears_a_cancel():
    x, y = drawn(0, 10, 1)
    with pytest.raises(ValueError, match="as many rows"):
        l2m_swap_null(x, y[:5])
    stopped = Watch(cancelled=lambda: True)
    for work in (
        lambda: l2m_swap_null(x, y, watch=stopped),
        lambda: l2m_null(x, y, watch=stopped),
        lambda: paired_intervals(x, y, watch=stopped),
    ):
        with pytest.raises(CancelledError):
            work()


def test_an_interval_is_around_its_number_and_narrower_with_more_rows():
    widths = []
    for n in (40, 640):
        x, y = drawn(1, n, 0.6)
        found = paired_intervals(x, y)
        measured = {
            "l2m": l2m(x, y),
            "l2m_unbiased": l2m_squared_unbiased(x, y) ** 0.5,
            "l2m_squared_unbiased": l2m_squared_unbiased(x, y),
            "cosine_across": float(x.mean(0) @ y.mean(0)),
            "cone_a": cone(x),
            "cone_b": cone(y),
            "cosine_unpaired": unpaired_cosine(x, y),
            "rmg": rmg(x, y),
            "l2i": l2i(x, y),
            "alignment": gap.alignment(x, y),
            "cosine_paired": 1 - gap.alignment(x, y) / 2,
        }
        assert set(found) == EVERY
        for name, (low, high) in found.items():
            assert low < measured[name] < high, name
        widths.append({name: high - low for name, (low, high) in found.items()})
    assert all(widths[1][name] < widths[0][name] / 2 for name in EVERY)


def test_of_many_units_the_sums_of_some_vary_as_much(monkeypatch):
    x, y = drawn(2, 600, 0.6)
    all_of_them = paired_intervals(x, y)
    monkeypatch.setattr(gap_chance, "MOST_UNITS", 150)
    for name, (low, high) in paired_intervals(x, y).items():
        wanted = all_of_them[name][1] - all_of_them[name][0]
        assert high - low == pytest.approx(wanted, rel=0.3), name


def test_the_captions_of_one_picture_are_drawn_together():
    x, y = drawn(3, 30, 0.6)
    many = np.repeat(y, 5, axis=0)  # five captions of each that say the same
    owners = [*range(30), *np.repeat(range(30), 5).tolist()]
    together = intervals(x, many, owners, (range(30), range(0, 150, 5)))
    apart = intervals(x, many, range(180), ((), ()))
    assert set(apart) == OF_ALL
    width = {name: high - low for name, (low, high) in together.items()}
    assert width["cone_b"] > 1.5 * (apart["cone_b"][1] - apart["cone_b"][0])
    assert together["cone_a"] == pytest.approx(paired_intervals(x, y)["cone_a"], abs=1e-6)


def test_too_few_to_resample_have_no_interval():
    x, y = drawn(4, 4, 1)
    assert paired_intervals(x, y) == {}
    assert intervals(x[:0], y, range(4), ((), ())) == {}
