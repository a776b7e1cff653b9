"""Proves that an upload waits on disk until it is added, and goes away when nobody adds it."""

from __future__ import annotations

import io
import time
from pathlib import Path

from engine.datasets.columns import Choices
from engine.jobs.queue import Jobs
from engine.workspace import Workspace
from tests.helpers.data import jpeg

TABLE = b"bild;satz\na.jpg;ein Hund\n"


def uploads() -> list[tuple[str, io.BytesIO]]:
    files = {"set/a.jpg": jpeg(1), "set/t.csv": TABLE, "set/.hidden": b"x"}
    return [(name, io.BytesIO(data)) for name, data in files.items()]


def folders(workspace: Workspace) -> list[Path]:
    return list((workspace.settings.data_dir / "jobs").glob("*/"))


def test_an_upload_is_understood_and_then_taken_with_the_columns_chosen(workspace: Workspace):
    jobs = Jobs(workspace)
    upload, columns = jobs.stage(uploads()), Choices(captions=("satz",))
    assert (jobs.plan(upload).captions, jobs.plan(upload, columns).captions) == (0, 1)
    job = jobs.take("mine", upload, columns=columns)
    jobs.unstage(upload)  # a page that is drawn once more takes nothing from the job
    assert job.ended.wait(240)
    assert job.state == "done"
    assert (job.report.stored, [one.count for one in job.report.left_out]) == (2, [1])
    assert [text.caption for text in workspace.store.all_items("mine", "text")] == ["ein Hund"]
    assert folders(workspace) == []


def test_what_nobody_adds_is_deleted_when_asked_at_the_next_start_or_after_a_day(workspace: Workspace):
    jobs = Jobs(workspace)
    jobs.unstage(jobs.stage(uploads()))
    assert folders(workspace) == []
    jobs.stage(uploads())
    Jobs(workspace)
    assert folders(workspace) == []
    [path] = [workspace.settings.data_dir / "jobs" / jobs.stage(uploads()).id]
    old = path.with_name(f"{time.time_ns() - 25 * 3600 * 10**9:019d}-abc")
    path.rename(old)
    new = jobs.stage(uploads())
    assert [folder.name for folder in folders(workspace)] == [new.id]
