"""Background jobs: uploads survive a restart, failures can go on, cancelled ones stop, samples once."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable

import pytest
from conftest import give_model, jpeg, make_settings, plain_items, unit_table

from engine import samples
from engine.errors import CollectionNameError, FolderError, QueryError
from engine.jobs import Job, Jobs
from engine.types import Provenance
from engine.workspace import Workspace


def wait(check: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.02)


def ended(job: Job) -> Job:
    wait(lambda: not job.active)
    return job


def files(count: int, *, seed: int = 0) -> list[tuple[str, io.BytesIO]]:
    return [(f"{n}.jpg", io.BytesIO(jpeg(seed + n))) for n in range(count)]


def test_an_upload_is_ingested_and_its_copy_removed(workspace: Workspace):
    jobs = Jobs(workspace)
    captions = json.dumps({"file_name": "1.jpg", "caption": "only the second"}).encode()
    job = ended(jobs.upload("mine", [*files(3), ("metadata.jsonl", io.BytesIO(captions))]))
    assert (job.state, job.report.stored, job.report.failed) == ("done", 4, ())
    assert not list((workspace.settings.data_dir / "jobs").glob("*/*"))
    [text] = workspace.store.all_items("mine", "text")
    assert (text.caption, text.name) == ("only the second", "1.jpg")


def test_failures_are_listed_and_cost_nothing_else(workspace: Workspace):
    jobs = Jobs(workspace)
    bad = [
        ("empty.jpg", io.BytesIO()),
        ("notes.jpg", io.BytesIO(b"words")),
        ("../../x.png", io.BytesIO(b"\0")),
    ]
    job = ended(jobs.upload("mine", [*files(2), *bad]))
    assert job.report.stored == 2
    assert [failure.name for failure in job.report.failed] == ["empty.jpg", "notes.jpg", "x.png"]


def test_two_uploads_of_one_name_are_both_stored(workspace: Workspace):
    same = [("a.jpg", io.BytesIO(jpeg(1))), ("a.jpg", io.BytesIO(jpeg(2)))]
    assert ended(Jobs(workspace).upload("mine", same)).report.stored == 2


def test_a_restart_resumes_an_unfinished_job(settings, models_dir, pocket):
    class Stopped(Jobs):
        def _work(self) -> None:
            """Never run anything: the process was killed before it could."""

    first = Workspace.open(settings)
    Stopped(first).upload("mine", files(3))
    first.close()
    second = give_model(Workspace.open(settings), pocket)
    jobs = Jobs(second)
    [job] = jobs.list()
    assert ended(job).report.stored == 3
    second.close()


def test_a_manifest_nobody_can_read_is_left_alone(workspace: Workspace):
    folder = workspace.settings.data_dir / "jobs" / "1-broken"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{")
    assert Jobs(workspace).list() == []
    assert (folder / "job.json").exists()


def test_a_failed_job_says_why_and_goes_on(workspace: Workspace, settings, models_dir):
    jobs = Jobs(workspace)
    workspace.settings = make_settings(settings.data_dir, models_dir, min_free_disk_mb=10**9)
    with pytest.raises(FolderError, match="free"):
        jobs.upload("mine", files(2))
    job = ended(jobs.ingest_folder("mine", samples.SAMPLE_DIR / "photos"))
    assert job.state == "failed"
    assert "GAPSCOPE_MIN_FREE_DISK_MB" in job.error
    workspace.settings = settings
    jobs.retry(job.spec.id)
    [again] = jobs.list()
    assert ended(again).state == "done"
    assert again.report.stored == len(samples.list_samples())


def test_an_unexpected_error_fails_the_job_and_not_the_worker(workspace: Workspace, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    jobs = Jobs(workspace)
    original = workspace.ingest
    monkeypatch.setattr(workspace, "ingest", lambda *args, **kwargs: 1 / 0)
    assert ended(jobs.upload("mine", files(1))).state == "failed"
    monkeypatch.setattr(workspace, "ingest", original)
    assert ended(jobs.upload("mine", files(1))).state == "done"


def test_a_cancelled_job_stops_keeps_what_it_stored_and_goes_on(workspace: Workspace, settings, models_dir):
    workspace.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    job = jobs.upload("mine", files(60))
    wait(lambda: job.progress.done >= 4)
    jobs.cancel(job.spec.id)
    assert ended(job).state == "cancelled"
    assert 4 <= job.report.stored < 60
    jobs.retry(job.spec.id)
    again = ended(jobs.list()[0])
    assert again.report.stored + again.report.skipped == 60
    assert workspace.store.info("mine").total == 60


def test_a_waiting_job_can_be_cancelled_and_discarded(workspace: Workspace, settings, models_dir):
    workspace.settings = make_settings(settings.data_dir, models_dir, batch_files=1)
    jobs = Jobs(workspace)
    running = jobs.upload("mine", files(30))
    waiting = jobs.upload("other", files(3, seed=100))
    assert [job.spec.collection for job in jobs.list()] == ["other", "mine"]
    jobs.cancel(waiting.spec.id)
    jobs.discard(waiting.spec.id)
    ended(running)
    assert [info.name for info in workspace.store.collections()] == ["mine"]
    assert jobs.active() is None


def test_the_samples_are_indexed_once_even_if_deleted(workspace: Workspace):
    jobs = Jobs(workspace)
    job = jobs.ingest_samples()
    assert job is not None
    assert jobs.ingest_samples() is None  # while it runs
    assert ended(job).report.stored == 2 * len(samples.list_samples())
    workspace.delete_collection(samples.COLLECTION)
    assert jobs.ingest_samples() is None


def test_samples_of_an_older_model_are_made_again(workspace: Workspace):
    old = Provenance("pocket", "0-old", 384)
    table = unit_table(1, 384)
    workspace.store.upsert(samples.COLLECTION, old, "image", plain_items(table), table)
    workspace.ledger.set_state("samples", "an earlier version")
    job = Jobs(workspace).ingest_samples()
    assert ended(job).state == "done"
    assert workspace.store.info(samples.COLLECTION).made_by != old


def test_a_cancelled_job_waits_for_a_person_after_a_restart(settings, pocket):
    class Stopped(Jobs):
        def _work(self) -> None:
            """Never run anything."""

    first = Workspace.open(settings)
    jobs = Stopped(first)
    jobs.cancel(jobs.upload("mine", files(3)).spec.id)
    first.close()
    second = give_model(Workspace.open(settings), pocket)
    jobs = Jobs(second)
    [job] = jobs.list()
    assert job.state == "cancelled"
    jobs.retry(job.spec.id)
    assert ended(jobs.list()[0]).report.stored == 3
    second.close()


def test_an_upload_cut_short_is_removed(workspace: Workspace):
    cut = workspace.settings.data_dir / "jobs" / "1-cut"
    cut.mkdir(parents=True)
    (cut / "000000").write_bytes(b"half")
    Jobs(workspace)
    assert not cut.exists()


def test_a_collection_in_use_is_not_deleted(workspace: Workspace, settings, models_dir):
    workspace.settings = make_settings(settings.data_dir, models_dir, batch_files=1)
    jobs = Jobs(workspace)
    first, second = jobs.upload("mine", files(20)), jobs.upload("other", files(2, seed=50))
    for name in ("mine", "other"):
        with pytest.raises(QueryError, match="cancel it first"):
            jobs.delete_collection(name)
    ended(first), ended(second)
    jobs.delete_collection("mine")
    assert [info.name for info in workspace.store.collections()] == ["other"]


@pytest.mark.parametrize("name", ["samples", "no spaces please", ""])
def test_a_name_that_cannot_be_is_refused_before_files_are_copied(workspace: Workspace, name):
    with pytest.raises((QueryError, CollectionNameError)):
        Jobs(workspace).upload(name, files(1))
    assert not list((workspace.settings.data_dir / "jobs").glob("*"))


def test_a_broken_zip_keeps_its_own_name(workspace: Workspace):
    job = ended(Jobs(workspace).upload("mine", [("holiday.zip", io.BytesIO(b"not a zip"))]))
    assert [failure.name for failure in job.report.failed] == ["holiday.zip"]


def test_deleting_elsewhere_takes_no_media_from_a_running_ingest(workspace: Workspace, settings, models_dir):
    """Two collections of the same pictures: one is deleted while the other one is being filled."""
    workspace.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    ended(jobs.upload("first", files(24)))
    job = jobs.upload("second", files(24))
    wait(lambda: job.progress.done >= 4)
    jobs.delete_collection("first")
    assert ended(job).report.stored == 24
    for item in workspace.store.all_items("second", "image"):
        assert workspace.library.media_path(item.media, item.mime).exists()


def test_cancelling_leaves_no_media_behind(workspace: Workspace, settings, models_dir):
    workspace.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    job = jobs.upload("mine", files(60))
    wait(lambda: job.progress.done >= 4)
    jobs.cancel(job.spec.id)
    ended(job)
    kept = {path.stem for path in (workspace.settings.data_dir / "media").rglob("*.jpg")}
    assert kept == {item.media for item in workspace.store.all_items("mine", "image")}
