"""Readings after an edit: golden rows of CLIP, each number against one computed apart, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.analysis.edits import EDITS
from engine.analysis.gap import unit
from engine.errors import GapError
from engine.lessons.pairs import Pairs
from engine.lessons.readings import SHARES, Found, curve, five_edits, readings, top
from engine.lessons.split import NONE, Change, Split
from tests.helpers.golden import golden


def pairs(x: np.ndarray, y: np.ndarray, a: str = "image", b: str = "text") -> Pairs:
    ids_x, ids_y = (tuple(f"{kind} {n}" for n in range(len(x))) for kind in (a, b))
    return Pairs("test", "none", a, b, ids_x, ids_y, x, y, len(x), 0)


def on_itself(x: np.ndarray, y: np.ndarray) -> Split:
    """Return a split that is fitted and measured on the same rows, as the golden numbers are."""
    both = pairs(x, y)
    return replace(Split.of(both, {}), fitted=both, measured=both, labels=("",) * (2 * len(x)))


def drawn(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    shared = chance.normal(size=(n, 8))
    return tuple(unit(shared + 0.3 * chance.normal(size=(n, 8)) + side) for side in (1.0, -0.5))


@pytest.mark.parametrize(
    ("change", "gap", "found", "skews"),
    [
        (NONE, (0.851, 0.591), (0.552, 0.506), (2.36, 1.65)),
        (Change("shift", 1.0), (0.008, 0.407), (0.358, 0.366), (None, 3.64)),
        (Change("centre"), (0.028, 0.406), (0.542, 0.500), (None, 1.72)),
    ],
)
def test_p26_golden_readings_of_clip(change, gap, found, skews):
    one = readings(on_itself(*golden("features_clip.npy")), change)
    assert (one.l2m, one.rmg) == pytest.approx(gap, abs=1e-3)
    assert (one.a_to_b.recall(1), one.b_to_a.recall(1)) == pytest.approx(found, abs=1e-3)
    for measured, wanted in zip((one.hubs_a, one.hubs_b), skews, strict=True):
        assert wanted is None or measured == pytest.approx(wanted, abs=0.006)


def test_the_loss_is_lowest_at_the_default_gap_for_a_scale_of_100_and_nearer_to_closed_as_that_falls():
    split = on_itself(*golden("features_clip.npy"))
    lowest = []
    for scale in (100, 20, 1):
        loss = curve(split, temperature=1 / scale).loss
        lowest.append(SHARES[int(np.argmin(loss))])
    assert lowest[0] == 0 and lowest[0] < lowest[1] < lowest[2] <= 1


def test_a_split_is_fitted_on_one_half_and_measured_on_the_other():
    x, y = drawn()
    split = Split.of(pairs(x, y), {})
    assert not set(split.fitted.ids_x) & set(split.measured.ids_x)
    assert len(split.fitted) + len(split.measured) == 40
    edit = Change("centre").fit(split.fitted)
    assert edit.offsets[0] == pytest.approx(split.fitted.x.mean(0))


def test_an_item_without_a_label_has_that_of_its_partner():
    labels = {f"text {n}": f"label {n}" for n in range(40)} | {"image 0": "own"}
    split = Split.of(pairs(*drawn()), labels)
    ids = (*split.measured.ids_x, *split.measured.ids_y)
    wanted = ["own" if id_ == "image 0" else f"label {id_.split()[1]}" for id_ in ids]
    assert list(split.labels) == wanted


def test_numbers_agree_with_a_computation_row_by_row():
    split = Split.of(pairs(*drawn()), {})
    one = readings(split, Change("shift", 0.5))
    x, y = split.edited(Change("shift", 0.5))
    ranks = [1 + sum(float(x[i] @ y[j]) > float(x[i] @ y[i]) for j in range(20)) for i in range(20)]
    assert one.a_to_b.ranks.tolist() == ranks and one.a_to_b.candidates == 20
    assert one.paired.mean == pytest.approx(np.mean([x[i] @ y[i] for i in range(20)]), abs=1e-6)
    others = [x[i] @ x[j] for i in range(20) for j in range(20) if i != j]
    assert one.within_a.mean == pytest.approx(np.mean(others), abs=1e-6)
    assert one.within_a.counts.sum() == 380


def test_clouds_lie_in_one_plane_whose_first_axis_is_the_gap_and_none_leaves_it():
    split = Split.of(pairs(*drawn()), {})
    before = readings(split)
    apart = before.places_a.mean(0) - before.places_b.mean(0)
    assert apart == pytest.approx([before.l2m, 0], abs=1e-6)
    for change in (Change("shift", -1.0), Change("shift", 2.0), *(Change(name) for name in EDITS)):
        one = readings(split, change)
        assert max(np.abs(one.places_a).max(), np.abs(one.places_b).max()) <= split.plane.reach
    passed = readings(split, Change("shift", 2.0))
    assert (passed.places_a.mean(0) - passed.places_b.mean(0))[0] < 0  # the clouds changed sides


def test_a_shift_of_nothing_changes_nothing_and_its_change_of_recall_is_none():
    split = Split.of(pairs(*drawn()), {})
    before, after = readings(split), readings(split, Change("shift", 0.0))
    assert (after.l2m, after.rmg) == (before.l2m, before.rmg)
    change = after.a_to_b.change(before.a_to_b)
    assert (change.mean, change.low, change.high) == (0, 0, 0)


def test_the_change_of_recall_is_paired():
    before, after = Found(np.array([1.0, 2, 3, 1]), 4), Found(np.array([1.0, 1, 1, 2]), 4)
    assert after.change(before).mean == pytest.approx(0.25) == after.recall(1) - before.recall(1)
    assert after.change(before, k=3).mean == 0


def test_a_question_is_changed_as_the_texts_are():
    split = Split.of(pairs(*drawn()), {})
    question = split.measured.y[0]
    first = top(split, Change("centre"), question)
    x, y = split.edited(Change("centre"))
    assert len(first) == 10 and first[0].id == split.measured.ids_y[0] and first[0].modality == "text"
    assert first[0].cosine == pytest.approx(1)
    best = max(float(row @ y[0]) for row in np.concatenate([x, y[1:]]))
    assert first[1].cosine == pytest.approx(best)


def test_five_edits_stand_beside_none_and_what_cannot_be_says_why():
    before, tried = five_edits(Split.of(pairs(*drawn()), {}), dims=8)
    assert [one.name for one in tried] == list(EDITS) and before.change == NONE
    dropped = tried[-1]
    assert dropped.keeps is None and "1 to 7" in dropped.refused
    assert all(one.keeps is not None and not one.refused for one in tried[:-1])


SAME = np.tile(unit(np.array([[1.0, 2.0, 3.0]])), (6, 1))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda split: readings(Split.of(pairs(SAME, SAME), {}), Change("shift", 1.0)), "no direction"),
        (lambda split: readings(Split.of(pairs(SAME, -SAME), {}), Change("centre")), "leaves nothing"),
        (lambda split: readings(split, Change("shift", float("nan"))), "finite"),
        (lambda split: readings(split, Change("drop-dims", dims=8)), "1 to 7"),
        (lambda split: top(split, NONE, np.ones(3)), "3 numbers"),
        (lambda split: top(Split.of(pairs(*drawn(), "image", "audio"), {}), NONE, np.ones(8)), "neither"),
    ],
)
def test_what_cannot_be_read_is_said(work, words):
    with pytest.raises(GapError, match=words):
        work(Split.of(pairs(*drawn()), {}))


def test_vectors_that_are_all_the_same_are_read_as_they_are():
    one = readings(Split.of(pairs(SAME, SAME), dict.fromkeys(("image 0", "image 1"), "cat")))
    assert (one.l2m, one.rmg) == (0, 0) and not one.places_a.any()
    assert one.a_to_b.ranks.tolist() == [2, 2, 2] and isinstance(one.clusters, str)


def test_four_pairs_are_enough():
    one = readings(Split.of(pairs(*(side[:4] for side in drawn())), {}), Change("centre"))
    assert one.n == 2 and len(one.places_a) == 2
