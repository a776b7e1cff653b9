"""Evaluations are kept whole, come back as they were, and their files say the same to ir_measures."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zipfile
from dataclasses import replace

import ir_measures
import pytest
from ir_measures import AP, RR, P, R, nDCG

from engine.errors import EvaluationError, FolderError
from engine.evaluation.archive import Evaluations, document, export, to_csv
from engine.evaluation.results import Plan
from engine.models.base import ModelChoice


@pytest.fixture(scope="module")
def made(shared):
    """Return a real evaluation with a reranker: 5 questions, 2 hits each reranked."""
    plan = Plan("photos", reranker=ModelChoice("pocket-reranker"), top=2, limit=5, ks=(1, 5))
    return shared.evaluate(plan)


@pytest.fixture
def kept(tmp_path) -> Evaluations:
    return Evaluations(tmp_path)


def without_lists(evaluation):
    answers = tuple(replace(one, gains={}, retrieved=(), reranked=()) for one in evaluation.answers)
    return replace(evaluation, answers=answers)


def test_what_is_kept_comes_back(kept, made):
    id_ = kept.keep(made)
    assert kept.load(id_) == without_lists(made)
    [one] = kept.list()
    assert (one.id, one.evaluation) == (id_, replace(made, answers=()))
    assert kept.list("photos") == [one] and kept.list("other") == []
    assert kept.file(id_) == kept._path(id_).read_bytes()


def test_one_without_a_reranker_comes_back_too(kept, shared):
    plain = shared.evaluate(Plan("photos", truth="labels"))
    assert kept.load(kept.keep(plain)) == without_lists(plain)
    assert "reranked.run" not in zipfile.ZipFile(io.BytesIO(export(plain))).namelist()


def test_they_are_listed_newest_first_and_damaged_ones_left_out(kept, made, tmp_path):
    old, new = (kept.keep(replace(made, finished_at=when)) for when in (1_000_000_000, 2_000_000_000))
    (tmp_path / "evaluations" / "3000000000-00000000.zip").write_bytes(b"no zip")
    (tmp_path / "evaluations" / "3000000001-00000000.zip").write_bytes(_zip({"evaluation.json": "[]"}))
    assert [one.id for one in kept.list()] == [new, old]


def _zip(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize("id_", ["", "../../etc/passwd", "1700000000-deadbeef", "x" * 1000])
def test_what_is_not_kept_is_told(kept, id_):
    for call in (kept.load, kept.file, kept.delete):
        if call != kept.delete or "deadbeef" not in id_:
            with pytest.raises(EvaluationError, match="There is no evaluation"):
                call(id_)


def test_deleting_one_and_forgetting_a_collection(kept, made):
    first, second = kept.keep(made), kept.keep(made)
    kept.keep(replace(made, plan=replace(made.plan, collection="other")))
    kept.delete(first)
    kept.delete(first)
    assert [one.id for one in kept.list("photos")] == [second]
    kept.forget("photos")
    assert [one.evaluation.plan.collection for one in kept.list()] == ["other"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, made):
    (tmp_path / "evaluations").write_text("a file, no folder")
    with pytest.raises(FolderError):
        Evaluations(tmp_path).keep(made)


def test_the_files_say_the_same_to_ir_measures(made, tmp_path):
    with zipfile.ZipFile(io.BytesIO(export(made))) as archive:
        archive.extractall(tmp_path)
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt")))
    for name, ours in (("retrieval", made.summary.before), ("reranked", made.summary.after)):
        run = list(ir_measures.read_trec_run(str(tmp_path / f"{name}.run")))
        named = {"recall@1": R @ 1, "recall@5": R @ 5, "precision@5": P @ 5, "map@5": AP @ 5, "mrr": RR}
        named["ndcg@10"] = nDCG @ 10
        theirs = ir_measures.calc_aggregate(list(named.values()), qrels, run)
        for metric, value in named.items():
            assert ours[metric].mean == pytest.approx(theirs[value], abs=1e-9), (name, metric)
    topics = dict(line.split("\t") for line in (tmp_path / "topics.tsv").read_text().splitlines())
    assert topics == {one.qid: one.key for one in made.answers}


def test_the_csv_has_a_line_per_question(made):
    rows = list(csv.DictReader(io.StringIO(to_csv(made.answers))))
    assert [row["question"] for row in rows] == [one.shown for one in made.answers]
    assert float(rows[0]["after ndcg@10"]) == made.answers[0].after["ndcg@10"]
    assert to_csv(()) == "qid\n"


def test_the_document_is_plain_json_with_the_means(made):
    data = json.loads(json.dumps(document(made)))
    assert data["metrics"]["ndcg@10"] == made.summary.before["ndcg@10"].mean
    assert data["delta"]["ndcg@10"].keys() == {"mean", "low", "high", "n"}
    assert data["wins"] + data["ties"] + data["losses"] == data["queries"] == 5
    assert [row["question"] for row in data["worse"]] == [one.shown for one in made.worse]


def test_an_evaluation_of_pictures_can_be_imported_as_marks_of_those_pictures(workspace, tmp_path):
    from engine.evaluation.judgements import Judgements
    from engine.evaluation.questions import Direction
    from tests.helpers.data import generated_photos, sources

    workspace.ingest("mine", sources([generated_photos(tmp_path / "in", 3)]))
    made = workspace.evaluate(Plan("mine", direction=Direction("image", "text")))
    marks = Judgements(workspace.ledger)
    assert marks.take("mine", io.BytesIO(export(made))).stored == 3
    assert {one.question for one in marks.of("mine")} == {one.key for one in made.answers}
    assert all(one.question.startswith("item:") for one in marks.of("mine"))


def test_a_file_with_flipped_bytes_is_left_out_and_never_raises_anything_else(kept, made):
    import random

    id_ = kept.keep(made)
    whole, chance = kept.file(id_), random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        kept._path(id_).write_bytes(damaged)
        kept.list()
        for call in (kept.load, lambda one: kept.file(one, "questions.csv")):
            with contextlib.suppress(EvaluationError):
                call(id_)


def test_no_cell_is_a_formula(made):
    asked = replace(made.answers[0], shown="=1+1")
    assert "'=1+1" in to_csv([asked]) and ",=1" not in to_csv([asked])


def test_deleting_a_collection_forgets_its_evaluations(workspace, tmp_path):
    from tests.helpers.data import generated_photos, sources

    workspace.ingest("mine", sources([generated_photos(tmp_path / "in", 2)]))
    workspace.evaluations.keep(workspace.evaluate(Plan("mine")))
    workspace.delete_collection("mine")
    assert workspace.evaluations.list() == []
