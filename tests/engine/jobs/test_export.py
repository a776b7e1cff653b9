"""A collection is written as a data set in the background, is kept until deleted, and goes with it."""

from __future__ import annotations

import zipfile

import pytest

from engine.errors import CollectionNotFoundError, QueryError
from engine.jobs.queue import Jobs
from engine.jobs.spec import ExportMedia, from_json, new_id, to_json
from engine.workspace import Workspace
from tests.helpers.data import generated_photos, sources


@pytest.fixture
def photos(workspace: Workspace, tmp_path) -> Workspace:
    workspace.ingest("photos", sources([generated_photos(tmp_path / "given", 3)]))
    return workspace


def test_it_is_written_in_the_background_and_goes_with_the_collection(photos: Workspace):
    jobs = Jobs(photos)
    folder = photos.settings.data_dir / "exports"
    folder.mkdir()
    (folder / ".photos.zip.1").write_bytes(b"half of one, when the process was killed")
    job = jobs.export_media("photos", ".zip")
    assert job.ended.wait(60) and job.state == "done"
    assert (job.exported.files, job.exported.captions) == (3, 3)
    [one] = photos.exports.of("photos")
    assert list(folder.iterdir()) == [one.path]
    assert one.path == job.exported.path and one.size_bytes == one.path.stat().st_size
    with zipfile.ZipFile(one.path) as archive:
        assert "metadata.jsonl" in archive.namelist()
    jobs.delete_collection("photos")
    assert photos.exports.of("photos") == [] and not one.path.exists()


def test_the_same_is_not_written_twice_at_once_and_a_cancelled_one_leaves_nothing(photos, monkeypatch):
    jobs = Jobs(photos)
    with monkeypatch.context() as held:
        held.setattr(Jobs, "_begin", lambda self, job: None)  # it waits
        job = jobs.export_media("photos", ".parquet")
        with pytest.raises(QueryError, match="already"):
            jobs.export_media("photos", ".parquet")
        with pytest.raises(CollectionNotFoundError):
            jobs.export_media("nothing", ".zip")
        jobs.cancel(job.spec.id)
    assert job.state == "cancelled" and photos.exports.of("photos") == []


def test_it_is_kept_as_json():
    spec = ExportMedia(id=new_id(), title="Export", collection="photos", form=".zip")
    assert from_json(to_json(spec)) == spec
