"""A workspace opens, repairs, deletes and closes a data folder, and refuses a second owner in words."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.errors import (
    CollectionNameError,
    CollectionNotFoundError,
    FolderError,
    StoreError,
    StoreLockedError,
)
from engine.search.search import Query
from engine.settings import load_settings
from engine.workspace import Workspace
from tests.helpers.command_line import run_apart
from tests.helpers.data import MADE_BY, generated_photos, plain_items, sources, unit_table
from tests.helpers.workspaces import give_model, make_settings


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file with its size and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "store.lock" and "models" not in path.parts
    }


def test_a_second_process_is_refused_and_writes_nothing(workspace, tmp_path):
    data_dir = workspace.settings.data_dir
    folder = generated_photos(tmp_path / "in", 3)
    workspace.ingest("photos", sources([folder]))
    before = tree(data_dir)
    more = generated_photos(tmp_path / "more", 3, seed=1)
    done = run_apart(data_dir, "ingest", more, "--collection", "photos")
    assert done.returncode == 1 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("StoreLockedError: ") and f"process {os.getpid()}" in line
    assert "chroma run --path" in line and "GAPSCOPE_CHROMA_URL" in line
    assert tree(data_dir) == before


@pytest.mark.slow
def test_after_closing_another_process_may_open(settings, pocket, tmp_path):
    opened = give_model(Workspace.open(settings), pocket)
    opened.ingest("photos", sources([generated_photos(tmp_path / "in", 3)]))
    opened.close()
    done = run_apart(
        settings.data_dir, "search", "picture number 1", "--collection", "photos", "--modality", "text"
    )
    assert done.returncode == 0 and "picture number 1" in done.stdout.splitlines()[0]


def test_a_second_workspace_of_this_process_is_refused_too(workspace):
    with pytest.raises(StoreLockedError):
        Workspace.open(workspace.settings)
    assert workspace.store.collections() == []


@pytest.mark.parametrize("below", ["file/data", "/proc/gapscope", "/dev/null/data"])
def test_an_unusable_folder_is_one_sentence(tmp_path, below):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(FolderError) as caught:
        Workspace.open(load_settings(data_dir=tmp_path / below))
    text = str(caught.value)
    assert str(tmp_path / below) in text and "GAPSCOPE_DATA_DIR" in text and "\n" not in text


def test_a_failed_opening_leaves_the_folder_free(settings, tmp_path):
    (settings.data_dir / "ledger.sqlite3").write_bytes(b"garbage" * 1000)
    kept = []  # an error that somebody keeps must not keep the lock
    for _ in range(2):
        with pytest.raises(FolderError, match="not a database") as caught:
            Workspace.open(settings)
        kept.append(caught.value)
    (settings.data_dir / "ledger.sqlite3").unlink()
    Workspace.open(settings).close()


def filled(settings, pocket, tmp_path, count: int = 6) -> Workspace:
    opened = give_model(Workspace.open(settings), pocket)
    opened.ingest("photos", sources([generated_photos(tmp_path / "in", count)]))
    return opened


def test_opening_puts_back_what_the_index_lost(settings, pocket, tmp_path):
    opened = filled(settings, pocket, tmp_path)
    before = opened.store.vectors("photos", "image")
    opened.store.delete_items("photos", before.ids[:2])
    opened.store.delete_part("photos", "text")
    opened.close()
    stages: list[str] = []
    opened = Workspace.open(settings, stages.append)
    assert opened.store.info("photos").counts == {"text": 6, "image": 6}
    assert any("photos" in stage and "6 text items" in stage for stage in stages)
    after = opened.store.vectors("photos", "image", before.ids)
    assert after.ids == before.ids and np.allclose(after.vectors, before.vectors, atol=1e-6)
    opened.close()


@pytest.mark.parametrize("marked", [True, False])
def test_a_damaged_index_is_made_again_from_the_ledger(settings, pocket, tmp_path, marked):
    opened = filled(settings, pocket, tmp_path)
    before = opened.store.vectors("photos", "image")
    opened.close()
    (settings.data_dir / "chroma" / "chroma.sqlite3").write_bytes(b"garbage" * 1000)
    if marked:
        (settings.data_dir / "store.opening").touch()
    opened = Workspace.open(settings)
    for id_, vector in zip(before.ids, before.vectors, strict=True):
        assert opened.store.query("photos", "image", vector, 1)[0][0].id == id_
    assert opened.store.info("photos").counts == {"text": 6, "image": 6}
    opened.close()
    assert len(list(settings.data_dir.glob("chroma.damaged-*"))) == 1


def test_a_lost_folder_is_made_again_too(settings, pocket, tmp_path):
    filled(settings, pocket, tmp_path).close()
    shutil.rmtree(settings.data_dir / "chroma")
    opened = Workspace.open(settings)
    assert opened.store.info("photos").total == 12
    opened.close()


def test_a_collection_that_another_model_made_since_is_left_alone(settings):
    opened = Workspace.open(settings)
    table = unit_table(3)
    opened.ledger.set_provenance("photos", MADE_BY)
    opened.ledger.put("photos", plain_items(table), table)
    other = type(MADE_BY)("other", "1", 8)
    opened.store.upsert("photos", other, "image", plain_items(table)[:1], table.take(table.ids[:1]))
    opened.close()
    opened = Workspace.open(settings)
    assert opened.store.info("photos").made_by == other and opened.store.info("photos").total == 1
    opened.close()


def test_deleted_items_stay_deleted_and_their_media_goes(settings, pocket, tmp_path):
    opened = filled(settings, pocket, tmp_path)
    opened.ingest("others", sources([generated_photos(tmp_path / "two", 2)]))  # the same bytes
    items = sorted(opened.store.all_items("photos", "image"), key=lambda item: item.name)
    opened.delete_items("photos", [items[0].id, items[5].id])
    assert opened.library.media_path(items[0].media, items[0].mime).exists()
    assert not opened.library.media_path(items[5].media, items[5].mime).exists()
    assert not opened.library.thumbnail_path(items[5].media).exists()
    opened.close()
    opened = Workspace.open(settings)
    assert opened.store.info("photos").counts == {"text": 6, "image": 4}
    opened.close()


def test_a_deleted_collection_is_gone_for_good(settings, pocket, tmp_path):
    opened = filled(settings, pocket, tmp_path)
    opened.delete_collection("photos")
    assert [path for path in (settings.data_dir / "media").rglob("*") if path.is_file()] == []
    with pytest.raises(CollectionNotFoundError):
        opened.delete_collection("photos")
    opened.close()
    opened = give_model(Workspace.open(settings), pocket)
    assert opened.store.collections() == [] and opened.ledger.counts() == {}
    with pytest.raises(CollectionNotFoundError):
        opened.search(Query(text="a dog"), collection="photos")
    assert opened.ingest("photos", sources([tmp_path / "in"])).stored == 12
    opened.close()


def test_a_bad_name_is_refused_before_a_model_is_loaded(settings):
    opened = Workspace.open(settings)
    with pytest.raises(CollectionNameError):
        opened.ingest("no spaces please", sources([]))
    assert not opened.models.loaded.list()
    opened.close()


def test_the_model_is_loaded_once(settings):
    opened = Workspace.open(settings)
    with opened.models.embedder() as first, opened.models.embedder() as second:
        assert first is second
    assert [model.choice.id for model in opened.models.loaded.list()] == ["pocket"]
    opened.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://127.0.0.1:99999", "http://no.such.host.invalid"]
)
def test_a_server_that_is_not_there(tmp_path, models_dir, url):
    with pytest.raises(StoreError, match=url):
        Workspace.open(make_settings(tmp_path / "data", models_dir, chroma_url=url))
