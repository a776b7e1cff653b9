"""Proves that files which cost more than they are worth cost an ingest nothing, and that all is told."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.ingest.files import FileIngest
from engine.ingest.ray.workers import Parcel, decoded
from engine.media.decode import probe
from engine.media.parts import Limits
from engine.media.plain_text import MAX_CHARS
from engine.media.sources import Source, SourceList
from engine.models.base import ModelChoice
from engine.progress import Hooks
from tests.helpers.data import jpeg, source
from tests.helpers.pictures import encode, four_corners, many_scans
from tests.helpers.workspaces import listed


def run(workspace, *found: Source, cancelled=lambda: False, **settings: object):
    folder = replace(workspace.folder, settings=workspace.settings.model_copy(update=settings))
    with workspace.models.embedder() as model:
        return FileIngest("photos", folder, model, Hooks(cancelled=cancelled)).run(SourceList(found))


def labelled(name: str, data: bytes, *labels: str, **columns: object) -> Source:
    return Source(name, lambda: data, labels=labels, metadata=tuple(sorted(columns.items())))


@pytest.fixture(scope="module")
def slow() -> bytes:
    return many_scans(Image.effect_noise((2000, 2000), 9).convert("RGB"), 400)


def test_a_report_counts_by_kind_what_was_not_just_as_it_is(workspace):
    ramp = np.linspace(0, 1023, 256).reshape(1, 256).repeat(8, 0).astype(np.uint16)
    flat = [encode(Image.new("RGB", (40 + n, 40), (n, 9, 9))) for n in range(10)]
    report = run(
        workspace,
        *(source(f"{n}.png", data) for n, data in enumerate(flat)),
        source("deep.png", encode(Image.fromarray(ramp))),
        source("whole.jpg", jpeg(1)),
        source("long.txt", b"word " * MAX_CHARS),
        batch_files=4,
    )
    assert report.stored == 13 and report.failed == ()
    assert report.notes == (
        "10 pictures are one flat colour: 0.png, 1.png, 2.png, 3.png, 4.png, 5.png, 6.png, 7.png and 2 more.",
        "1 picture of 16 bits uses fewer of them: it was made brighter by that: deep.png (10 bits).",
        "1 text is long: only its beginning was taken: long.txt (10,000 characters).",
    )


def test_a_file_that_is_given_up_is_named_and_the_others_go_on(workspace, slow):
    found = [source(f"{n}.jpg", jpeg(n)) for n in range(4)]
    found.insert(1, source("hostile.jpg", slow))
    report = run(workspace, *found, decode_seconds=0.3)
    assert [failure.name for failure in report.failed] == ["hostile.jpg"]
    assert "GAPSCOPE_DECODE_SECONDS" in report.failed[0].reason and report.stored == 4


def test_a_cancel_is_heard_while_a_file_takes_its_time(workspace, slow):
    stop, begun = threading.Event(), threading.Event()

    def read() -> bytes:
        begun.set()
        return slow

    found = [source(f"{n}.jpg", jpeg(n)) for n in range(4)] + [Source("hostile.jpg", read)]
    threading.Thread(target=lambda: (begun.wait(60), time.sleep(0.3), stop.set())).start()
    report = run(workspace, *found, cancelled=stop.is_set, batch_files=2, decode_seconds=600.0)
    assert report.cancelled and report.failed == () and report.stored <= 4
    again = run(workspace, *found, decode_seconds=0.3)
    assert again.stored + again.skipped == 4 and len(again.failed) == 1
    for item in listed(workspace, "image"):
        assert workspace.library.media_path(item.media, item.mime).exists()


def test_two_ingests_at_once_keep_their_files_apart(workspace, slow):
    def ingest(collection: str, first: int) -> object:
        folder = replace(
            workspace.folder, settings=workspace.settings.model_copy(update={"decode_seconds": 0.3})
        )
        found = [source(f"{n}.jpg", jpeg(n), f"caption {n}") for n in range(first, first + 8)]
        found.insert(3, source(f"hostile {collection}.jpg", slow + bytes(first)))
        with workspace.models.embedder() as model:
            return FileIngest(collection, folder, model, Hooks()).run(SourceList(tuple(found)))

    reports: dict[str, object] = {}
    threads = [
        threading.Thread(target=lambda name=name, first=first: reports.update({name: ingest(name, first)}))
        for name, first in (("one", 0), ("two", 100))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, first in (("one", 0), ("two", 100)):
        assert [one.name for one in reports[name].failed] == [f"hostile {name}.jpg"]
        items = list(workspace.store.all_items(name, "image"))
        assert sorted(item.name for item in items) == sorted(f"{n}.jpg" for n in range(first, first + 8))
        assert all(item.caption == f"caption {item.name.removesuffix('.jpg')}" for item in items)


def test_nothing_is_kept_beyond_the_end_of_a_picture(workspace):
    data = jpeg(1)
    report = run(workspace, source("a.jpg", data + bytes(3_000_000)), source("b.jpg", data))
    first, second = sorted(listed(workspace, "image"), key=lambda item: item.name)
    assert first.id == hashlib.sha256(data + bytes(3_000_000)).hexdigest() != second.id
    assert first.media == second.media == second.id and first.size_bytes == len(data)
    assert workspace.library.media_path(first.media, first.mime).read_bytes() == data
    assert workspace.library.thumbnail_path(first.media).exists()
    assert workspace.ledger.media_of(first.id) == first.media and workspace.ledger.media_of("no such") is None
    assert report.notes == (
        "1 file goes on after the end of its picture: what follows is not kept: a.jpg (3 MB).",
    )
    again = run(workspace, source("a.jpg", data + bytes(3_000_000)))
    assert (again.stored, again.skipped) == (0, 1)


def test_what_was_kept_without_its_tail_is_embedded_again(workspace, pocket):
    run(workspace, source("a.jpg", jpeg(1) + bytes(100)))
    report = workspace.reembed("photos", ModelChoice.of(pocket.provenance), into="again")
    assert (report.stored, report.failed) == (1, ())


def test_a_picture_that_two_items_share_stays_until_both_are_deleted(workspace):
    data = jpeg(1)
    run(workspace, source("a.jpg", data + b"\0"), source("b.jpg", data))
    first, second = sorted(listed(workspace, "image"), key=lambda item: item.name)
    path = workspace.library.media_path(first.media, first.mime)
    workspace.delete_items("photos", [second.id])
    assert path.exists()
    workspace.delete_items("photos", [first.id])
    assert not path.exists()


@pytest.mark.parametrize("batch", [1, 10])
def test_labels_and_columns_of_copies_are_added_to_the_first(workspace, batch):
    report = run(
        workspace,
        labelled("cat.jpg", jpeg(1), "cat", split="train"),
        labelled("dog.jpg", jpeg(2), "dog"),
        labelled("pet.jpg", jpeg(1), "pet", "cat", year=1999),
        labelled("same.jpg", jpeg(2), "dog"),
        labelled("test.jpg", jpeg(1), split="test"),
        batch_files=batch,
    )
    items = {item.name: item for item in listed(workspace, "image")}
    assert set(items) == {"cat.jpg", "dog.jpg"} and items["dog.jpg"].labels == ("dog",)
    assert items["cat.jpg"].labels == ("cat", "pet")
    assert items["cat.jpg"].metadata == (("split", "train"), ("year", 1999))
    kept, _ = workspace.ledger.get("photos", "image", [items["cat.jpg"].id])
    assert kept[0].labels == ("cat", "pet")
    assert report.notes == (
        "3 files are the same as others of these and were taken once: "
        "pet.jpg (cat.jpg), same.jpg (dog.jpg), test.jpg (cat.jpg).",
        "1 file has the bytes of another: its labels and columns were added to that one: pet.jpg (cat.jpg).",
        "1 file is stored already with other labels or columns: those were left as they are: "
        "test.jpg (cat.jpg).",
    )


def test_labels_that_a_stored_file_has_not_are_named_and_not_taken(workspace):
    run(workspace, labelled("cat.jpg", jpeg(1), "cat"))
    report = run(workspace, labelled("pet.jpg", jpeg(1), "pet"), labelled("cat.jpg", jpeg(1), "cat"))
    assert report.notes == (
        "1 file is stored already with other labels or columns: those were left as they are: "
        "pet.jpg (cat.jpg).",
    )
    assert [item.labels for item in listed(workspace, "image")] == [("cat",)]
    assert run(workspace, labelled("cat.jpg", jpeg(1), "cat"), source("copy.jpg", jpeg(1))).notes == ()


def test_workers_of_a_cluster_keep_to_the_limits_too(slow):
    probes = [probe(source("hostile.jpg", slow)), probe(source("flat.png", encode(Image.new("L", (40, 40)))))]
    first, second = decoded(Parcel(probes, []), Limits(10**8, 320, 0.3))
    assert "GAPSCOPE_DECODE_SECONDS" in first.reason
    assert second.notes == (("flat", ""),) and second.content.size == (40, 40)


def test_an_embedder_is_given_a_strip_that_it_can_take(workspace):
    strips = [encode(four_corners(*size)) for size in ((4000, 2), (2, 4000))]
    report = run(workspace, *(source(f"{n}.png", data) for n, data in enumerate(strips)))
    assert report.stored == 2
    assert report.notes[0].startswith("2 pictures are so long and narrow")
