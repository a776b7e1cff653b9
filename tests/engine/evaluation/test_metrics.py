"""The metrics agree with ir_measures and scipy on random runs, and with cases computed by hand."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from engine.evaluation.metrics import (
    average_precision_at,
    bootstrap,
    deltas,
    hit_at,
    means,
    measures,
    ndcg_at,
    precision_at,
    ranks_by_order,
    ranks_by_score,
    recall_at,
    reciprocal_rank,
)
from engine.evaluation.trec import RunRow, ranked_by

KS = (1, 3, 5, 10)
THEIRS = {
    **{f"hit@{k}": Success @ k for k in KS},
    **{f"recall@{k}": R @ k for k in KS},
    **{f"precision@{k}": P @ k for k in KS},
    **{f"map@{k}": AP @ k for k in KS},
    "mrr": RR,
    "ndcg@10": nDCG @ 10,
}


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """Draw runs with ties and missing items, and grades 0 to 10 with at least one right answer each."""
    documents = draw(st.integers(1, 30))
    names = [f"d{number}" for number in range(documents)]
    run, truth = {}, {}
    for question in range(draw(st.integers(1, 5))):
        ranked = draw(st.lists(st.sampled_from(names), unique=True, max_size=documents))
        # Few levels, so that many scores tie; documents that are not listed were never found.
        run[f"q{question}"] = {name: draw(st.integers(-3, 3)) / 2 for name in ranked}
        grades = draw(st.dictionaries(st.sampled_from(names), st.integers(0, 10), min_size=1))
        right = draw(st.sampled_from(names))
        truth[f"q{question}"] = {**grades, right: draw(st.integers(1, 10))}
    return run, truth


@given(runs())
def test_every_metric_equals_ir_measures_on_runs_with_ties_and_missing_items(drawn):
    run, truth = drawn
    rows = [
        RunRow(1, qid, docid, 1, score, "t") for qid, found in run.items() for docid, score in found.items()
    ]
    order = ranked_by(rows)
    ours = []
    for qid, grades in truth.items():
        right = {docid: grade for docid, grade in grades.items() if grade}
        ranks = ranks_by_order(order.get(qid, []), right)
        ours.append(measures(ranks, KS, np.array(list(right.values()))))
    theirs = ir_measures.calc_aggregate(
        list(THEIRS.values()),
        truth,
        {qid: found for qid, found in run.items() if found} or {"none": {"x": 1.0}},
    )
    for name, interval in means(ours).items():
        assert interval.mean == pytest.approx(theirs[THEIRS[name]], abs=1e-9), name


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=40), st.data())
def test_ranks_by_score_are_scipys_average_ranks(scores: list[int], data: st.DataObject):
    array = np.array(scores, np.float32)
    relevant = data.draw(st.lists(st.integers(0, len(scores) - 1), unique=True, min_size=1))
    wanted = scipy.stats.rankdata(-array, method="average")[relevant]
    assert ranks_by_score(array, relevant).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("scores", "relevant", "ranks"),
    [
        ([3, 2, 1], [0], [1]),
        ([3, 2, 1], [2, 0], [3, 1]),
        ([5, 5, 5, 5], [1], [2.5]),
        ([5, 5, 5, 5], [0, 3], [2.5, 2.5]),
        ([9, 4, 4, 1], [2], [2.5]),
        ([9, 4, 4, 1], [0, 1, 3], [1, 2.5, 4]),
        ([1], [0], [1]),
    ],
)
def test_ties_take_the_middle_of_their_places(scores, relevant, ranks):
    assert ranks_by_score(np.array(scores, np.float32), relevant).tolist() == ranks


def test_constant_scores_earn_no_credit():
    ranks = ranks_by_score(np.zeros(101, np.float32), [7])
    assert ranks.tolist() == [51]
    assert (hit_at(ranks, 10), recall_at(ranks, 10), reciprocal_rank(ranks), ndcg_at(ranks, 10)) == (
        *(0, 0),
        1 / 51,
        0,
    )


def test_hand_computed_metrics():
    ranks = np.array([2.0, 5.0, 20.0])
    assert recall_at(ranks, 5) == pytest.approx(2 / 3)
    assert (hit_at(ranks, 1), hit_at(ranks, 2), reciprocal_rank(ranks)) == (0, 1, 0.5)
    gained, ideal = 1 / np.log2(3) + 1 / np.log2(6), 1 + 1 / np.log2(3) + 1 / 2
    assert ndcg_at(ranks, 10) == pytest.approx(gained / ideal)
    assert ndcg_at(np.array([1.0, 9, 9, 9, 9]), 5) == pytest.approx(0.3392, abs=1e-4)
    assert (precision_at(ranks, 5), precision_at(ranks, 1)) == (2 / 5, 0)
    assert average_precision_at(ranks, 5) == pytest.approx((1 / 2 + 2 / 5) / 3)
    assert average_precision_at(ranks, 20) == pytest.approx((1 / 2 + 2 / 5 + 3 / 20) / 3)
    graded = ndcg_at(np.array([2.0, 1.0]), 10, np.array([3, 1]))
    assert graded == pytest.approx((3 / np.log2(3) + 1) / (3 + 1 / np.log2(3)))


def test_a_right_answer_that_was_never_ranked_costs_and_does_not_crash():
    ranks = ranks_by_order(["a", "b"], ["b", "gone"])
    assert ranks.tolist() == [2, np.inf]
    assert (recall_at(ranks, 10), hit_at(ranks, 10), reciprocal_rank(ranks)) == (0.5, 1, 0.5)
    nothing = measures(ranks_by_order([], ["x"]), (1, 5))
    assert set(nothing.values()) == {0.0}
    assert set(measures(np.array([]), (1,)).values()) == {0.0}


@pytest.mark.parametrize(("many", "k"), [(19, 10), (9, 5), (2, 1), (100, 10)])
def test_right_answers_that_all_tie_earn_no_more_than_their_places(many, k):
    ranks = ranks_by_score(np.zeros(many, np.float32), range(many))
    assert ndcg_at(ranks, k) <= 1 and recall_at(ranks, k) <= k / many
    assert precision_at(ranks, k) <= 1 and average_precision_at(ranks, k) <= k / many
    best = ranks_by_order(list(range(many)), range(many))
    assert ndcg_at(ranks, k) <= ndcg_at(best, k) == 1 and recall_at(best, k) == k / many


@given(st.data())
def test_a_tie_at_its_middle_rank_never_gains_more_than_its_places_do(data: st.DataObject):
    scores = np.array(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=40)), np.float64)
    gains = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores))))
    rows = np.flatnonzero(gains)
    k = data.draw(st.integers(1, 12))
    mid = ndcg_at(ranks_by_score(scores, rows), k, gains[rows])
    best = np.lexsort((-gains, -scores)).tolist()  # every tie in the order that gains most
    assert mid <= ndcg_at(ranks_by_order(best, rows.tolist()), k, gains[rows]) + 1e-12 <= 1 + 1e-9


@given(st.integers(0, 4), st.integers(1, 6))
def test_right_answers_that_tie_with_nothing_else_gain_what_they_do_in_any_order(above, tied):
    scores = np.array([*range(10, 10 + above), *[1] * tied, 0, 0], np.float64)
    rows = list(range(above + tied))
    ranks = ranks_by_score(scores, rows)
    assert (
        average_precision_at(ranks, len(scores)) == pytest.approx(1) and precision_at(ranks, len(rows)) == 1
    )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.data())
def test_properties_of_the_metrics(scores: list[int], data: st.DataObject):
    """P15 and P16 of the gap science: monotone in k, complete at N, blind to monotone score maps."""
    size = len(scores)
    relevant = data.draw(st.lists(st.integers(0, size - 1), unique=True, min_size=1, max_size=size))
    array = np.array(scores, np.float64)
    ranks = ranks_by_score(array, relevant)
    recalls = [recall_at(ranks, k) for k in range(1, size + 1)]
    assert recalls == sorted(recalls) and recalls[-1] == 1
    assert recall_at(ranks, 1) <= hit_at(ranks, 1) <= reciprocal_rank(ranks) <= 1
    assert 0 <= ndcg_at(ranks, 10) <= 1 + 1e-12
    for k in KS:
        assert 0 <= precision_at(ranks, k) <= 1
        assert 0 <= average_precision_at(ranks, k) <= recall_at(ranks, k) + 1e-12
    if len(relevant) == 1:
        assert all(
            recall_at(ranks, 1) <= ndcg_at(ranks, k) + 1e-12 and ndcg_at(ranks, k) <= recall_at(ranks, k)
            for k in KS
        )
    assert (ranks_by_score(np.exp(array) * 3 + 1, relevant) == ranks).all()


def test_the_interval_agrees_with_scipys_bootstrap_and_does_not_change():
    values = np.random.default_rng(3).normal(0.2, 1.0, 120)
    ours = bootstrap(values)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.mean == values.mean() and ours.n == 120 and ours == bootstrap(values)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_without_spread_the_interval_is_the_mean(values):
    found = bootstrap(np.array(values))
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_there_is_no_mean_of_no_questions():
    with pytest.raises(ValueError, match="no questions"):
        bootstrap(np.array([]))
    assert means([]) == deltas([], []) == {}


def test_the_change_is_paired_question_by_question():
    before = [{"mrr": 0.1}, {"mrr": 0.9}]
    after = [{"mrr": 0.2}, {"mrr": 1.0}]
    change = deltas(before, after)["mrr"]
    assert (change.mean, change.high - change.low) == (pytest.approx(0.1), pytest.approx(0, abs=1e-12))
    with pytest.raises(ValueError):
        deltas(before, after[:1])
