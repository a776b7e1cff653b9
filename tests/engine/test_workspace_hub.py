"""A hub model in a workspace: made by it, searched by it, and refused for anything else."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from engine.errors import CollectionModelError, GapscopeError, ModelOptionError, SlowModelError
from engine.jobs.queue import Jobs
from engine.models.base import ModelChoice
from engine.models.hub.batches import Batches
from engine.search.search import Query
from engine.types import to_fingerprint
from engine.workspace import Workspace
from tests.helpers.data import generated_photos, real_photos, sources


@pytest.fixture
def photos(tmp_path: Path) -> object:
    folder = tmp_path / "photos"
    folder.mkdir()
    return sources([real_photos(folder, 8)])


def test_a_collection_is_made_and_searched_by_the_model_that_was_chosen(workspace: Workspace, photos, tiny):
    choice = ModelChoice(str(tiny("qwen_embedder")))
    report = workspace.ingest("mine", photos, choice=choice)
    assert (report.stored, report.failed, report.model) == (16, (), choice.id)
    again = workspace.ingest("mine", photos)  # what made it is what adds to it
    assert (again.stored, again.skipped) == (0, 16)
    trace = workspace.search(Query(text="a bird"), collection="mine", k=5)
    assert trace.model == choice.id and len(trace.results) == 5
    item = workspace.store.items("mine", "image", limit=1)[0]
    picture = workspace.folder.open_item(item)
    found = workspace.search(Query(image=picture), collection="mine", k=8)
    assert item.id in {hit.item.id for hit in found.results}
    assert [model.choice.id for model in workspace.models.loaded.list()] == [choice.id]


def test_the_store_keeps_everything_that_shaped_the_vectors(workspace: Workspace, photos, tiny):
    choice = ModelChoice(
        str(tiny("qwen_embedder")), query_prompt="find : ", min_pixels=512, max_pixels=2048, dtype="bfloat16"
    )
    workspace.ingest("mine", photos, choice=choice)
    metadata = workspace.store._part("mine", "image").metadata
    assert metadata["model"] == choice.id and metadata["revision"].startswith("local-")
    assert (metadata["dim"], metadata["dtype"]) == (32, "bfloat16")
    assert (metadata["min_pixels"], metadata["max_pixels"]) == (512, 2048)
    assert (metadata["query_prompt"], metadata["document_prompt"]) == ("find : ", "")
    assert "sentence-transformers 6" in metadata["libraries"] and metadata["fingerprint"]
    made_by = workspace.store.info("mine").made_by
    assert workspace.ledger.provenance("mine") == made_by
    assert workspace.ledger.provenance("mine").libraries == made_by.libraries
    with workspace.models.embedder(ModelChoice.of(made_by)) as embedder:
        assert embedder.provenance.agrees_with(made_by)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dim": 16}, "dim 32, not 16"),
        ({"dtype": "bfloat16"}, "dtype 'float32', not 'bfloat16'"),
        ({"query_prompt": "other"}, "query prompt"),
        ({"document_prompt": "other"}, "document prompt '', not 'other'"),
        ({"max_pixels": 2048}, "max pixels 4096, not 2048"),
    ],
)
def test_adding_with_anything_else_is_refused_in_words(workspace: Workspace, photos, tiny, options, says):
    choice = ModelChoice(str(tiny("qwen_embedder")))
    workspace.ingest("mine", photos, choice=choice)
    with pytest.raises(CollectionModelError, match=says) as refused:
        workspace.ingest("mine", photos, choice=replace(choice, **options))
    assert "python -m engine reembed" in str(refused.value)
    with pytest.raises(CollectionModelError):
        workspace.ingest("mine", photos, choice=ModelChoice("pocket"))
    assert workspace.search(Query(text="a bird"), collection="mine", k=3).results


def test_a_folder_that_changed_is_refused_and_what_worked_before_still_works(
    workspace: Workspace, photos, tiny, tmp_path
):
    folder = tmp_path / "model"
    shutil.copytree(tiny("clip"), folder)
    workspace.ingest("mine", photos, choice=ModelChoice(str(folder)))
    workspace.ingest("pockets", photos)
    workspace.models.loaded.unload(workspace.models.loader.resolve(ModelChoice(str(folder))))
    shutil.copyfile(tiny("clip_saved") / "model.safetensors", folder / "model.safetensors")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CollectionModelError, match=r"revision 'local-\w+', not 'local-\w+'"):
        workspace.search(Query(text="a bird"), collection="mine")
    assert workspace.search(Query(text="a bird"), collection="pockets").results
    like = workspace.store.items("mine", "image", limit=1)[0]
    assert workspace.search(Query(like=like.id), collection="mine").results  # needs no model


def test_a_library_that_makes_other_vectors_is_noticed(workspace: Workspace, photos, tiny, monkeypatch):
    workspace.ingest("mine", photos, choice=ModelChoice(str(tiny("clip"))))
    made_by = workspace.store.info("mine").made_by
    with workspace.models.embedder(ModelChoice.of(made_by)) as embedder:
        other = to_fingerprint(-embedder.encode_query("text", ["something else"])[0])
        near = replace(embedder.provenance, libraries="sentence-transformers 7")
    assert made_by.agrees_with(near)  # another release with the same vectors is no other model
    monkeypatch.setattr("engine.models.hub.embedder.to_fingerprint", lambda vector: other)
    workspace.models.loaded.unload(workspace.models.loader.resolve(ModelChoice(str(tiny("clip")))))
    with pytest.raises(CollectionModelError, match="other vectors of the same things"):
        workspace.search(Query(text="a bird"), collection="mine")


def test_options_that_cannot_be_are_refused_before_anything_is_stored(workspace: Workspace, photos, tiny):
    for options in ({"dim": 33}, {"min_pixels": 9, "max_pixels": 3}, {"dtype": "float7"}):
        with pytest.raises(ModelOptionError):
            workspace.ingest("mine", photos, choice=ModelChoice(str(tiny("qwen_embedder")), **options))
    assert workspace.store.collections() == [] and workspace.ledger.counts() == {}


def test_what_would_take_very_long_is_said_before_it_begins(
    workspace: Workspace, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr("engine.models.lender.SLOW_SECONDS", 1e-6)
    folder = generated_photos(tmp_path / "in", 3)
    choice = ModelChoice(str(tiny("clip")))
    with pytest.raises(SlowModelError, match=r"s an item on cpu \(measured on one\): 3 files"):
        workspace.ingest("mine", sources([folder]), choice=choice)
    assert workspace.store.collections() == []
    jobs = Jobs(workspace)
    job = jobs.ingest_folder("mine", folder, choice)
    wait_until(lambda: not job.active)
    assert (job.state, job.slow) == ("failed", True)
    jobs.retry(job.spec.id)
    [again] = [one for one in jobs.list() if one.spec.id == job.spec.id]
    wait_until(lambda: not again.active)
    assert again.state == "done" and workspace.store.info("mine").total == 6


def test_another_folder_adds_to_a_shared_collection_with_what_made_it(workspace: Workspace, photos, tiny):
    workspace.ingest("mine", photos, choice=ModelChoice(str(tiny("clip"))))
    workspace.ledger.forget("mine")  # as in a second data folder beside the same server
    assert workspace.folder.choice_of("mine").id == str(tiny("clip"))
    assert workspace.folder.choice_of("nothing").id == "pocket"


def test_a_collection_made_again_while_one_asks_is_noticed(workspace: Workspace, photos, tiny, monkeypatch):
    workspace.ingest("mine", photos, choice=ModelChoice(str(tiny("clip"))))
    query, other = workspace.store.query, replace(workspace.store.info("mine").made_by, revision="other")

    def swapped(*arguments):
        monkeypatch.setattr(workspace.store, "made_by", lambda name: other)
        return query(*arguments)

    monkeypatch.setattr(workspace.store, "query", swapped)
    with pytest.raises(GapscopeError, match="was re-embedded while you searched"):
        workspace.search(Query(text="a bird"), collection="mine")


def test_two_visitors_load_one_model_and_an_error_is_told_to_both(workspace: Workspace, tiny, tmp_path):
    choice = ModelChoice(str(tiny("clip")))
    for _ in range(3):
        workspace.models.loads.start(choice)
    wait_until(lambda: not workspace.models.loads.is_running())
    assert [model.choice.id for model in workspace.models.loaded.list()] == [choice.id]
    assert workspace.models.loads.error(choice) == ""
    missing = ModelChoice(str(tmp_path / "nothing"))
    workspace.models.loads.start(missing)
    wait_until(lambda: not workspace.models.loads.is_running())
    assert workspace.models.loads.error(missing)
    workspace.models.loads.forget(missing)
    assert workspace.models.loads.error(missing) == ""


def test_a_reranker_cannot_make_a_collection(workspace: Workspace, photos, tiny):
    with pytest.raises(GapscopeError, match="of kind 'reranker'"):
        workspace.ingest("mine", photos, choice=ModelChoice(str(tiny("qwen_reranker"))))
    assert workspace.store.collections() == []


def test_a_question_waits_for_no_more_than_one_batch_of_an_ingest(workspace, tiny, tmp_path, monkeypatch):
    """Documents take 0.2 s a batch here; a question asked in the middle is answered between two of them."""
    choice = ModelChoice(str(tiny("clip")))
    with workspace.models.embedder(choice):
        pass
    log: list[str] = []
    forward = Batches._forward

    def slow(self, task, modality, part, step):
        def stepped(items):
            log.append(f"{task} starts")
            if task == "document":
                time.sleep(0.2)
            return step(items)

        return forward(self, task, modality, part, stepped)

    monkeypatch.setattr(Batches, "_forward", slow)
    monkeypatch.setattr(Batches, "size", lambda self, modality: 4)
    folder = generated_photos(tmp_path / "in", 60)
    ingest = threading.Thread(
        target=workspace.ingest, args=("mine", sources([folder])), kwargs={"choice": choice}
    )
    ingest.start()
    waits = []
    with workspace.models.embedder(choice) as embedder:
        for _ in range(4):
            before = log.count("document starts")
            wait_until(lambda before=before: log.count("document starts") > before)
            asked = log.count("document starts")
            embedder.encode_query("text", ["a bird"])
            waits.append(log.count("document starts") - asked)
        assert ingest.is_alive(), "the ingest must still be running while questions are answered"
    ingest.join()
    assert max(waits) <= 1
    assert workspace.store.info("mine").total == 120


def test_a_picture_that_is_too_long_for_the_model_costs_only_itself(workspace: Workspace, tiny, tmp_path):
    folder = generated_photos(tmp_path / "in", 3)
    Image.new("RGB", (4000, 10), "red").save(folder / "long.png")
    report = workspace.ingest("mine", sources([folder]), choice=ModelChoice(str(tiny("qwen_embedder"))))
    assert report.stored == 6 and [failure.name for failure in report.failed] == ["long.png"]
    assert "200 times as long as wide" in report.failed[0].reason


def wait_until(check, seconds: float = 240) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.01)
