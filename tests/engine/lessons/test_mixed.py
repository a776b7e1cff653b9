"""Lesson 9: what a mixed search finds under four treatments, against golden values and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import unit
from engine.lessons.mixed import mixed, order
from tests.helpers.lesson_pairs import clip_pairs, drawn_pairs, pairs_of


def test_golden_mixed_search_of_clip():
    """GAP_SCIENCE.md, section 3.7, on its own split, within the tolerance of its two digits."""
    found = mixed(clip_pairs(seed=1))
    assert (found.k, found.fitted, len(found.held), found.notes) == (10, 250, 250, ())
    told = {one.mode: (one.share, one.recall, one.ndcg) for one in found.orders}
    assert told["raw"] == (0, 0, 0)
    assert told["centred"] == pytest.approx((0.09, 0.480, 0.216), abs=0.01)
    assert told["standardised"] == pytest.approx((0.63, 0.872, 0.689), abs=0.01)
    assert told["interleaved"] == pytest.approx((0.50, 0.884, 0.720), abs=0.01)


def test_another_split_of_clip_tells_the_same_story():
    found = {one.mode: one for one in mixed(clip_pairs(seed=0)).orders}
    assert found["standardised"].share == pytest.approx(0.63, abs=0.05)
    assert found["standardised"].recall == pytest.approx(0.872, abs=0.05)
    # No picture is right where the own one is taken away, and they are shown all the same.
    assert found["standardised"].unasked > 0.5 > 0.1 > found["centred"].unasked and not found["raw"].unasked


def test_raw_is_the_order_of_cosines_with_all_but_the_question():
    held = drawn_pairs(9, noise=0.8, seed=3)
    found = order(held, "raw", k=4)
    for row in range(9):
        cosines = {("text", n): held.y[n] @ held.y[row] for n in range(9) if n != row}
        cosines |= {("image", n): held.x[n] @ held.y[row] for n in range(9)}
        best = sorted(cosines, key=lambda one: -cosines[one])
        columns = [n + 9 * (kind == "image") for kind, n in best]
        assert found.first[row].tolist() == columns[:4]
        assert found.ranks[row] == best.index(("image", row)) + 1
        assert found.without[row].tolist() == [one for one in columns if one != 9 + row][:4]
    assert found.worst == int(np.argmax(found.ranks))
    assert found.recall == np.mean(found.ranks <= 4) and found.share == np.mean(found.first >= 9)


def test_the_question_that_an_order_costs_most_falls_most_against_raw():
    found = mixed(clip_pairs(seed=1))
    raw = found.orders[0]
    assert raw.costs_most(raw) is None
    for one in found.orders[1:]:
        row = one.costs_most(raw)
        falls = [mine - his for mine, his in zip(one.ranks, raw.ranks, strict=True)]
        assert row is None if max(falls) <= 0 else falls[row] == max(falls)


def test_interleaving_takes_one_of_each_and_few_rows_are_said():
    found = mixed(drawn_pairs(24))
    assert found.k == 10 and "Calibrated on 12 of each kind" in found.notes[0]
    assert [one.mode for one in found.orders] == ["raw", "centred", "standardised", "interleaved"]
    assert found.orders[-1].share == 0.5


def test_the_least_pairs_there_can_be_and_vectors_that_are_all_the_same():
    few = mixed(drawn_pairs(4))
    assert (few.k, len(few.held)) == (2, 2)
    same = unit(np.ones((12, 5)))
    found = mixed(pairs_of(same, same))
    assert [one.mode for one in found.orders] == ["raw", "centred", "interleaved"]
    assert "no spread" in found.notes[-1]
