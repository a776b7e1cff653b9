"""The metrics agree with ir_measures and with hand-computed cases, and evaluate() with brute force."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from conftest import generated_photos, sources, write_captions
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG

from engine.errors import CollectionNotFoundError, EvaluationError
from engine.evaluate import (
    evaluate,
    metrics,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    relevant_ranks,
)
from engine.types import Filters

KS = (1, 3, 5, 10)


def random_run(seed: int) -> tuple[list[np.ndarray], list[set[int]]]:
    """Return scores without ties and relevant rows, sometimes more of them than k."""
    rng = np.random.default_rng(seed)
    documents = int(rng.integers(1, 60))
    scores = [rng.permutation(documents).astype(np.float32) for _ in range(8)]
    relevant = [
        set(rng.choice(documents, size=rng.integers(1, documents + 1), replace=False).tolist())
        for _ in scores
    ]
    return scores, relevant


@pytest.mark.parametrize("seed", range(40))
def test_metrics_agree_with_ir_measures(seed: int):
    scores, relevant = random_run(seed)
    ours = metrics([relevant_ranks(*pair) for pair in zip(scores, relevant, strict=True)], KS)
    run = {f"q{q}": {f"d{d}": float(s) for d, s in enumerate(row)} for q, row in enumerate(scores)}
    truth = {f"q{q}": {f"d{d}": 1 for d in rows} for q, rows in enumerate(relevant)}
    theirs = ir_measures.calc_aggregate([*(R @ k for k in KS), RR, nDCG @ 10], truth, run)
    for k in KS:
        assert ours[f"recall@{k}"] == pytest.approx(theirs[R @ k], abs=1e-9)
    assert ours["mrr"] == pytest.approx(theirs[RR], abs=1e-9)
    assert ours["ndcg@10"] == pytest.approx(theirs[nDCG @ 10], abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "relevant", "ranks"),
    [
        ([3, 2, 1], {0}, [1]),
        ([3, 2, 1], {2, 0}, [1, 3]),
        ([5, 5, 5, 5], {1}, [2.5]),
        ([5, 5, 5, 5], {0, 3}, [2.5, 2.5]),
        ([9, 4, 4, 1], {2}, [2.5]),
        ([9, 4, 4, 1], {0, 1, 3}, [1, 2.5, 4]),
        ([1], {0}, [1]),
    ],
)
def test_ties_take_the_middle_of_their_places(scores, relevant, ranks):
    assert relevant_ranks(np.array(scores, np.float32), relevant).tolist() == ranks


def test_constant_scores_earn_no_credit():
    ranks = relevant_ranks(np.zeros(101, np.float32), {7})
    assert ranks.tolist() == [51]
    assert (recall_at(ranks, 10), reciprocal_rank(ranks), ndcg_at(ranks, 10)) == (0, 1 / 51, 0)


def test_hand_computed_metrics():
    ranks = np.array([2.0, 5.0, 20.0])
    assert recall_at(ranks, 5) == pytest.approx(2 / 3)
    assert reciprocal_rank(ranks) == 0.5
    gained, ideal = 1 / np.log2(3) + 1 / np.log2(6), 1 + 1 / np.log2(3) + 1 / 2
    assert ndcg_at(ranks, 10) == pytest.approx(gained / ideal)
    assert ndcg_at(np.array([1.0, 9, 9, 9, 9]), 5) == pytest.approx(0.3392, abs=1e-4)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.data())
def test_properties_of_the_metrics(scores: list[int], data: st.DataObject):
    """P15 and P16 of the gap science: monotone in k, complete at N, blind to monotone score maps."""
    size = len(scores)
    relevant = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=size))
    array = np.array(scores, np.float64)
    ranks = relevant_ranks(array, relevant)
    recalls = [recall_at(ranks, k) for k in range(1, size + 1)]
    assert recalls == sorted(recalls) and recalls[-1] == 1
    assert recall_at(ranks, 1) <= reciprocal_rank(ranks) <= 1
    assert 0 <= ndcg_at(ranks, 10) <= 1 + 1e-12
    if len(relevant) == 1:
        assert all(
            recall_at(ranks, 1) <= ndcg_at(ranks, k) + 1e-12 and ndcg_at(ranks, k) <= recall_at(ranks, k)
            for k in KS
        )
    assert (relevant_ranks(np.exp(array) * 3 + 1, relevant) == ranks).all()


def brute_force(questions: list[str], relevant: list[set[str]], shared, pocket) -> dict[str, float]:
    """Recompute the metrics from the ids that plain sorting puts in order."""
    table = shared.store.vectors("photos", "image")
    recall1, recall5, mrr, ndcg = [], [], [], []
    for question, wanted in zip(questions, relevant, strict=True):
        vector = pocket.encode_query("text", [question])[0]
        order = [table.ids[row] for row in np.argsort(-(table.vectors.astype(np.float64) @ vector))]
        places = [order.index(id_) + 1 for id_ in wanted]
        recall1.append(sum(place <= 1 for place in places) / len(places))
        recall5.append(sum(place <= 5 for place in places) / len(places))
        mrr.append(1 / min(places))
        ideal = sum(1 / np.log2(place + 1) for place in range(1, min(10, len(places)) + 1))
        ndcg.append(sum(1 / np.log2(place + 1) for place in places if place <= 10) / ideal)
    names = ("recall@1", "recall@5", "mrr", "ndcg@10")
    return {name: float(np.mean(row)) for name, row in zip(names, (recall1, recall5, mrr, ndcg), strict=True)}


def test_pairs_agree_with_brute_force(shared, pocket):
    texts = list(shared.store.all_items("photos", "text"))
    wanted = brute_force([t.caption for t in texts], [{t.pair} for t in texts], shared, pocket)
    ticks: list[tuple[int, int]] = []
    result = evaluate(
        "photos",
        store=shared.store,
        embedder=pocket,
        ks=(1, 5),
        on_progress=lambda done, total: ticks.append((done, total)),
    )
    assert result.truth == "pairs" and (result.queries, result.documents) == (24, 24)
    assert result.metrics == pytest.approx(wanted, abs=1e-6)
    assert result.metrics["recall@1"] > 0.5 and ticks[-1] == (24, 24)


def test_labels_agree_with_brute_force(shared, pocket):
    relevant: dict[str, set[str]] = {}
    for item in shared.store.all_items("photos", "image"):
        for label in item.labels:
            relevant.setdefault(label, set()).add(item.id)
    wanted = brute_force(list(relevant), list(relevant.values()), shared, pocket)
    result = evaluate("photos", store=shared.store, embedder=pocket, truth="labels", ks=(1, 5))
    assert result.truth == "labels" and result.queries == len(relevant)
    assert result.metrics == pytest.approx(wanted, abs=1e-6)


def test_recall_at_n_is_one(shared, pocket):
    result = evaluate("photos", store=shared.store, embedder=pocket, ks=(24, 1000))
    assert result.metrics["recall@24"] == result.metrics["recall@1000"] == 1


@pytest.mark.parametrize(("truth", "named"), [(None, "labels"), ("pairs", "pairs"), ("labels", "labels")])
def test_nothing_to_measure_is_said_in_words(workspace, pocket, tmp_path, truth, named):
    folder = generated_photos(tmp_path / "bare", 2)
    (folder / "metadata.jsonl").unlink()
    workspace.ingest("bare", sources([folder]))
    with pytest.raises(EvaluationError, match=f"'bare' has no {named} to measure against. Ingest pictures"):
        evaluate("bare", store=workspace.store, embedder=pocket, truth=truth)
    with pytest.raises(CollectionNotFoundError):
        evaluate("nothing", store=workspace.store, embedder=pocket, truth=truth)


def test_a_collection_of_text_alone_has_nothing_to_measure(workspace, pocket, tmp_path):
    (tmp_path / "note.txt").write_text("only words")
    workspace.ingest("words", sources([tmp_path / "note.txt"]))
    with pytest.raises(EvaluationError):
        evaluate("words", store=workspace.store, embedder=pocket)


def test_several_captions_ask_several_questions(workspace, pocket, tmp_path):
    folder = generated_photos(tmp_path / "many", 3)
    rows = [{"file_name": "0000.jpg", "caption": caption} for caption in ("one", "two", "three")]
    write_captions(folder, [*rows, {"file_name": "0001.jpg", "caption": "one"}])
    workspace.ingest("many", sources([folder]))
    assert len(workspace.store.items("many", "text", Filters(), limit=100)) == 4
    result = evaluate("many", store=workspace.store, embedder=pocket)
    assert (result.queries, result.documents) == (4, 3)
