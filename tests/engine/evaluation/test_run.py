"""evaluate() agrees with brute force, before and after reranking, and says what cannot be measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CollectionNotFoundError, EvaluationError, MediaError, ModelError
from engine.evaluation.judgements import Judgements
from engine.evaluation.metrics import ranks_by_score
from engine.evaluation.questions import Direction, known_answers, survey
from engine.evaluation.results import Answer, Plan, difference, final, summarise
from engine.evaluation.run import ranks_after
from engine.models.base import ModelChoice, ModelSpec
from engine.types import Provenance
from tests.helpers.data import generated_photos, sources, write_captions

TEXT_IMAGE, IMAGE_TEXT = Direction("text", "image"), Direction("image", "text")


def brute_force(questions: list[str], relevant: list[set[str]], shared, pocket) -> dict[str, float]:
    """Recompute the metrics from the ids that plain sorting puts in order."""
    table = shared.store.vectors("photos", "image")
    hit1, recall1, recall5, mrr, ndcg = [], [], [], [], []
    for question, wanted in zip(questions, relevant, strict=True):
        vector = pocket.encode_query("text", [question])[0]
        order = [table.ids[row] for row in np.argsort(-(table.vectors.astype(np.float64) @ vector))]
        places = [order.index(id_) + 1 for id_ in wanted]
        hit1.append(min(places) == 1)
        recall1.append(sum(place <= 1 for place in places) / len(places))
        recall5.append(sum(place <= 5 for place in places) / len(places))
        mrr.append(1 / min(places))
        ideal = sum(1 / np.log2(place + 1) for place in range(1, min(10, len(places)) + 1))
        ndcg.append(sum(1 / np.log2(place + 1) for place in places if place <= 10) / ideal)
    rows = {"hit@1": hit1, "recall@1": recall1, "recall@5": recall5, "mrr": mrr, "ndcg@10": ndcg}
    return {name: float(np.mean(row)) for name, row in rows.items()}


def means_of(evaluation) -> dict[str, float]:
    return {name: one.mean for name, one in evaluation.summary.before.items()}


def test_pairs_agree_with_brute_force(shared, pocket):
    texts = list(shared.store.all_items("photos", "text"))
    wanted = brute_force([t.caption for t in texts], [{t.pair} for t in texts], shared, pocket)
    ticks: list[tuple[int, int]] = []
    result = shared.evaluate(
        Plan("photos", ks=(1, 5)), on_progress=lambda now: ticks.append((now.done, now.total))
    )
    assert (result.truth, str(result.direction)) == ("pairs", "text-image")
    assert (result.summary.queries, result.total, result.documents) == (24, 24, 24)
    assert {name: means_of(result)[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert wanted["recall@1"] > 0.5 and ticks[0] == (0, 24) and ticks[-1] == (24, 24)
    assert result.made_by == shared.store.info("photos").made_by and result.reranked_by is None


def test_labels_agree_with_brute_force(shared, pocket):
    relevant: dict[str, set[str]] = {}
    for item in shared.store.all_items("photos", "image"):
        for label in item.labels:
            relevant.setdefault(label, set()).add(item.id)
    wanted = brute_force(list(relevant), list(relevant.values()), shared, pocket)
    result = shared.evaluate(Plan("photos", truth="labels", ks=(1, 5)))
    assert result.truth == "labels" and result.summary.queries == len(relevant)
    assert {name: means_of(result)[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


def test_pictures_ask_for_their_captions(shared, pocket):
    result = shared.evaluate(Plan("photos", direction=IMAGE_TEXT))
    pictures = shared.store.vectors("photos", "image")
    texts = shared.store.vectors("photos", "text")
    pair = {item.id: item.pair for item in shared.store.all_items("photos", "text")}
    hits = []
    for id_, vector in zip(pictures.ids, pictures.vectors, strict=True):
        best = texts.ids[int(np.argmax(texts.vectors @ vector))]
        hits.append(pair[best] == id_)
    assert result.summary.before["hit@1"].mean == pytest.approx(np.mean(hits), abs=1 / 24 + 1e-9)
    assert result.documents == 24


def test_pictures_ask_for_others_with_their_label_and_never_find_themselves(shared):
    counts = survey(shared.store, shared.ledger, "photos")
    result = shared.evaluate(Plan("photos", truth="labels", direction=Direction("image", "image")))
    assert result.summary.queries == counts["labels", Direction("image", "image")] > 3
    for answer in result.answers:
        own = answer.key.removeprefix("item:")
        assert own not in answer.gains
        assert own not in dict(answer.retrieved)


def test_recall_at_n_is_one(shared):
    summary = shared.evaluate(Plan("photos", ks=(24, 1000))).summary
    assert summary.before["recall@24"].mean == summary.before["recall@1000"].mean == 1


def test_a_sample_is_a_part_and_the_same_every_time(shared):
    one = shared.evaluate(Plan("photos", limit=7, seed=3))
    again = shared.evaluate(Plan("photos", limit=7, seed=3))
    other = shared.evaluate(Plan("photos", limit=7, seed=4))
    assert [a.key for a in one.answers] == [a.key for a in again.answers] != [a.key for a in other.answers]
    assert (one.summary.queries, one.total) == (7, 24)
    assert one.comparable_with(again) and not one.comparable_with(other)


def test_cancelling_ends_with_nothing(shared):
    seen: list[int] = []
    assert (
        shared.evaluate(
            Plan("photos"),
            on_progress=lambda now: seen.append(now.done),
            cancelled=lambda: len(seen) > 3,
        )
        is None
    )
    assert max(seen) < 24


# ── with a reranker ──────────────────────────────────────────────────────────────────────────────


class Told:
    """A reranker that scores pictures by a function of the question and the picture."""

    codec = None

    def __init__(self, score) -> None:
        self.spec = ModelSpec("told", "reranker", ("text", "image"), "MIT", "")
        self.provenance, self._score = Provenance("told", "1", 1), score

    def can_read(self, query, document):
        return (query, document) == ("text", "image")

    def prepare(self, modality, content):
        return content

    def score(self, query, documents):
        return np.array([self._score(query[1], content) for _, content in documents], np.float32)


@pytest.fixture
def told(shared, monkeypatch):
    """Return a function that evaluates the shared photographs with a told reranker."""
    from contextlib import nullcontext

    captions = {item.pair: item.caption for item in shared.store.all_items("photos", "text")}
    monkeypatch.setattr(shared.folder, "open_item", lambda item: captions[item.id])

    def run(score, **plan):
        monkeypatch.setattr(shared.models, "reranker", lambda choice: nullcontext(Told(score)))
        return shared.evaluate(Plan("photos", reranker=ModelChoice("told"), **plan))

    return run


def test_an_oracle_reaches_the_ceiling_and_its_opposite_loses(told):
    best = told(lambda question, caption: float(question == caption), top=10)
    assert best.summary.after["hit@1"].mean == best.summary.ceiling.mean > best.summary.before["hit@1"].mean
    assert best.summary.captured == pytest.approx(1) and best.worse == []
    assert best.summary.wins + best.summary.ties == 24
    worst = told(lambda question, caption: -float(question == caption), top=10)
    assert worst.summary.after["hit@1"].mean == 0 and worst.summary.delta["ndcg@10"].high < 0
    assert worst.summary.losses == len(worst.worse) > 12
    assert [one.change for one in worst.worse] == sorted(one.change for one in worst.worse)


def test_the_same_score_for_all_is_a_tie_of_ranks_and_no_order(told):
    flat = told(lambda question, caption: 0.0, top=10)
    for answer in flat.answers:
        assert answer.rank_after == (5.5 if answer.rank_before <= 10 else answer.rank_before)


def test_a_rerankers_numbers_are_those_of_the_order_it_makes(told):
    found = told(lambda question, caption: float(len(set(question) ^ set(caption))), top=7)
    for answer in found.answers:
        ids = [id_ for id_, _ in answer.reranked]
        [right] = answer.gains
        assert set(ids[:7]) == {id_ for id_, _ in answer.retrieved[:7]} and ids[7:] == [
            id_ for id_, _ in answer.retrieved[7:]
        ]
        scores = [score for _, score in answer.reranked]
        assert scores == sorted(scores, reverse=True)
        if scores.count(dict(answer.reranked)[right]) == 1:
            assert answer.rank_after == ids.index(right) + 1
        assert answer.ceiling == (right in ids[:7])
        assert (answer.scored, answer.unscored) == (7, 0)


def test_what_fails_to_score_is_counted_and_stays_below(told):
    def score(question, caption):
        if caption == question:
            raise ModelError("out of memory")
        return 1.0

    found = told(score, top=5)
    assert found.summary.pairs_unscored == sum(answer.ceiling for answer in found.answers)
    for answer in found.answers:
        assert answer.rank_after == (5 if answer.ceiling else answer.rank_before)


def test_one_question_that_the_reranker_refuses_costs_only_itself(told):
    asked: list[str] = []

    def score(question, caption):
        asked.append(question)
        if question == first:
            raise ModelError("too long")
        return 1.0

    first = told(lambda question, caption: 1.0, top=4).answers[0].key
    found = told(score, top=4)
    assert found.summary.queries == 24 and found.summary.pairs_unscored == 4
    assert found.answers[0].after == found.answers[0].before

    def broken(question, caption):
        raise ModelError("out of order")

    with pytest.raises(ModelError, match="out of order"):
        told(broken, top=4)


@pytest.mark.slow
def test_the_embedded_reranker_in_a_whole_evaluation(shared):
    choice = ModelChoice("pocket-reranker")
    found = shared.evaluate(Plan("photos", reranker=choice, top=8, limit=6))
    again = shared.evaluate(Plan("photos", reranker=choice, top=8, limit=6))
    assert found.reranked_by.model == "pocket-reranker"
    assert [a.rank_after for a in found.answers] == [a.rank_after for a in again.answers]
    assert found.summary.pairs_scored == 48 and again.summary.fresh == 0
    assert not found.reads_the_answer


def test_a_text_reranker_of_captions_is_told_to_be_shown_the_answers(shared, tiny):
    found = shared.evaluate(Plan("photos", reranker=ModelChoice(str(tiny("text_reranker"))), top=4, limit=3))
    assert found.summary.pairs_by_caption == 12 and found.reads_the_answer


def test_a_reranker_that_reads_no_such_pair_is_refused(shared):
    with pytest.raises(EvaluationError, match="pocket-reranker cannot rerank items of kind text for"):
        shared.evaluate(Plan("photos", direction=IMAGE_TEXT, reranker=ModelChoice("pocket-reranker")))


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=25),
    st.integers(1, 30),
    st.data(),
)
def test_only_the_head_moves(scores: list[int], top: int, data: st.DataObject):
    """P21: R@k after <= R@K before; a reranker's own order among the head; the tail below it as before."""
    array = np.array(scores, np.float64)
    head = np.argsort(-array, kind="stable")[:top].tolist()
    scored = data.draw(st.integers(0, len(head)))
    order = data.draw(st.permutations(head))
    own = sorted(data.draw(st.lists(st.integers(0, 3), min_size=scored, max_size=scored)), reverse=True)
    ranks = ranks_after(array, order, own, range(len(scores)))
    assert sorted(ranks)[0] >= 1 and ranks.sum() == pytest.approx(len(scores) * (len(scores) + 1) / 2)
    for place, row in enumerate(order):
        assert ranks[row] <= len(head)
        assert (ranks[row] > scored) == (place >= scored)
    tail = [row for row in range(len(scores)) if row not in head]
    assert all(ranks[row] > len(head) for row in tail)
    before = ranks_by_score(array, range(len(scores)))
    assert sorted(tail, key=lambda row: before[row]) == sorted(tail, key=lambda row: ranks[row])


def test_a_reranker_that_scores_nothing_changes_no_rank_of_a_tie():
    array, head = np.zeros(6), [3, 1, 2, 0, 5, 4]
    assert ranks_after(array, head, [], range(6)).tolist() == [3.5] * 6


def test_own_scores_change_nothing():
    array = np.random.default_rng(0).permutation(40).astype(np.float64)
    head = np.argsort(-array)[:15].tolist()
    ranks = ranks_after(array, head, sorted(array[head], reverse=True), range(40))
    assert (ranks == ranks_by_score(array, range(40))).all()


# ── what cannot be measured ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("truth", [None, "pairs", "labels", "judgements"])
def test_nothing_to_measure_is_said_in_words(workspace, tmp_path, truth):
    folder = generated_photos(tmp_path / "bare", 2)
    (folder / "metadata.jsonl").unlink()
    workspace.ingest("bare", sources([folder]))
    named = truth or "pairs, labels or judgements"
    with pytest.raises(EvaluationError, match=f"'bare' has no {named} to measure against. Ingest pictures"):
        workspace.evaluate(Plan("bare", truth=truth))
    with pytest.raises(CollectionNotFoundError):
        workspace.evaluate(Plan("nothing", truth=truth))
    assert survey(workspace.store, workspace.ledger, "bare") == {}


def test_a_collection_of_text_alone_has_nothing_to_measure(workspace, tmp_path):
    (tmp_path / "note.txt").write_text("only words")
    workspace.ingest("words", sources([tmp_path / "note.txt"]))
    with pytest.raises(EvaluationError):
        workspace.evaluate(Plan("words"))


def test_a_direction_that_a_truth_has_not_is_refused(shared):
    with pytest.raises(EvaluationError, match="pairs cannot be asked as image-image: choose one of text-"):
        shared.evaluate(Plan("photos", truth="pairs", direction=Direction("image", "image")))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"truth": "belief"}, "one of pairs, labels, judgements, not 'belief'"),
        ({"ks": ()}, "k is"),
        ({"ks": (0,)}, "k is 0; it must be 1 to 1,000"),
        ({"top": 0}, "rerank is 0; it must be 1 to 1,000"),
        ({"top": 1001}, "rerank is 1001"),
        ({"limit": 0}, "A sample of 0 questions"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(EvaluationError, match=says):
        Plan("photos", **wrong)


@pytest.mark.parametrize("text", ["", "text", "text-", "text-smell", "image_text", "text-image-text"])
def test_a_direction_is_two_kinds(text):
    with pytest.raises(EvaluationError, match="A direction is two of text, image"):
        Direction.of(text)


def test_a_plan_survives_json():
    plan = Plan("photos", "labels", TEXT_IMAGE, ModelChoice("m", dtype="float32"), 7, (1, 2), 3, 4)
    assert Plan.of(plan.to_dict()) == plan
    assert Plan.of(Plan("photos").to_dict()) == Plan("photos")


def test_several_captions_ask_several_questions_and_the_same_words_one(workspace, tmp_path):
    folder = generated_photos(tmp_path / "many", 3)
    rows = [{"file_name": "0000.jpg", "caption": caption} for caption in ("one", "two", "three")]
    write_captions(folder, [*rows, {"file_name": "0001.jpg", "caption": "one"}])
    workspace.ingest("many", sources([folder]))
    assert len(workspace.store.items("many", "text", limit=100)) == 4
    result = workspace.evaluate(Plan("many"))
    assert (result.summary.queries, result.documents) == (3, 3)
    assert [len(one.gains) for one in result.answers if one.key == "one"] == [2]
    assert len({one.qid for one in result.answers}) == 3
    assert difference(result, result, "ndcg@10").mean == 0
    again = workspace.evaluate(Plan("many", direction=IMAGE_TEXT))
    assert sorted(len(one.gains) for one in again.answers) == [1, 3]


def test_a_picture_whose_file_is_gone_cannot_ask_and_is_named(shared, monkeypatch):
    gone = next(iter(shared.store.all_items("photos", "image")))
    open_item = shared.folder.open_item

    def without(item):
        if item.id == gone.id:
            raise MediaError("The file is gone.")
        return open_item(item)

    monkeypatch.setattr(shared.folder, "open_item", without)
    found = shared.evaluate(Plan("photos", direction=IMAGE_TEXT))
    assert found.summary.queries == 23
    assert [one.reason for one in found.unasked] == ["The file is gone."]


def test_marks_are_questions(workspace, tmp_path):
    workspace.ingest("marked", sources([generated_photos(tmp_path / "in", 4)]))
    pictures = [item.id for item in workspace.store.all_items("marked", "image")]
    marks = Judgements(workspace.ledger)
    marks.mark("marked", "my question", pictures[0], 3)
    marks.mark("marked", "my question", pictures[1], 1)
    marks.mark("marked", "hopeless", pictures[1], 0)
    marks.mark("marked", f"item:{pictures[2]}", pictures[3], 1)
    asked = workspace.evaluate(Plan("marked", truth="judgements"))
    assert [one.key for one in asked.answers] == ["my question"]
    assert asked.answers[0].gains == {pictures[0]: 3, pictures[1]: 1}
    alike = workspace.evaluate(Plan("marked", truth="judgements", direction=Direction("image", "image")))
    assert [one.gains for one in alike.answers] == [{pictures[3]: 1}]
    assert pictures[2] not in dict(alike.answers[0].retrieved)
    known = known_answers(workspace.ledger, "marked", "my question", ["image"])
    assert (known.truth, known.gains) == ("judgements", {pictures[0]: 3, pictures[1]: 1})
    assert known_answers(workspace.ledger, "marked", "my question", ["text"]) is None
    assert known_answers(workspace.ledger, "marked", "hopeless", ["image"]) is None


def test_what_is_marked_wrong_is_not_right_and_spaces_do_not_matter(workspace, tmp_path):
    folder = generated_photos(tmp_path / "in", 2)
    write_captions(folder, [{"file_name": "0000.jpg", "caption": "two  spaces\nand a line", "label": "it"}])
    workspace.ingest("spaced", sources([folder]))
    key = "two spaces and a line"
    [answer] = workspace.evaluate(Plan("spaced")).answers
    known = known_answers(workspace.ledger, "spaced", key, ["image"])
    assert answer.key == key and known.truth == "pairs" and known.gains == answer.gains
    [picture] = known.gains
    Judgements(workspace.ledger).mark("spaced", key, picture, 0)
    assert known_answers(workspace.ledger, "spaced", key, ["image"]) is None
    Judgements(workspace.ledger).mark("spaced", "it", picture, 0)
    assert known_answers(workspace.ledger, "spaced", "it", ["image"]) is None


def test_what_is_known_of_one_question_is_what_evaluate_asks(shared):
    for truth in ("pairs", "labels"):
        for answer in shared.evaluate(Plan("photos", truth=truth)).answers:
            known = known_answers(shared.ledger, "photos", answer.key, ["image"])
            if known.truth == truth:
                assert known.gains == answer.gains
    assert known_answers(shared.ledger, "photos", "nobody asks this", ["image"]) is None


def answers(*values: tuple[float, float]) -> list[Answer]:
    return [
        Answer(
            str(n), str(n), "", {}, {"ndcg@10": a}, 1 if a == 1 else 2, (), {"ndcg@10": b}, 1 if b == 1 else 2
        )
        for n, (a, b) in enumerate(values)
    ]


def test_wins_ties_and_losses_are_by_ndcg_and_rounding_is_no_win():
    found = summarise(answers((0.5, 1.0), (0.5, 0.5 + 1e-15), (1.0, 0.5), (0.2, 0.1)))
    assert (found.wins, found.ties, found.losses) == (1, 1, 2)
    assert found.captured is None  # the ceiling is 0 here: nothing was among the hits


def test_two_evaluations_are_compared_question_by_question(shared):
    one = shared.evaluate(Plan("photos"))
    better = replace(
        one,
        answers=tuple(
            replace(a, after={**a.before, "mrr": min(1.0, a.before["mrr"] + 0.1)}) for a in one.answers
        ),
    )
    rise = np.mean([final(a)["mrr"] - a.before["mrr"] for a in better.answers])
    assert difference(better, one, "mrr").mean == pytest.approx(rise)
    with pytest.raises(EvaluationError, match="same questions"):
        difference(one, shared.evaluate(Plan("photos", limit=5)), "mrr")
    with pytest.raises(EvaluationError):
        difference(one, better, "recall@77")
