"""What a reranker changed, by hand: moves, agreement, whether the right answers rose; tau against scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from engine.evaluation.rank_changes import agreement, compare, kendall, worth
from engine.types import Hit, Item, Reranked


def hits(*names: str) -> list[Hit]:
    """Return hits in this order, with falling cosines."""
    items = [Item(name, "image", f"{name}.jpg", "image/jpeg", name) for name in names]
    return [Hit(rank, item, 1 - rank / 100, rank) for rank, item in enumerate(items, start=1)]


def reordered(before: list[Hit], scores: dict[str, float], failed: dict[str, str] | None = None, **more):
    """Return the hits as `rerank` orders them: scored, then failed, then what was not asked for."""
    failed = failed or {}
    scored = [hit for hit in before if hit.item.id in scores]
    scored.sort(key=lambda hit: -scores[hit.item.id])
    rest = [hit for hit in before if hit.item.id in failed]
    rest += [hit for hit in before if hit.item.id not in scores and hit.item.id not in failed]
    new = [
        Hit(rank, hit.item, hit.score, hit.retrieval_rank, scores.get(hit.item.id))
        for rank, hit in enumerate([*scored, *rest], start=1)
    ]
    return Reranked("fake", tuple(new), len(scored), failed=failed, **more)


def test_moves_are_told_by_both_ranks():
    before = hits(*"abcd")
    found = compare(before, reordered(before, {"a": 1, "b": 2, "c": 9, "d": 3}))
    assert [(one.item.id, one.before, one.after, one.moved) for one in found.moves] == [
        ("c", 3, 1, 2),
        ("d", 4, 2, 2),
        ("b", 2, 3, -1),
        ("a", 1, 4, -3),
    ]
    assert [one.item.id for one in found.climbers(1)] == ["c"]
    assert [one.item.id for one in found.fallers(5)] == ["a", "b"]
    # pairs: ab falls apart, ac, ad, bc, bd too; only c before d stays: 1 of 6
    assert found.tau == pytest.approx((1 - 5) / 6)
    assert found.same_order_share == pytest.approx(1 / 6)


def test_how_each_hit_was_read_is_kept():
    before = hits(*"abcde")
    found = compare(
        before, reordered(before, {"a": 1, "c": 2}, {"b": "the file is gone"}, by_caption=frozenset("c"))
    )
    assert [(one.item.id, one.read, one.reason) for one in found.moves] == [
        ("c", "caption", ""),
        ("a", "whole", ""),
        ("b", "failed", "the file is gone"),
        ("d", "below", ""),
        ("e", "below", ""),
    ]
    assert [one.item.id for one in found.head] == ["c", "a", "b"]
    assert [one.moved for one in found.moves[3:]] == [0, 0]


def test_ranks_are_places_in_the_list_whatever_the_hits_say():
    before = [hit.ranked(hit.rank + 10) for hit in hits(*"ab")]
    found = compare(before, reordered(hits(*"ab"), {"a": 1, "b": 2}))
    assert [(one.before, one.after) for one in found.moves] == [(2, 1), (1, 2)]


@pytest.mark.parametrize("other", ["ab", "abcd", "abb", "abx"])
def test_two_lists_of_other_items_are_refused(other):
    with pytest.raises(ValueError, match="do not hold the same items"):
        compare(hits(*"abc"), reordered(hits(*other), {}))


def test_nothing_moves_where_all_scores_tie_and_tau_has_no_value():
    before = hits(*"abc")
    found = compare(before, reordered(before, dict.fromkeys("abc", 7.0)))
    assert [one.moved for one in found.moves] == [0, 0, 0]
    assert (found.tau, found.same_order_share) == (None, None)
    assert found.climbers(5) == found.fallers(5) == []


@pytest.mark.parametrize("names", ["", "a"])
def test_tau_takes_two_scored_hits(names):
    before = hits(*names)
    assert compare(before, reordered(before, dict.fromkeys(names, 1.0))).tau is None


def test_what_comes_from_further_down_is_counted():
    before = hits(*"abcdef")
    found = compare(before, reordered(before, {"a": 5, "b": 1, "c": 0, "d": 0.5, "e": 6, "f": 4}))
    assert [one.item.id for one in found.moves] == list("eafbdc")
    assert [found.new_in_first(places) for places in (1, 2, 3, 6)] == [1, 1, 2, 0]


def test_a_drawing_has_the_best_ranks_before_or_after_and_what_it_must():
    before = hits(*"abcdef")
    found = compare(before, reordered(before, {"a": 0, "b": 5, "c": 1, "d": 2, "e": 3, "f": 6}))
    assert [one.item.id for one in found.drawn(3)] == ["f", "b", "a"]
    assert [one.item.id for one in found.drawn(3, ["d"])] == ["f", "b", "d", "a"]
    assert found.drawn(99) == list(found.moves)


@given(st.permutations(range(9)))
def test_tau_of_a_permutation_is_scipys(order):
    before = hits(*"abcdefghi")
    scores = {hit.item.id: float(score) for hit, score in zip(before, order, strict=True)}
    found = compare(before, reordered(before, scores))
    wanted = kendalltau([-hit.rank for hit in before], order).statistic
    assert found.tau == pytest.approx(wanted)
    pairs = [(one, two) for one in range(9) for two in range(one)]
    same = sum(order[two] > order[one] for one, two in pairs) / len(pairs)
    assert found.same_order_share == pytest.approx(same)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12))
def test_tau_with_ties_is_scipys_tau_b_and_counted_by_hand(rows):
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    tau = kendall(x, y)
    pairs = [(x[i] - x[j], y[i] - y[j]) for i in range(len(x)) for j in range(i)]
    agree = sum((a * b > 0) - (a * b < 0) for a, b in pairs)
    told = math.sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))
    assert tau == (pytest.approx(agree / told) if told else None)


def test_two_rerankers_agree_over_what_both_scored():
    before = hits(*"abcd")
    one = reordered(before, {"a": 1, "b": 2, "c": 3, "d": 4})
    other = reordered(before, {"b": -5, "c": -1, "a": 0}, {"d": "unreadable"})
    # over a, b, c: ab and ac turn round, bc agrees
    assert agreement(one, other) == pytest.approx(-1 / 3)
    assert agreement(other, one) == pytest.approx(-1 / 3)
    assert agreement(one, one) == pytest.approx(1)
    assert agreement(one, reordered(before, dict.fromkeys("abcd", 0.0))) is None
    assert agreement(one, reordered(before, {"a": 1})) is None


def judged(gains: dict[str, int], before: str, after: str):
    return worth(gains, hits(*before), hits(*after))


def test_a_right_answer_that_rose_is_a_win():
    found = judged({"d": 1}, "abcd", "dabc")
    assert (found.verdict, found.first_before, found.first_after) == ("win", 4, 1)
    assert found.ndcg_before == pytest.approx(1 / math.log2(5))
    assert found.ndcg_after == pytest.approx(1)
    assert (found.right, found.found) == (1, 1)


def test_a_right_answer_that_fell_is_a_loss():
    found = judged({"a": 1}, "abcdef", "bcdefa")
    assert (found.verdict, found.first_before, found.first_after) == ("loss", 1, 6)


def test_a_right_answer_that_stayed_is_a_tie_whatever_else_moved():
    assert judged({"a": 1}, "abcd", "adcb").verdict == "tie"


def test_below_the_tenth_place_the_rank_decides():
    names = "abcdefghijklmnopqrst"
    moved = "abcdefghijkl" + "tmnopqrs"
    assert judged({"t": 1}, names, moved).verdict == "win"
    assert judged({"t": 1}, moved, names).verdict == "loss"
    assert judged({"t": 1}, names, names).verdict == "tie"


def test_a_better_graded_answer_that_rises_wins_although_the_first_stays():
    found = judged({"a": 1, "b": 1, "d": 3}, "abcd", "adbc")
    assert (found.verdict, found.first_before, found.first_after) == ("win", 1, 1)


def test_what_was_not_retrieved_cannot_be_brought():
    found = judged({"x": 1}, "abc", "cba")
    assert (found.verdict, found.first_before, found.first_after, found.found) == ("tie", None, None, 0)
    assert (found.ndcg_before, found.ndcg_after) == (0, 0)
    found = judged({"x": 1, "a": 1}, "abc", "bac")
    assert (found.verdict, found.right, found.found) == ("loss", 2, 1)
