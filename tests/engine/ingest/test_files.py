"""Ingest stores every good file once, with its own caption and vector, whatever else is in the batch."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import CollectionModelError, FolderError
from engine.ingest.files import FileIngest
from engine.media.decode import caption_id
from engine.media.images import open_image
from engine.media.sources import Source, SourceList
from engine.progress import Hooks, Progress
from engine.storage.repair import rebuild, restore
from engine.types import Failure
from engine.workspace import Workspace
from tests.helpers.data import ROOT, generated_photos, jpeg, mixed_sources, source, sources, write_captions
from tests.helpers.workspaces import cli_env, listed, make_settings


def run(workspace: Workspace, found: SourceList, embedder=None, **settings: object):
    """Run an ingest with the session's Pocket, or another embedder, and settings of its own."""
    hooks = {key: settings.pop(key) for key in ("on_progress", "cancelled") if key in settings}
    folder = replace(workspace.folder, settings=workspace.settings.model_copy(update=settings))
    with contextlib.nullcontext(embedder) if embedder else workspace.models.embedder() as model:
        return FileIngest("photos", folder, model, Hooks(**hooks)).run(found)


class Watched:
    """Pocket with a look at every encode call."""

    def __init__(self, pocket, on_encode=lambda modality, count: None) -> None:
        self.spec, self.image_side_px, self.prepare = pocket.spec, pocket.image_side_px, pocket.prepare
        self.encode_query, self.spread = pocket.encode_query, pocket.spread
        self.provenance, self.modalities = pocket.provenance, pocket.modalities
        self._pocket, self._on_encode = pocket, on_encode
        self.calls: list[tuple[str, int]] = []

    def encode_document(self, modality, prepared):
        self.calls.append((modality, len(prepared)))
        self._on_encode(modality, len(prepared))
        return self._pocket.encode_document(modality, prepared)


def test_captions_are_paired_with_their_pictures(workspace, tmp_path):
    folder = generated_photos(tmp_path / "in", 5)
    report = workspace.ingest("photos", sources([folder]))
    assert (report.stored, report.skipped, report.failed, report.cancelled) == (10, 0, (), False)
    images = {item.pair: item for item in listed(workspace, "image")}
    texts = listed(workspace, "text")
    assert len(images) == len(texts) == 5
    for text in texts:
        picture = images[text.pair]
        assert text.name == picture.name and text.caption == picture.caption
        assert text.id == caption_id(picture.id, text.caption) and picture.id == picture.pair
        assert text.caption == f"picture number {int(picture.name[:4])}"


def test_ingesting_again_stores_nothing(workspace, tmp_path, pocket):
    found = sources([generated_photos(tmp_path / "in", 40)])
    run(workspace, found)
    watched = Watched(pocket)
    report = run(workspace, found, watched)
    assert (report.stored, report.skipped, report.failed) == (0, 80, ()) and watched.calls == []
    assert workspace.store.info("photos").counts == {"text": 40, "image": 40}


@pytest.mark.parametrize("batch", [2, 100])
def test_the_same_bytes_are_stored_once(workspace, batch):
    found = SourceList(tuple(source(f"{n}.jpg", jpeg(n % 3), f"caption {n % 3}") for n in range(9)))
    report = run(workspace, found, batch_files=batch)
    assert (report.stored, report.skipped) == (6, 12)
    assert sorted(item.name for item in listed(workspace, "image")) == ["0.jpg", "1.jpg", "2.jpg"]


def test_new_captions_of_a_known_picture_are_stored(workspace):
    run(workspace, SourceList((source("a.jpg", jpeg(1), "first"),)))
    report = run(workspace, SourceList((source("b.jpg", jpeg(1), "first", "second"),)))
    assert (report.stored, report.skipped) == (1, 2)
    assert {item.caption for item in listed(workspace, "text")} == {"first", "second"}
    assert len({item.pair for item in listed(workspace, "text")}) == 1


def test_several_captions_and_one_caption_for_several_pictures(workspace, tmp_path):
    folder = generated_photos(tmp_path / "in", 2)
    rows = [{"file_name": f"000{n}.jpg", "caption": c} for n in (0, 1) for c in ("the same", f"own {n}")]
    write_captions(folder, rows)
    assert workspace.ingest("photos", sources([folder])).stored == 6
    texts = listed(workspace, "text")
    assert len({(item.pair, item.caption) for item in texts}) == 4
    assert len({item.pair for item in texts if item.caption == "the same"}) == 2


@pytest.mark.parametrize("batch", [1, 4, 32])
def test_bad_files_cost_no_good_one_its_caption_or_vector(workspace, pocket, batch):
    report = run(workspace, mixed_sources(24), batch_files=batch, store_batch_rows=5)
    assert report.stored == 48 and len(report.failed) == 8
    assert {failure.name for failure in report.failed} == {f"bad{n}.jpg" for n in range(0, 24, 3)}
    assert all(failure.reason.endswith(".") for failure in report.failed)
    items = {item.id: item for item in listed(workspace, "image")}
    table = workspace.store.vectors("photos", "image")
    assert set(items) == set(table.ids) and len(items) == 24
    for id_, vector in zip(table.ids, table.vectors, strict=True):
        number = int(items[id_].name.removesuffix(".jpg"))
        picture = open_image(jpeg(number), max_pixels=10**6)[0]
        alone = pocket.encode_document("image", [pocket.prepare("image", picture)])[0]
        assert np.allclose(vector, alone, atol=1e-5) and items[id_].caption == f"caption of {number}"
    texts = {item.id: item for item in listed(workspace, "text")}
    words = workspace.store.vectors("photos", "text")
    for id_, vector in zip(words.ids, words.vectors, strict=True):
        alone = pocket.encode_document("text", [texts[id_].caption])[0]
        assert np.allclose(vector, alone, atol=1e-5)
        assert items[texts[id_].pair].caption == texts[id_].caption


def test_the_same_bad_bytes_fail_every_time_they_come(workspace):
    bad = b"\xff\xd8\xff" + b"junk" * 50
    report = run(workspace, SourceList(tuple(source(f"{n}.jpg", bad, "c") for n in range(5))), batch_files=2)
    assert [failure.name for failure in report.failed] == [f"{n}.jpg" for n in range(5)]
    assert len({failure.reason for failure in report.failed}) == 1 and report.stored == report.skipped == 0


def test_text_files_are_items_of_their_own(workspace, tmp_path):
    (tmp_path / "note.txt").write_text("a lighthouse by the sea")
    run(workspace, sources([tmp_path / "note.txt", tmp_path / "missing.jpg"]))
    [item] = listed(workspace, "text")
    assert (item.name, item.caption, item.pair) == ("note.txt", "a lighthouse by the sea", item.id)


def test_nothing_found_is_an_empty_report(workspace):
    report = run(workspace, SourceList((), (Failure("x", "gone."),)))
    assert (report.stored, report.skipped, report.cancelled) == (0, 0, False) and len(report.failed) == 1


def test_progress_is_monotone_and_ends_at_the_total(workspace):
    seen: list[Progress] = []
    report = run(workspace, mixed_sources(30), batch_files=7, on_progress=seen.append)
    for name in ("done", "stored", "skipped", "elapsed_seconds"):
        values = [getattr(progress, name) for progress in seen]
        assert values == sorted(values), name
    assert seen[0].done == 0 and len(seen) == 8 and {progress.total for progress in seen} == {40}
    last = seen[-1]
    assert (last.done, last.stored, last.failed) == (40, report.stored, report.failed) and last.share == 1


def test_cancelling_stops_and_running_again_completes(workspace):
    found = mixed_sources(30)
    seen: list[Progress] = []
    report = run(
        workspace,
        found,
        batch_files=5,
        on_progress=seen.append,
        cancelled=lambda: bool(seen) and seen[-1].done >= 10,
    )
    assert report.cancelled and 0 < report.stored < 60
    assert workspace.store.info("photos").total == report.stored
    again = run(workspace, found)
    assert (again.stored, again.skipped, again.cancelled) == (60 - report.stored, report.stored, False)
    assert workspace.store.info("photos").counts == {"text": 30, "image": 30}


def test_cancelled_before_it_began_stores_nothing(workspace):
    report = run(workspace, mixed_sources(3), cancelled=lambda: True)
    assert report.cancelled and report.stored == 0


def test_the_next_batch_is_read_while_this_one_is_embedded(workspace, pocket):
    """Reading the second batch and embedding the first wait for each other: apart, one would time out."""
    second_read, encoding = threading.Event(), threading.Event()
    waited: list[bool] = []

    def read(number: int) -> bytes:
        if number >= 4:
            second_read.set()
            waited.append(encoding.wait(60))
        return jpeg(number)

    def on_encode(modality: str, count: int) -> None:
        encoding.set()
        waited.append(second_read.wait(60))

    found = SourceList(tuple(Source(f"{n}.jpg", lambda n=n: read(n)) for n in range(8)))
    run(workspace, found, Watched(pocket, on_encode), batch_files=4)
    assert len(waited) == 6 and all(waited)


def test_a_full_disk_stops_in_words_and_completes_later(workspace):
    found = mixed_sources(4)
    with pytest.raises(FolderError, match=r"MB free.*GAPSCOPE_MIN_FREE_DISK_MB"):
        run(workspace, found, min_free_disk_mb=10.0**9)
    assert workspace.store.collections() == []
    assert run(workspace, found).stored == 8


def test_a_disk_that_fills_on_the_way_keeps_what_was_stored(workspace, monkeypatch):
    usage = shutil.disk_usage(workspace.settings.data_dir)
    answers = iter([usage, usage])
    low = usage._replace(free=0)
    monkeypatch.setattr("engine.disk.shutil.disk_usage", lambda path: next(answers, low))
    found = mixed_sources(12)
    with pytest.raises(FolderError):
        run(workspace, found, batch_files=4)
    monkeypatch.undo()
    stored = workspace.store.info("photos").total
    assert (
        stored > 0
        and {k[1]: v for k, v in workspace.ledger.counts().items()} == workspace.store.info("photos").counts
    )
    report = run(workspace, found)
    assert (report.stored, report.skipped) == (24 - stored, stored)


def test_another_model_is_refused_before_anything_is_read(workspace, pocket):
    run(workspace, mixed_sources(1))
    other = Watched(pocket)
    other.provenance = dataclasses.replace(pocket.provenance, revision="older")

    def read() -> bytes:
        raise AssertionError("nothing must be read")

    with pytest.raises(CollectionModelError, match="older"):
        run(workspace, SourceList((Source("a.jpg", read),)), other)
    assert workspace.ledger.counts() and workspace.store.info("photos").total == 2


def test_what_the_ledger_has_is_restored_without_embedding(workspace, pocket):
    """The cut between ledger.put and store.upsert: the next run embeds nothing again."""
    found = mixed_sources(12)
    run(workspace, found)
    lost = [item.id for item in listed(workspace, "image")[:5]]
    kept = workspace.store.vectors("photos", "image", lost)
    workspace.store.delete_items("photos", lost)
    watched = Watched(pocket)
    report = run(workspace, found, watched)
    assert report.stored == 5 and watched.calls == []
    assert np.allclose(workspace.store.vectors("photos", "image", lost).vectors, kept.vectors, atol=1e-6)
    workspace.store.delete_items("photos", lost)
    assert restore("photos", "image", workspace.store, workspace.ledger) == 5
    assert restore("photos", "image", workspace.store, workspace.ledger) == 0


def test_rebuilding_gives_the_same_vectors(workspace):
    run(workspace, mixed_sources(12))
    before = workspace.store.vectors("photos", "image")
    assert rebuild("photos", "image", workspace.store, workspace.ledger) == 12
    after = workspace.store.vectors("photos", "image", before.ids)
    assert after.ids == before.ids and np.allclose(after.vectors, before.vectors, atol=1e-6)
    assert rebuild("nothing", "image", workspace.store, workspace.ledger) == 0


def test_rows_the_index_lost_are_noticed_and_mended(workspace, monkeypatch):
    """Chroma reports no failed write; here it acknowledges the pictures and keeps none."""
    upsert = workspace.store.upsert
    lose = [True]

    def lossy(name, made_by, modality, items, table):
        if modality == "image" and lose:
            items, table = items[:0], table.take([])
            lose.pop()
        upsert(name, made_by, modality, items, table)

    monkeypatch.setattr(workspace.store, "upsert", lossy)
    run(workspace, mixed_sources(6))
    assert workspace.store.info("photos").counts == {"text": 6, "image": 6}
    for item in listed(workspace, "image"):
        vector = workspace.store.vectors("photos", "image", [item.id]).vectors[0]
        found = workspace.store.query("photos", "image", vector, 1)
        assert found[0][1] > 0.999


_MEMORY = """
import json, resource, sys
from pathlib import Path
from engine.datasets.find import find_sources
from engine.settings import load_settings
from engine.workspace import Workspace
workspace = Workspace.open(load_settings())
report = workspace.ingest("photos", find_sources([Path(sys.argv[1])], max_file_bytes=10**8))
workspace.close()
print(json.dumps([report.stored, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@pytest.mark.slow
def test_memory_stays_flat(tmp_path, models_dir):
    """Four times the files may not cost more than the index of four times the rows (a few MB).

    A picture that stayed in memory, as it is decoded for Pocket, would be 0.3 MB, and 120 of them 37 MB.
    """
    megabytes = []
    for count in (40, 160):
        folder = generated_photos(tmp_path / f"in{count}", count, side=640)
        data_dir = make_settings(tmp_path / f"data{count}", models_dir).data_dir
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(folder)],
            cwd=ROOT,
            env=cli_env(data_dir, GAPSCOPE_BATCH_FILES="4"),  # the pipeline is full with fewer files
            capture_output=True,
            text=True,
            check=True,
            timeout=280,
        )
        stored, peak = json.loads(done.stdout)
        assert stored == count * 2
        megabytes.append(peak)
    assert megabytes[1] - megabytes[0] < 35, megabytes


def test_an_upload_named_like_a_path_stays_in_the_folder(workspace):
    started = time.time()
    name = "../../etc/<img src=x onerror=alert(1)>\u202egpj.jpg"
    run(workspace, SourceList((source(name, jpeg(1)),)))
    [item] = listed(workspace, "image")
    path = workspace.library.media_path(item.media, item.mime)
    assert path.is_file() and path.is_relative_to(workspace.settings.data_dir)
    assert item.added_at >= int(started)
    assert not list(Path(workspace.settings.data_dir).rglob("*onerror*"))
