"""Edits that close a gap: golden rows of real CLIP, what each of them does, and what is left of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.edits import EDITS, Edit
from engine.analysis.gap import l2m, rmg, unit
from engine.errors import GapError
from tests.helpers.golden import golden


def hit(x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows of x whose own row of y is the nearest."""
    return float(((x @ y.T).argmax(1) == np.arange(len(x))).mean())


def drawn(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    shared = chance.normal(size=(n, 8))
    return tuple(unit(shared + 0.3 * chance.normal(size=(n, 8)) + side) for side in (1.0, -0.5))


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("shift", {"delta": -0.5}, [1.196, 0.722, 0.458, 0.500]),
        ("shift", {"delta": 0.0}, [0.851, 0.591, 0.552, 0.506]),
        ("shift", {"delta": 0.25}, [0.632, 0.516, 0.532, 0.490]),
        ("shift", {"delta": 0.5}, [0.383, 0.450, 0.466, 0.450]),
        ("shift", {"delta": 0.8514}, [0.008, 0.407, 0.358, 0.366]),
        ("centre", {}, [0.028, 0.406, 0.542, 0.500]),
        ("standardise", {}, [0.022, 0.405, 0.540, 0.506]),
        ("project-out", {}, [0.007, 0.406, 0.354, 0.352]),
        ("drop-dims", {"dims": 3}, [0.594, 0.475, 0.498, 0.512]),
    ],
)
def test_p26_golden_rows_of_the_edits(name, options, wanted):
    x, y = golden("features_clip.npy")
    a, b = Edit.fit(name, x, y, **options).apply(x, y)
    assert [l2m(a, b), rmg(a, b), hit(a, b), hit(b, a)] == pytest.approx(wanted, abs=1e-3)


def test_p12_half_a_shift_each_closes_the_gap_exactly_before_rows_are_made_unit_length():
    x, y = drawn()
    length = l2m(x, y)
    edit = Edit.fit("shift", x, y, delta=length)
    moved = x - edit.offsets[0], y - edit.offsets[1]
    assert l2m(*moved) == pytest.approx(0, abs=1e-12)
    assert 0 < l2m(*edit.apply(x, y)) < length


def test_p12b_no_shift_is_the_identity():
    x, y = drawn()
    for before, after in zip((x, y), Edit.fit("shift", x, y, delta=0).apply(x, y), strict=True):
        assert after == pytest.approx(before, abs=1e-12)


def test_a_negative_shift_widens_and_every_other_edit_closes():
    x, y = drawn()
    assert l2m(*Edit.fit("shift", x, y, delta=-0.5).apply(x, y)) > l2m(x, y)
    for name in EDITS:
        moved = Edit.fit(name, x, y).apply(x, y)
        # Where the gap is in all dimensions alike, dropping some does not close it.
        assert l2m(*moved) < l2m(x, y) or name == "drop-dims"
        assert np.linalg.norm(np.concatenate(moved), axis=1) == pytest.approx(1)


def test_an_edit_is_fitted_on_calibration_rows_only():
    x, y = drawn()
    edit = Edit.fit("centre", x[:20], y[:20])
    together, alone = edit.apply(x[20:], y[20:]), edit.apply(x[20:21], y[30:])
    assert (together[0][:1] == alone[0]).all() and (together[1][10:] == alone[1]).all()
    assert edit.offsets == pytest.approx(np.stack([x[:20].mean(0), y[:20].mean(0)]))
    before = x.copy()
    edit.apply(x, y)
    assert (x == before).all()


def test_what_is_projected_out_or_dropped_is_gone():
    x, y = drawn()
    edit = Edit.fit("project-out", x, y)
    assert np.concatenate(edit.apply(x, y)) @ edit.direction == pytest.approx(0, abs=1e-12)
    dropped = Edit.fit("drop-dims", x, y, dims=2)
    largest = np.argsort(-np.abs(x.mean(0) - y.mean(0)))[:2]
    assert set(np.flatnonzero(~dropped.kept)) == set(largest)
    assert (dropped.apply(x, y)[0][:, largest] == 0).all()


SAME = np.tile(unit(np.array([[1.0, 2.0, 3.0]])), (5, 1))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda x, y: Edit.fit("centre", SAME, SAME).apply(SAME, SAME), "leaves nothing of 5 of 5"),
        (lambda x, y: Edit.fit("standardise", SAME, SAME).apply(SAME, SAME), "leaves nothing of 5 of 5"),
        (lambda x, y: Edit.fit("project-out", SAME, SAME), "centroids are one"),
        (lambda x, y: Edit.fit("shift", SAME, SAME), "no gap to close"),
        (lambda x, y: Edit.fit("project-out", SAME, -SAME).apply(SAME, -SAME), "leaves nothing"),
        (lambda x, y: Edit.fit("centre", x[:1], y), "needs 2 of each"),
        (lambda x, y: Edit.fit("drop-dims", x, y, dims=8), "1 to 7"),
        (lambda x, y: Edit.fit("drop-dims", x, y, dims=0), "1 to 7"),
        (lambda x, y: Edit.fit("shift", x, y, delta=float("nan")), "finite"),
        (lambda x, y: Edit.fit("whiten", x, y), "Edits are: shift, centre"),
    ],
)
def test_an_edit_that_cannot_be_or_leaves_nothing_says_so(work, words):
    with pytest.raises(GapError, match=words):
        work(*drawn())
