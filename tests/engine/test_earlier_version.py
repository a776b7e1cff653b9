"""A data folder that version 0.1.0 wrote opens and goes on: its collection, map, evaluation and waiting jobs.

`tests/data/data-folder-0.1.0.zip` was written by that version: a collection of six imported vectors with a
map and an evaluation, and five jobs that it was stopped before: an import, an upload, an evaluation,
a fit, and a cancelled import.
"""

import json
import shutil

import pytest

from engine.jobs.queue import Jobs
from engine.jobs.spec import KINDS, Evaluate, FitMap, ImportVectors, IngestFiles, Reembed, from_json, to_json
from engine.maps.projection import ProjectionSettings
from engine.models.base import ModelChoice
from engine.search.search import Query
from engine.workspace import Workspace
from tests.helpers.data import ROOT
from tests.helpers.workspaces import give_model, make_settings


@pytest.fixture
def workspace(tmp_path, models_dir, pocket):
    shutil.unpack_archive(ROOT / "tests" / "data" / "data-folder-0.1.0.zip", tmp_path / "data")
    opened = give_model(Workspace.open(make_settings(tmp_path / "data", models_dir)), pocket)
    yield opened
    opened.close()


def test_what_was_kept_is_there(workspace):
    assert workspace.store.info("kept").counts == {"text": 3, "image": 3}
    like = next(iter(workspace.store.all_items("kept", "text")))
    trace = workspace.search(Query(like=like.id), collection="kept", k=5)
    assert len(trace.results) == 5 and trace.results[0].item.id != like.id
    [evaluation] = workspace.evaluations.list("kept")
    assert workspace.evaluations.load(evaluation.id).summary.queries == 3
    content = workspace.maps.content_of("kept")
    found = workspace.maps.open(content, ProjectionSettings(method="pca"))
    assert (
        found is None or found.projection.ids == content.columns.ids
    )  # None: with other libraries than then


def test_its_jobs_go_on_and_the_cancelled_one_waits(workspace):
    jobs = Jobs(workspace)
    kinds = {type(job.spec): job for job in jobs.list() if job.state != "cancelled"}
    assert set(kinds) == {ImportVectors, IngestFiles, Evaluate, FitMap}
    [cancelled] = [job for job in jobs.list() if job.state == "cancelled"]
    for job in kinds.values():
        assert job.ended.wait(240) and (job.state, job.error) == ("done", "")
    assert kinds[ImportVectors].report.stored == 6 and kinds[IngestFiles].report.stored == 2
    assert workspace.store.info("notes").counts == {"text": 2}
    assert len(workspace.evaluations.list("kept")) == 2
    settings = kinds[FitMap].spec.settings
    assert settings.dims == 3 and workspace.maps.open(workspace.maps.content_of("kept"), settings) is not None
    jobs.retry(cancelled.spec.id)
    assert jobs.list()[0].ended.wait(240) and jobs.list()[0].report.stored == 6
    assert not list((workspace.settings.data_dir / "jobs").glob("*"))


OLD = {
    "id": "1-a",
    "title": "t",
    "collection": "mine",
    "choice": None,
    "folder": None,
    "files": [],
    "samples": False,
    "accept_slow": False,
    "stopped": False,
    "remake": False,
    "into": None,
    "evaluation": None,
    "projection": None,
    "vectors": None,
}


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"files": [["a.txt", "000000"]], "accept_slow": True}, "ingest-files", {"accept_slow": True}),
        (
            {"folder": "/some/where", "stopped": True},
            "ingest-folder",
            {"folder": "/some/where", "stopped": True},
        ),
        ({"folder": "/samples", "samples": True}, "ingest-samples", {"folder": "/samples"}),
        (
            {"remake": True, "into": "again", "choice": {"id": "new", "dim": 12}},
            "reembed",
            {"into": "again", "choice": ModelChoice("new", dim=12), "target": "again"},
        ),
        (
            {"files": [["a.npz", "000000"]], "vectors": {"label": "x", "skip_bad": True}},
            "import-vectors",
            {"label": "x", "skip_bad": True, "files": (("a.npz", "000000"),)},
        ),
        ({"model": "pocket", "files": []}, "ingest-files", {"files": ()}),
    ],
)
def test_a_job_of_before_is_read_as_the_kind_it_meant(given, kind, told):
    spec = from_json(json.dumps({**OLD, **given}))
    assert (spec.kind, spec.id, spec.collection) == (kind, "1-a", "mine")
    assert {name: getattr(spec, name) for name in told} == told
    assert from_json(to_json(spec)) == spec


def test_every_kind_of_job_is_done_by_a_function_of_its_own():
    from engine.jobs.run import run

    assert all(run.dispatch(kind) is not run.dispatch(object) for kind in KINDS.values())
    assert isinstance(KINDS["reembed"], type) and KINDS["reembed"] is Reembed
