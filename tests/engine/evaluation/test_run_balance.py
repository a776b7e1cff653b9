"""Evaluations over all modalities at once: what they rank under each treatment, and what they keep."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import EvaluationError
from engine.evaluation.archive import Evaluations, document
from engine.evaluation.results import Plan
from engine.search.search import Query
from engine.settings import load_settings
from engine.types import BALANCES
from engine.workspace import Workspace
from tests.helpers.gapped import store


def means_of(evaluation) -> dict[str, float]:
    return {name: one.mean for name, one in evaluation.summary.before.items()}


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    """A collection whose texts crowd out its pictures; opened without a model."""
    opened = Workspace.open(load_settings(data_dir=tmp_path_factory.mktemp("gapped"), min_free_disk_mb=1))
    store(opened)
    store(opened, 20, name="small")
    yield opened
    opened.close()


def test_a_mixed_list_is_measured_in_the_order_of_a_treatment(gapped):
    found = {mode: gapped.evaluate(Plan("gapped", balance=mode)) for mode in (None, *BALANCES)}
    hits = {mode: means_of(one)["hit@10"] for mode, one in found.items()}
    assert found[None].documents == 60 and all(found[mode].documents == 120 for mode in BALANCES)
    assert hits["raw"] < 0.1 < hits["centred"] <= hits[None] and hits["interleaved"] > 0.9
    assert hits["standardised"] > 0.5
    for mode in BALANCES:
        answers = {answer.qid: answer for answer in found[mode].answers}
        assert len(answers) == 60 and found[mode].plan.balance == mode
        for answer in answers.values():  # no caption answers itself
            assert answer.key.removeprefix("caption ") not in {
                str(int(id_, 16) - 1_000) for id_, _ in answer.retrieved if int(id_, 16) >= 1_000
            }
    assert found["raw"].comparable_with(found["centred"]) and not found["raw"].comparable_with(found[None])


def test_the_search_finds_what_was_measured(gapped):
    for mode in BALANCES:
        answer = next(
            one for one in gapped.evaluate(Plan("gapped", balance=mode)).answers if one.key == "caption 0"
        )
        trace = gapped.search(Query(like=f"{1_000:064x}"), collection="gapped", k=10, balance=mode)
        assert [hit.item.id for hit in trace.results] == [id_ for id_, _ in answer.retrieved[:10]]


def test_a_treatment_that_cannot_be_had_is_not_measured_as_another(gapped):
    with pytest.raises(EvaluationError, match="20 texts"):
        gapped.evaluate(Plan("small", balance="centred"))
    assert gapped.evaluate(Plan("small", balance="interleaved")).documents == 40
    with pytest.raises(EvaluationError, match="raw, centred, standardised, interleaved"):
        Plan("small", balance="centered")  # type: ignore[arg-type]


def test_captions_that_say_the_same_do_not_answer_each_other(workspace):
    store(workspace)
    items = [replace(item, caption="the same words") for item in workspace.store.all_items("gapped", "text")]
    table = workspace.store.vectors("gapped", "text", [item.id for item in items])
    workspace.ledger.put("gapped", items, table)
    workspace.store.upsert("gapped", workspace.store.made_by("gapped"), "text", items, table)
    found = workspace.evaluate(Plan("gapped", balance="raw"))
    assert len(found.answers) == 1 and len(found.answers[0].retrieved) == 60  # the pictures alone


def test_a_kept_evaluation_says_its_treatment_and_an_older_one_has_none(gapped, tmp_path):
    made = gapped.evaluate(Plan("gapped", balance="standardised", limit=5))
    kept = Evaluations(tmp_path)
    assert kept.load(kept.keep(made)).plan.balance == "standardised"
    assert document(made)["balance"] == "standardised"
    older = made.plan.to_dict()
    del older["balance"]
    assert Plan.of(older) == replace(made.plan, balance=None)
