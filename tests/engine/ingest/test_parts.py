"""A file that becomes several items: each is stored once, with its own vector, and none costs another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import UnreadableMediaError
from engine.ingest.files import FileIngest
from engine.media.decode import part_id
from engine.media.images import open_image, thumbnail
from engine.media.sources import SourceList
from engine.progress import Hooks
from tests.helpers import contact_sheet
from tests.helpers.contact_sheet import sheet
from tests.helpers.data import jpeg, source
from tests.helpers.fake_embedder import NEW, OLD, Fake, opened
from tests.helpers.workspaces import listed


@pytest.fixture(autouse=True)
def _sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    contact_sheet.register(monkeypatch)


def run(workspace, pocket, *found, batch_files: int = 32, **hooks):
    settings = workspace.settings.model_copy(update={"batch_files": batch_files})
    folder = replace(workspace.folder, settings=settings)
    return FileIngest("photos", folder, pocket, Hooks(**hooks)).run(SourceList(found))


THREE = source("three.sheet", sheet(jpeg(1), jpeg(2), jpeg(3)), "three pictures")
BROKEN = source("broken.sheet", sheet(jpeg(4), b"\xff\xd8\xff broken", jpeg(5)), "one is broken")
CUT = source("cut.sheet", sheet(jpeg(6))[:-9], "cut off")
PLAIN = source("plain.jpg", jpeg(7), "a plain one")


@pytest.mark.parametrize("batch_files", [1, 32])
def test_every_part_is_stored_with_its_own_vector(workspace, pocket, batch_files):
    seen = []
    report = run(
        workspace, pocket, THREE, CUT, BROKEN, PLAIN, batch_files=batch_files, on_progress=seen.append
    )
    assert (report.stored, report.skipped) == (6 + 3, 0)
    assert [one.name for one in report.failed] == ["cut.sheet", "broken.sheet, picture 2"]
    assert seen[0].total == seen[-1].total == seen[-1].done == 4  # files
    items = {item.id: item for item in listed(workspace, "image")}
    table = workspace.store.vectors("photos", "image")
    places = [(1, "three.sheet, picture 1"), (2, "three.sheet, picture 2"), (3, "three.sheet, picture 3")]
    places += [(4, "broken.sheet, picture 1"), (5, "broken.sheet, picture 3"), (7, "plain.jpg")]
    assert {item.name for item in items.values()} == {name for _, name in places} and len(items) == 6
    for number, name in places:
        (item,) = [one for one in items.values() if one.name == name]
        picture = open_image(jpeg(number), max_pixels=10**6)[0]
        alone = pocket.encode_document("image", [pocket.prepare("image", picture)])
        assert np.allclose(table.take([item.id]).vectors, alone, atol=1e-5)
        key = name.rpartition(", ")[2] if ", " in name else ""
        assert item.id == part_id(item.pair, key) and item.media == item.pair


def test_captions_belong_to_the_file_and_media_is_saved_once(workspace, pocket):
    run(workspace, pocket, THREE)
    pictures, (caption,) = listed(workspace, "image"), listed(workspace, "text")
    assert {one.pair for one in pictures} == {caption.pair} and caption.caption == "three pictures"
    (media,) = {one.media for one in pictures}
    assert workspace.library.media_path(media, contact_sheet.MIME).read_bytes() == THREE.read()
    small = thumbnail(open_image(jpeg(1), max_pixels=10**6)[0])
    assert workspace.library.thumbnail_path(media).read_bytes() == small
    opened_again = [workspace.folder.open_item(one).tobytes() for one in pictures]
    assert len(set(opened_again)) == 3
    workspace.delete_items("photos", [one.id for one in pictures[:2]])
    assert workspace.library.media_path(media, contact_sheet.MIME).exists()
    workspace.delete_items("photos", [pictures[2].id])
    assert not workspace.library.media_path(media, contact_sheet.MIME).exists()


def test_ingesting_again_stores_nothing_but_what_is_missing(workspace, pocket):
    run(workspace, pocket, THREE, BROKEN)
    before = workspace.store.info("photos").counts
    again = run(workspace, pocket, THREE, BROKEN)
    assert (again.stored, again.skipped, workspace.store.info("photos").counts) == (0, 7, before)
    assert [one.name for one in again.failed] == ["broken.sheet, picture 2"]
    gone = next(item for item in listed(workspace, "image") if item.name == "three.sheet, picture 2")
    workspace.delete_items("photos", [gone.id])
    back = run(workspace, pocket, THREE)
    assert (back.stored, back.skipped) == (1, 3)
    assert gone.id in {item.id for item in listed(workspace, "image")}


def test_the_same_file_twice_in_a_run_is_stored_once(workspace, pocket):
    other = replace(THREE, name="other.sheet", captions=("another caption",))
    report = run(workspace, pocket, THREE, other, THREE, replace(CUT, name="a"), replace(CUT, name="b"))
    assert (report.stored, report.skipped) == (3 + 2, 3 + 3 + 1)
    assert [one.name for one in report.failed] == ["a", "b"]


def test_a_part_that_the_model_refuses_costs_no_other(workspace, pocket, monkeypatch):
    prepared = []

    def prepare(modality, content):
        if modality == "image":
            prepared.append(content)
            if len(prepared) == 2:
                raise UnreadableMediaError("The model cannot read it.")
        return type(pocket).prepare(pocket, modality, content)

    monkeypatch.setattr(pocket, "prepare", prepare)
    report = run(workspace, pocket, THREE)
    assert report.stored == 3 and [one.name for one in report.failed] == ["three.sheet, picture 2"]


def test_a_file_of_which_no_part_can_be_read_leaves_nothing(workspace, pocket):
    found = source("bad.sheet", sheet(b"\xff\xd8\xff one", b"\xff\xd8\xff two"), "words")
    report = run(workspace, pocket, found, replace(found, name="again.sheet"))
    assert report.stored == 0 and not list((workspace.settings.data_dir / "media").rglob("*.sheet"))
    names = [one.name for one in report.failed]
    assert names == ["bad.sheet, picture 1", "bad.sheet, picture 2", "again.sheet"]


def test_re_embedding_opens_every_part(tmp_path):
    new = Fake("new", 12)
    workspace = opened(tmp_path / "data", new)
    workspace.ingest("photos", SourceList((THREE, PLAIN)), choice=OLD)
    before = {item.id: item for item in listed(workspace, "image")}
    assert workspace.reembed("photos", NEW).failed == ()
    assert {item.id: item for item in listed(workspace, "image")} == before and len(before) == 4
    table = workspace.store.vectors("photos", "image")
    contents = [workspace.folder.open_item(before[id_]) for id_ in table.ids]
    assert np.allclose(new.encode_query("image", contents), table.vectors, atol=0.02)
    workspace.close()
