"""Background jobs: uploads survive a restart, failures can go on, cancelled ones stop, samples once."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.analysis.two_towers import TowerSettings
from engine.errors import (
    CollectionError,
    CollectionNameError,
    CollectionNotFoundError,
    FolderError,
    QueryError,
)
from engine.evaluation.results import Plan
from engine.ingest import samples
from engine.ingest.samples import Sample
from engine.jobs.queue import Jobs
from engine.jobs.run import SAMPLE_TOWERS_STATE, Job
from engine.jobs.spec import Reembed, from_json, to_json
from engine.maps.projection import ProjectionSettings
from engine.media.sources import Source, SourceList
from engine.models.base import ModelChoice
from engine.types import Provenance
from engine.vector_files.reading import Reading
from engine.workspace import Workspace
from tests.helpers.data import (
    SAMPLES,
    generated_photos,
    jpeg,
    plain_items,
    sample_rows,
    sources,
    unit_table,
    write_captions,
)
from tests.helpers.fake_embedder import NEW, OLD, Fake, hidden, lend
from tests.helpers.vector_files import NAN, TWICE, vector_file
from tests.helpers.workspaces import give_model, make_settings


def wait(check: Callable[[], bool], seconds: float = 240) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.02)


def ended(job: Job) -> Job:
    wait(lambda: not job.active)
    return job


def files(count: int, *, seed: int = 0) -> list[tuple[str, io.BytesIO]]:
    return [(f"{n}.jpg", io.BytesIO(jpeg(seed + n))) for n in range(count)]


@pytest.fixture
def few_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Let the first ten of the bundled photographs be all there are."""
    folder, rows = tmp_path / "samples", sample_rows()[:10]
    (folder / "photos").mkdir(parents=True)
    for row in rows:
        shutil.copyfile(SAMPLES / row["file_name"], folder / row["file_name"])
    shutil.copyfile(SAMPLES / "LICENSES.md", folder / "LICENSES.md")
    write_captions(folder, rows)
    monkeypatch.setattr(samples, "SAMPLE_DIR", folder)
    return samples.list_samples()


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


def test_a_choice_of_columns_and_the_table_beside_an_array_are_kept_with_the_job(settings, pocket):
    first = Workspace.open(settings)
    array, table = io.BytesIO(), io.BytesIO(b"key,words\na,one\nb,two\n")
    np.save(array, unit_table(2).vectors)
    array.seek(0)
    reading = Reading((("id", "key"), ("text", "words")), "image")
    Stopped(first).import_vectors("mine", "x.npy", array, table=("x.csv", table), reading=reading)
    first.close()
    second = give_model(Workspace.open(settings), pocket)
    [job] = Jobs(second).list()
    assert job.spec.reading == reading and ended(job).report.stored == 2
    found = {item.given_id: item.caption for item in second.store.all_items("mine", "image")}
    assert found == {"a": "one", "b": "two"}
    assert job.report.notes == (
        "Columns were used under other names: key as id, words as text.",
        "All rows are taken as image.",
    )
    second.close()


def test_an_import_that_an_earlier_version_kept_has_no_choice_of_columns():
    spec = {
        "kind": "import-vectors",
        "id": "1-a",
        "title": "t",
        "collection": "c",
        "files": [["x", "000000"]],
    }
    assert from_json(json.dumps({**spec, "label": None, "skip_bad": True})).reading == Reading()


def test_uploaded_vectors_are_imported_and_their_copy_removed(workspace: Workspace):
    jobs = Jobs(workspace)
    job = ended(jobs.import_vectors("mine", "a/../my clip.npz", vector_file(), label=" CLIP "))
    assert (job.state, job.report.stored, job.spec.title) == ("done", 6, "my clip.npz")
    assert workspace.store.info("mine").made_by.imported == "CLIP"
    assert not list((workspace.settings.data_dir / "jobs").glob("*"))
    again = ended(jobs.import_vectors("mine", "again.npz", vector_file()))
    assert (again.report.stored, again.report.skipped) == (0, 6)
    unnamed = ended(jobs.import_vectors("other", "my clip.npz", vector_file()))
    assert unnamed.report.model == "imported: my clip"


def test_an_upload_of_vectors_opens_no_file_of_the_server(workspace: Workspace, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    paths = [str(tmp_path / "a.jpg"), "job.json"]
    given = vector_file(2, modality=["image", "image"], media_path=paths)
    job = ended(Jobs(workspace).import_vectors("mine", "x.npz", given))
    assert [item.media for item in workspace.store.all_items("mine", "image")] == [None, None]
    assert "media_path of 2 rows of kind image was not read" in job.report.notes[0]


BAD_VECTORS = {
    "nan": (vector_file(vector=NAN), "6 rows are bad of 6"),
    "zero": (vector_file(vector=0 * unit_table(6).vectors), "all its numbers are zero"),
    "twice": (vector_file(id=TWICE), "2 rows are bad of 6, and nothing was imported. row 5, column id"),
    "no rows": (vector_file(0), "my.npz: it has no rows"),
    "no vectors": (io.BytesIO(b"PAR1 and no more"), "the Parquet file cannot be read"),
    "no file of vectors": (io.BytesIO(jpeg(1)), "it is neither Parquet nor NPZ"),
    "nothing": (io.BytesIO(), "it is empty"),
}


@pytest.mark.parametrize(("given", "says"), BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_bad_file_of_vectors_fails_the_job_in_words(workspace: Workspace, given, says):
    job = ended(Jobs(workspace).import_vectors("mine", "my.npz", io.BytesIO(given.getvalue())))
    assert job.state == "failed" and says in job.error
    assert workspace.store.collections() == []


def test_vectors_of_another_model_fail_the_job(workspace: Workspace):
    jobs = Jobs(workspace)
    ended(jobs.upload("photos", files(1)))
    job = ended(jobs.import_vectors("photos", "my.npz", vector_file()))
    assert job.state == "failed" and "was made by pocket" in job.error and not job.bad_rows
    with pytest.raises(CollectionNameError):
        jobs.import_vectors("a/b", "my.npz", vector_file())
    with pytest.raises(QueryError):
        jobs.import_vectors("samples", "my.npz", vector_file())


def test_a_refused_import_goes_on_without_its_bad_rows(workspace: Workspace):
    jobs = Jobs(workspace)
    job = ended(jobs.import_vectors("mine", "my.npz", vector_file(id=TWICE)))
    assert job.bad_rows
    jobs.retry(job.spec.id)
    [again] = jobs.list()
    assert (ended(again).state, again.report.stored, len(again.report.failed)) == ("done", 4, 2)
    asked = ended(jobs.import_vectors("two", "my.npz", vector_file(id=TWICE), skip_bad=True))
    assert (asked.state, asked.report.stored) == ("done", 4)
    none = ended(jobs.import_vectors("three", "my.npz", vector_file(vector=NAN), skip_bad=True))
    assert none.state == "failed" and not none.bad_rows


def test_an_import_is_resumed_after_a_restart_and_cancelled_one_waits(settings, pocket):
    first = Workspace.open(settings)
    jobs = Stopped(first)
    jobs.import_vectors("mine", "my.npz", vector_file(), label="CLIP")
    jobs.cancel(jobs.import_vectors("other", "my.npz", vector_file()).spec.id)
    first.close()
    second = give_model(Workspace.open(settings), pocket)
    jobs = Jobs(second)
    cancelled, resumed = jobs.list()
    assert ended(resumed).report.stored == 6 and cancelled.state == "cancelled"
    assert second.store.info("mine").made_by.imported == "CLIP"
    jobs.retry(cancelled.spec.id)
    assert ended(jobs.list()[0]).report.stored == 6
    second.close()


def test_jobs_of_one_instant_go_on_in_their_order(settings, monkeypatch):
    first = Workspace.open(settings)
    monkeypatch.setattr("time.time_ns", lambda: 1_764_000_000_123_456_789)
    monkeypatch.setattr("time.time", lambda: 1_764_000_000.123)
    jobs = Stopped(first)
    begun = [jobs.import_vectors(f"mine-{n}", "my.npz", vector_file()).spec.id for n in range(12)]
    earlier = "1764000000123-aaaaaaaa"  # as an earlier version numbered
    assert sorted([*begun, earlier]) == [earlier, *begun]
    first.close()
    second = Workspace.open(settings)
    assert [job.spec.id for job in Stopped(second).list()] == begun[::-1]
    second.close()


def test_a_cancel_that_comes_as_a_job_ends_leaves_nothing_for_a_restart(workspace: Workspace, monkeypatch):
    remove, cancels = Jobs._forget_files, []

    def removed_and_cancelled(self, spec):
        remove(self, spec)
        cancels.append(threading.Thread(target=self.cancel, args=(spec.id,)))
        cancels[0].start()
        cancels[0].join(0.2)  # where nothing holds it back it is over by then

    monkeypatch.setattr(Jobs, "_forget_files", removed_and_cancelled)
    job = ended(Jobs(workspace).upload("mine", files(1)))
    cancels[0].join()
    assert job.state == "done" and not job.stop.is_set()
    assert not list((workspace.settings.data_dir / "jobs").glob("*"))


@pytest.mark.slow
def test_an_import_can_be_cancelled_and_goes_on(workspace: Workspace):
    jobs = Jobs(workspace)
    count = 6_000
    job = jobs.import_vectors("mine", "my.npz", vector_file(count))
    wait(lambda: job.progress.stage == "Storing" and job.progress.done > 0)
    jobs.cancel(job.spec.id)
    assert ended(job).state == "cancelled" and job.report.stored < count
    assert list((workspace.settings.data_dir / "jobs" / job.spec.id).glob("000000"))
    jobs.retry(job.spec.id)
    again = ended(jobs.list()[0])
    assert again.report.stored + again.report.skipped == count


def test_a_restart_resumes_an_unfinished_job(settings, models_dir, pocket):
    class Stopped(Jobs):
        def _begin(self, job) -> None:
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


def test_a_failed_job_says_why_and_goes_on(workspace: Workspace, settings, models_dir, few_samples):
    jobs = Jobs(workspace)
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, min_free_disk_mb=10**9)
    with pytest.raises(FolderError, match="free"):
        jobs.upload("mine", files(2))
    job = ended(jobs.ingest_folder("mine", samples.SAMPLE_DIR / "photos"))
    assert job.state == "failed"
    assert "GAPSCOPE_MIN_FREE_DISK_MB" in job.error
    workspace.folder.settings = settings
    jobs.retry(job.spec.id)
    [again] = jobs.list()
    assert ended(again).state == "done"
    assert again.report.stored == len(few_samples)


def test_an_unexpected_error_fails_the_job_and_not_the_worker(workspace: Workspace, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    jobs = Jobs(workspace)
    original = workspace.ingest
    monkeypatch.setattr(workspace, "ingest", lambda *args, **kwargs: 1 / 0)
    assert ended(jobs.upload("mine", files(1))).state == "failed"
    monkeypatch.setattr(workspace, "ingest", original)
    assert ended(jobs.upload("mine", files(1))).state == "done"


def test_a_cancelled_job_stops_keeps_what_it_stored_and_goes_on(workspace: Workspace, settings, models_dir):
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    job = jobs.upload("mine", files(40))
    wait(lambda: job.progress.done >= 4)
    jobs.cancel(job.spec.id)
    assert ended(job).state == "cancelled"
    assert 4 <= job.report.stored < 40
    jobs.retry(job.spec.id)
    again = ended(jobs.list()[0])
    assert again.report.stored + again.report.skipped == 40
    assert workspace.store.info("mine").total == 40


def test_a_waiting_job_can_be_cancelled_and_discarded(workspace: Workspace, settings, models_dir):
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, batch_files=1)
    jobs = Jobs(workspace)
    running = jobs.upload("mine", files(30))
    waiting = jobs.upload("other", files(3, seed=100))
    assert [job.spec.collection for job in jobs.list()] == ["other", "mine"]
    jobs.cancel(waiting.spec.id)
    jobs.discard(waiting.spec.id)
    ended(running)
    assert [info.name for info in workspace.store.collections()] == ["mine"]
    assert jobs.active() is None


def test_the_samples_are_indexed_once_even_if_deleted(workspace: Workspace, few_samples):
    jobs = Jobs(workspace)
    job = jobs.ingest_samples()
    assert job is not None
    assert jobs.ingest_samples() is None  # while it runs
    assert ended(job).report.stored == 2 * len(few_samples)
    workspace.delete_collection(samples.COLLECTION)
    assert jobs.ingest_samples() is None


def test_samples_of_an_older_model_are_made_again(workspace: Workspace, few_samples):
    old = Provenance("pocket", "0-old", 384)
    table = unit_table(1, 384)
    workspace.store.upsert(samples.COLLECTION, old, "image", plain_items(table), table)
    workspace.ledger.set_state("samples", "an earlier version")
    job = Jobs(workspace).ingest_samples()
    assert ended(job).state == "done"
    assert workspace.store.info(samples.COLLECTION).made_by != old


def test_a_cancelled_job_waits_for_a_person_after_a_restart(settings, pocket):
    class Stopped(Jobs):
        def _begin(self, job) -> None:
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
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, batch_files=1)
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
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    ended(jobs.upload("first", files(24)))
    job = jobs.upload("second", files(24))
    wait(lambda: job.progress.done >= 4)
    jobs.delete_collection("first")
    assert ended(job).report.stored == 24
    for item in workspace.store.all_items("second", "image"):
        assert workspace.library.media_path(item.media, item.mime).exists()


def test_cancelling_leaves_no_media_behind(workspace: Workspace, settings, models_dir):
    workspace.folder.settings = make_settings(settings.data_dir, models_dir, batch_files=2)
    jobs = Jobs(workspace)
    job = jobs.upload("mine", files(60))
    wait(lambda: job.progress.done >= 4)
    jobs.cancel(job.spec.id)
    ended(job)
    kept = {path.stem for path in (workspace.settings.data_dir / "media").rglob("*.jpg")}
    assert kept == {item.media for item in workspace.store.all_items("mine", "image")}


@pytest.fixture
def lent(workspace: Workspace) -> Workspace:
    """Return a workspace that also lends the cheap models 'old' and 'new'; 2 files make a batch."""
    with workspace.models.embedder() as pocket:
        lend(workspace, pocket)
    workspace.folder.settings = workspace.settings.model_copy(update={"batch_files": 2})
    return workspace


class Stopped(Jobs):
    """Jobs of a process that is killed before it can run any."""

    def _begin(self, job) -> None:
        pass


def slowly(job: Job) -> Job:
    """Wait until a job is in the middle of its work."""
    wait(lambda: job.progress.done >= 4)
    return job


def test_a_remake_takes_the_place_of_the_old_one(lent):
    jobs = Jobs(lent)
    ended(jobs.upload("mine", files(10), OLD))
    job = ended(jobs.reembed("mine", NEW))
    assert (job.state, job.report.stored, job.spec.title) == ("done", 10, "Re-embed mine with new")
    assert lent.store.info("mine").made_by.model == "new"
    assert not list((lent.settings.data_dir / "jobs").glob("*")) and lent.ledger.states("job ") == []
    assert ended(jobs.upload("mine", files(3, seed=50))).report.stored == 3  # with what made it


def test_a_remake_under_a_new_name_leaves_the_old_one(lent):
    jobs = Jobs(lent)
    ended(jobs.upload("mine", files(4), OLD))
    assert ended(jobs.reembed("mine", NEW, into="again")).report.collection == "again"
    made_by = {info.name: info.made_by.model for info in lent.store.collections()}
    assert made_by == {"mine": "old", "again": "new"}


def test_a_remake_that_cannot_be_is_refused_before_it_waits(lent):
    jobs = Jobs(lent)
    ended(jobs.upload("mine", files(2), OLD))
    ended(jobs.reembed("mine", NEW, into="again"))
    for into, error in (("samples", QueryError), ("again", CollectionError), ("a/b", CollectionNameError)):
        with pytest.raises(error):
            jobs.reembed("mine", NEW, into=into)
    with pytest.raises(CollectionNotFoundError):
        jobs.reembed("nothing", NEW)
    assert [isinstance(job.spec, Reembed) for job in jobs.list()] == [True, False]


def test_source_and_target_of_a_remake_are_in_use(lent):
    jobs = Stopped(lent)
    lent.ingest("mine", from_bytes(2), choice=OLD)
    jobs.reembed("mine", NEW, into="again")
    assert jobs.uses("mine") and jobs.uses("again") and not jobs.uses("other")
    with pytest.raises(QueryError, match="cancel it first"):
        jobs.delete_collection("mine")
    with pytest.raises(QueryError, match="'again'"):
        jobs.reembed("mine", NEW, into="again")


def from_bytes(count: int):
    sources = (Source(f"{n}.jpg", lambda n=n: jpeg(n)) for n in range(count))
    return SourceList(tuple(sources))


def test_a_cancelled_remake_goes_on_and_a_discarded_one_leaves_nothing(lent):
    jobs = Jobs(lent)
    lent.ingest("mine", from_bytes(60), choice=OLD)
    job = slowly(jobs.reembed("mine", NEW))
    jobs.cancel(job.spec.id)
    assert ended(job).state == "cancelled" and lent.store.info("mine").made_by.model == "old"
    jobs.retry(job.spec.id)
    jobs.cancel(slowly(jobs.list()[0]).spec.id)
    [again] = jobs.list()
    assert ended(again).report.skipped >= job.report.stored > 0 and hidden(lent)
    jobs.discard(again.spec.id)
    assert jobs.list() == [] and hidden(lent) == []
    assert lent.store.info("mine").total == 60
    assert ended(jobs.reembed("mine", NEW)).report.stored == 60


def test_discarding_leaves_what_another_job_goes_on_from(lent):
    jobs = Jobs(lent)
    lent.ingest("mine", from_bytes(60), choice=OLD)
    for _ in range(2):
        job = slowly(jobs.reembed("mine", NEW))
        jobs.cancel(job.spec.id)
        ended(job)
    second, first = jobs.list()
    jobs.discard(first.spec.id)
    assert hidden(lent)
    jobs.discard(second.spec.id)
    assert hidden(lent) == []


def test_a_remake_resumes_after_a_restart(settings, pocket):
    first = lend(Workspace.open(settings))
    first.ingest("mine", from_bytes(6), choice=OLD)
    Stopped(first).reembed("mine", ModelChoice("new", dim=12, query_prompt="find: "))
    first.close()
    second = lend(Workspace.open(settings))
    [job] = Jobs(second).list()
    assert job.spec.choice == ModelChoice("new", dim=12, query_prompt="find: ")
    assert ended(job).report.stored == 6 and second.store.info("mine").made_by.model == "new"
    second.close()


@pytest.mark.parametrize("into", [None, "again"])
def test_a_remake_that_was_put_in_place_is_not_made_again_after_a_restart(settings, monkeypatch, into):
    first = lend(Workspace.open(settings))
    first.ingest("mine", from_bytes(6), choice=OLD)
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_forget_files", lambda *args: 1 / 0)  # as if the process had ended there
        patch.setattr("threading.excepthook", lambda args: None)
        assert ended(Jobs(first).reembed("mine", NEW, into=into)).state == "failed"
    first.close()
    new = Fake("new", 12)
    second = lend(Workspace.open(settings), new)
    [job] = Jobs(second).list()
    assert ended(job).state == "done" and new.embedded == 0
    assert job.report.stored == 6 and job.report.collection == (into or "mine")
    assert second.ledger.states("job ") == [] and hidden(second) == []
    second.close()


def test_a_failed_remake_says_why_and_leaves_the_old_one(lent):
    jobs = Jobs(lent)
    lent.ingest("mine", from_bytes(6), choice=OLD)
    for path in (lent.settings.data_dir / "media").rglob("*.jpg"):
        path.unlink()
    job = ended(jobs.reembed("mine", NEW))
    assert job.state == "failed" and "was left as it is: 6 of its items" in job.error
    assert "Its media file is missing; and 3 more)" in job.error
    jobs.discard(job.spec.id)
    assert lent.store.info("mine").made_by.model == "old" and hidden(lent) == []


def test_samples_made_again_with_another_model_are_left_alone(lent, few_samples, monkeypatch):
    jobs = Jobs(lent)
    assert ended(jobs.ingest_samples()).state == "done"
    assert ended(jobs.reembed(samples.COLLECTION, NEW)).state == "done"
    assert jobs.ingest_samples() is None
    monkeypatch.setattr("engine.jobs.queue.samples_version", lambda: "a later version")
    assert jobs.ingest_samples() is None
    assert lent.store.info(samples.COLLECTION).made_by.model == "new"


def test_samples_in_use_by_a_remake_are_not_wiped(lent, monkeypatch):
    old = Provenance("pocket", "0-old", 384)
    lent.ledger.set_provenance(samples.COLLECTION, old)
    table = unit_table(1, 384)
    lent.ledger.put(samples.COLLECTION, plain_items(table, "text", caption="x"), table)
    lent.store.upsert(samples.COLLECTION, old, "text", plain_items(table, "text", caption="x"), table)
    lent.ledger.set_state("samples", "an earlier version")
    jobs = Stopped(lent)
    jobs.reembed(samples.COLLECTION, NEW)
    assert jobs.ingest_samples() is None and lent.store.info(samples.COLLECTION).made_by == old


def test_a_manifest_of_version_0_1_is_read(settings, pocket):
    folder = settings.data_dir / "jobs" / "1-old"
    folder.mkdir(parents=True)
    (folder / "000000").write_bytes(jpeg(1))
    spec = {
        "id": "1-old",
        "title": "1 uploaded file",
        "collection": "mine",
        "model": "pocket",
        "folder": None,
    }
    spec |= {"files": [["a.jpg", "000000"]], "samples": False, "stopped": False}
    (folder / "job.json").write_text(json.dumps(spec))
    workspace = give_model(Workspace.open(settings), pocket)
    [job] = Jobs(workspace).list()
    assert ended(job).report.stored == 1
    workspace.close()


def test_an_evaluation_runs_in_the_background_and_is_kept(workspace: Workspace):
    jobs = Jobs(workspace)
    captions = "\n".join(json.dumps({"file_name": f"{n}.jpg", "caption": f"number {n}"}) for n in range(3))
    ended(jobs.upload("mine", [*files(3), ("metadata.jsonl", io.BytesIO(captions.encode()))]))
    job = ended(jobs.evaluate(Plan("mine", ks=(1, 2))))
    assert (job.state, job.error, job.progress.done, job.progress.unit) == ("done", "", 3, "questions")
    assert workspace.evaluations.load(job.evaluation).summary.queries == 3
    assert not list((workspace.settings.data_dir / "jobs").glob("*/*"))


def test_an_evaluation_that_cannot_be_says_why_and_may_be_tried_again(workspace: Workspace):
    jobs = Jobs(workspace)
    ended(jobs.upload("mine", files(1)))
    job = ended(jobs.evaluate(Plan("mine")))
    assert (job.state, job.evaluation) == ("failed", None)
    assert "nothing" in job.error or "has no pairs, labels or judgements" in job.error
    bad = ended(jobs.evaluate(Plan("mine", reranker=ModelChoice("no/such-model"))))
    assert bad.state == "failed" and bad.error
    with pytest.raises(CollectionNotFoundError):
        jobs.evaluate(Plan("nothing"))


def test_a_cancelled_evaluation_keeps_nothing_and_the_same_is_not_run_twice(workspace: Workspace):
    class Slow(Workspace):
        def evaluate(self, plan, *, on_progress, cancelled):
            wait(cancelled)

    jobs = Jobs(workspace)
    ended(jobs.upload("mine", files(1)))
    workspace.evaluate = Slow.evaluate.__get__(workspace)
    job = jobs.evaluate(Plan("mine"))
    with pytest.raises(QueryError, match="measured already"):
        jobs.evaluate(Plan("mine"))
    with pytest.raises(QueryError, match="A job is using"):
        jobs.delete_collection("mine")
    jobs.cancel(job.spec.id)
    assert ended(job).state == "cancelled" and workspace.evaluations.list() == []


def test_a_restart_measures_what_was_cut_off(settings, models_dir, pocket):
    class Stopped(Jobs):
        def _begin(self, job) -> None:
            """Never run anything: the process was killed before it could."""

    first = give_model(Workspace.open(settings), pocket)
    captions = json.dumps({"file_name": "0.jpg", "caption": "the only one"}).encode()
    done = ended(Jobs(first).upload("mine", [*files(1), ("metadata.jsonl", io.BytesIO(captions))]))
    assert done.state == "done"
    Stopped(first).evaluate(Plan("mine", truth="pairs"))
    first.close()
    second = give_model(Workspace.open(settings), pocket)
    [job] = Jobs(second).list()
    assert ended(job).state == "done" and len(second.evaluations.list("mine")) == 1
    second.close()


def test_a_map_is_fitted_in_the_background_once(workspace: Workspace):
    jobs, settings = Jobs(workspace), ProjectionSettings(method="pca")
    ended(jobs.upload("mine", files(3)))
    job = jobs.project("mine", settings)
    ended(job)
    assert (job.state, job.error, job.progress.share) == ("done", "", 1.0)
    assert len(workspace.maps.open(workspace.maps.content_of("mine"), settings).projection) == 3
    with pytest.raises(CollectionNotFoundError):
        jobs.project("nothing", settings)


def test_a_fit_that_waits_is_not_begun_twice_and_can_be_cancelled(workspace: Workspace, monkeypatch):
    from engine.maps import kept
    from engine.progress import CancelledError

    def slow(table, names, settings, *, on_progress, cancelled):
        wait(cancelled)
        raise CancelledError

    jobs, settings = Jobs(workspace), ProjectionSettings()
    ended(jobs.upload("mine", files(1)))
    monkeypatch.setattr(kept, "fit", slow)
    job = jobs.project("mine", settings)
    assert (
        jobs.project("mine", settings) is job and jobs.project("mine", ProjectionSettings(seed=1)) is not job
    )
    for one in jobs.list():
        jobs.cancel(one.spec.id) if one.active else None
    assert ended(job).state == "cancelled"
    assert workspace.maps.open(workspace.maps.content_of("mine"), settings) is None
    assert job.spec.settings == settings


@pytest.fixture
def captioned(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with 14 captioned pictures in 'mine'."""
    workspace.ingest("mine", sources([generated_photos(tmp_path / "photos", 14)]))
    return workspace


SHORT = TowerSettings(steps=5, temperature=0.05, seed=3)


def test_two_towers_are_trained_and_kept_in_the_background(captioned):
    jobs = Jobs(captioned)
    job = ended(jobs.train_towers("mine", SHORT, "mine-towers"))
    assert (job.state, job.error, job.report.stored) == ("done", "", 28)
    assert captioned.store.made_by("mine-towers").model == "towers:mine-towers"
    assert "temperature 0.05" in captioned.store.made_by("mine-towers").training
    assert not list((captioned.settings.data_dir / "jobs").glob("*"))
    assert captioned.ledger.get_state(job.spec.done_as) is None
    for into, error in (("mine-towers", CollectionError), ("mine", CollectionError), ("samples", QueryError)):
        with pytest.raises(error):
            jobs.train_towers("mine", SHORT, into)
    with pytest.raises(CollectionNotFoundError):
        jobs.train_towers("nobody", SHORT, "other")


@pytest.mark.slow
def test_towers_cut_short_are_made_by_the_next_start_and_only_once(captioned, monkeypatch):
    spec = Stopped(captioned).train_towers("mine", SHORT, "mine-towers").spec
    with monkeypatch.context() as killed:
        killed.setattr(Jobs, "_forget_files", lambda self, spec: None)  # just before it would have ended
        [job] = Jobs(captioned).list()
        assert job.spec == spec and job.spec.settings == SHORT
        assert ended(job).state == "done"
    monkeypatch.delattr(Workspace, "train_towers")  # nothing is trained any more
    [again] = Jobs(captioned).list()
    assert (ended(again).state, again.report.stored) == ("done", 28)
    assert captioned.store.info("mine-towers").total == 28


@pytest.mark.slow
def test_the_samples_come_with_towers_once_even_if_deleted(workspace: Workspace, few_samples, monkeypatch):
    monkeypatch.setattr("engine.jobs.queue.TowerSettings", lambda: TowerSettings(steps=5, held_out=0.0))
    jobs = Jobs(workspace)
    assert jobs.train_sample_towers() is None  # there are no samples, and none are coming
    first, job = jobs.ingest_samples(), jobs.train_sample_towers()
    assert jobs.train_sample_towers() is None  # while it waits
    assert ended(first).state == ended(job).state == "done"
    assert workspace.store.info(samples.TOWERS).total == 2 * len(few_samples)
    assert f"{len(few_samples)} pairs of 'samples'" in workspace.store.made_by(samples.TOWERS).training
    assert jobs.train_sample_towers() is None
    workspace.ledger.set_state(SAMPLE_TOWERS_STATE, "an earlier version")
    assert ended(jobs.train_sample_towers()).report.stored == 2 * len(few_samples)
    workspace.delete_collection(samples.TOWERS)
    assert jobs.train_sample_towers() is None
    workspace.ledger.drop_state(SAMPLE_TOWERS_STATE)  # a data folder of before, with the samples in it
    again = jobs.train_sample_towers()
    assert from_json(to_json(again.spec)) == again.spec and ended(again).state == "done"


def test_towers_that_cannot_be_trained_fail_in_words(workspace: Workspace, tmp_path):
    workspace.ingest("mine", sources([generated_photos(tmp_path / "photos", 3)]))
    job = ended(Jobs(workspace).train_towers("mine", SHORT, "mine-towers"))
    assert job.state == "failed" and "3 pairs of a picture and its caption" in job.error
    assert [info.name for info in workspace.store.collections()] == ["mine"]
