"""A remake replaces the old collection in one step, by the whole new one, whenever it is cut off."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import (
    CollectionError,
    CollectionNameError,
    CollectionNotFoundError,
    FolderError,
    ModalityError,
    StoreUnreachableError,
)
from engine.models.base import ModelChoice
from engine.progress import Progress
from engine.search.search import Query
from engine.storage.staging import StagingName, Stagings
from engine.types import Item, Provenance
from engine.workspace import Workspace
from tests.helpers.chroma_server import Server
from tests.helpers.data import generated_photos, plain_items, real_photos, sources, unit_table
from tests.helpers.fake_embedder import MODALITIES, NEW, OLD, Fake, hidden, lend, opened
from tests.helpers.killed import child, reembed

PHOTOS = 24


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder whose 'photos', by the model 'old', are 24 pictures with a caption each."""
    folder = tmp_path_factory.mktemp("ingested")
    workspace = opened(folder)
    photos = generated_photos(tmp_path_factory.mktemp("in"), PHOTOS)
    workspace.ingest("photos", sources([photos]), choice=OLD)
    workspace.close()
    return folder


@pytest.fixture
def made(tmp_path: Path, ingested: Path) -> Iterator[Workspace]:
    """Return a workspace of the test's own with those 'photos'."""
    shutil.copytree(ingested, tmp_path / "data")
    workspace = opened(tmp_path / "data")
    yield workspace
    workspace.close()


def items_of(workspace: Workspace, name: str = "photos") -> dict[str, Item]:
    """Return every item by id, in the store and in the ledger, which must agree."""
    found = {item.id: item for one in MODALITIES for item in workspace.store.all_items(name, one)}
    kept = [item for one in MODALITIES for items, _ in workspace.ledger.pages(name, one) for item in items]
    assert {item.id: item for item in kept} == found and len(kept) == len(found)
    return found


def check(workspace: Workspace, by: Fake, items: dict[str, Item], name: str = "photos") -> None:
    """Prove that a collection is this model's, whole, with every vector at its own item."""
    assert workspace.store.info(name).made_by == by.provenance == workspace.ledger.provenance(name)
    assert items_of(workspace, name) == items
    for modality in MODALITIES:
        table = workspace.store.vectors(name, modality)
        _, kept = workspace.ledger.get(name, modality, table.ids)
        assert np.allclose(kept.take(table.ids).vectors, table.vectors, atol=1e-6)
        if not len(table):
            continue
        contents = [workspace.folder.open_item(items[id_]) for id_ in table.ids]
        assert np.allclose(by.encode_query(modality, contents), table.vectors, atol=0.02)
        assert workspace.store.unfound(name, modality, table) == []  # all of them, at one call
        for id_, vector in zip(table.ids[::8], table.vectors[::8], strict=True):
            found = workspace.store.query(name, modality, vector, 3)
            assert found[0][1] > 0.999 and id_ in {item.id for item, _ in found}
    for item in items.values():
        if item.media:
            path = workspace.library.media_path(item.media, item.mime)
            assert (
                path.stat().st_size == item.size_bytes
                and workspace.library.thumbnail_path(item.media).exists()
            )


def media_files(workspace: Workspace) -> set[str]:
    return {path.stem for path in (workspace.settings.data_dir / "media").rglob("*.jpg")}


def test_it_takes_the_place_of_the_old_one_with_all_items_as_they_were(made):
    before, new = items_of(made), Fake("new", 12)
    seen: list[Progress] = []
    report = lend(made, new).reembed("photos", NEW, on_progress=seen.append)
    assert (report.collection, report.model, report.stored, report.skipped) == ("photos", "new", 48, 0)
    assert report.failed == () and not report.cancelled and new.embedded == 2 * PHOTOS
    check(made, new, before)
    assert hidden(made) == [] and [info.name for info in made.store.collections()] == ["photos"]
    for name in ("done", "stored", "elapsed_seconds"):
        values = [getattr(progress, name) for progress in seen]
        assert values == sorted(values), name
    assert (seen[-1].done, seen[-1].total) == (48, 48)
    trace = made.search(Query(text="picture number 7"), collection="photos")
    assert trace.results[0].item.caption == "picture number 7" and trace.model == "new"


def test_it_is_the_same_after_reopening_and_can_be_added_to(made, tmp_path):
    before = items_of(made)
    made.reembed("photos", NEW)
    made.close()
    again = opened(made.settings.data_dir)
    check(again, Fake("new", 12), before)
    again.ingest("photos", sources([generated_photos(tmp_path / "more", 3, seed=5)]))
    check(again, Fake("new", 12), items_of(again))
    assert again.store.info("photos").total == 54 and again.folder.choice_of("photos").id == "new"
    again.close()


def test_pocket_reads_the_stored_media_as_its_ingest_read_the_files(workspace, tmp_path):
    folder = real_photos(tmp_path, 6)
    workspace.ingest("direct", sources([folder]))
    with workspace.models.embedder() as pocket:
        lend(workspace, pocket)
        workspace.ingest("photos", sources([folder]), choice=OLD)
        workspace.reembed("photos", ModelChoice(pocket.spec.id))
    for modality in MODALITIES:
        table = workspace.store.vectors("direct", modality)
        again = workspace.store.vectors("photos", modality, table.ids)
        assert again.ids == table.ids and np.allclose(again.vectors, table.vectors, atol=1e-5)


def test_the_same_model_again_is_a_remake_too(made):
    before = items_of(made)
    assert made.reembed("photos", OLD).stored == 48
    check(made, Fake("old", 8), before)
    made.reembed("photos", NEW)
    made.reembed("photos", OLD)
    check(made, Fake("old", 8), before)
    assert hidden(made) == []


def test_under_a_new_name_the_old_one_stays(made):
    before = items_of(made)
    report = made.reembed("photos", NEW, into="again")
    assert (report.collection, report.stored) == ("again", 48)
    check(made, Fake("old", 8), before)
    check(made, Fake("new", 12), before, "again")
    made.delete_collection("photos")
    check(made, Fake("new", 12), before, "again")
    made.delete_collection("again")
    assert media_files(made) == set() and hidden(made) == [] and made.ledger.counts() == {}


def test_nobody_sees_or_names_it_before_it_is_whole(made):
    new, seen = Fake("new", 12), []

    def look() -> None:
        seen.append([info.name for info in made.store.collections()])
        [staging] = Stagings(made.ledger).of("photos")
        typed = "".join(staging.name)
        for call in (
            lambda: made.search(Query(text="x"), collection=typed),
            lambda: made.store.info(typed),
            lambda: made.store.made_by(typed),
            lambda: list(made.store.all_items(typed, "text")),
            lambda: made.delete_collection(typed),
            lambda: made.ingest(typed, sources([])),
            lambda: made.reembed(typed, NEW),
            lambda: made.reembed("photos", NEW, into=typed),
        ):
            with pytest.raises(CollectionNameError):
                call()

    new.on_encode = look
    lend(made, new).reembed("photos", NEW, into="again")
    assert len(seen) == 12 and all(names == ["photos"] for names in seen)


def test_a_name_in_use_and_a_collection_that_is_not_there_are_refused(made):
    made.reembed("photos", NEW, into="again")
    with pytest.raises(CollectionError, match="'again' already"):
        made.reembed("photos", NEW, into="again")
    with pytest.raises(CollectionNotFoundError, match="photos"):
        made.reembed("nothing", NEW)
    with pytest.raises(CollectionNameError):
        made.reembed("photos", NEW, into="no spaces")
    assert hidden(made) == []


def test_a_model_without_a_modality_is_refused_before_anything_is_embedded(made):
    before, words = items_of(made), Fake("words", 6, ("text",))
    for into in (None, "again"):
        with pytest.raises(ModalityError, match="words cannot embed image"):
            lend(made, words).reembed("photos", ModelChoice("words"), into=into)
    assert words.embedded == 0 and hidden(made) == []
    check(made, Fake("old", 8), before)


def test_text_alone_can_be_made_again_by_a_text_model(tmp_path):
    (tmp_path / "note.txt").write_text("a lighthouse by the sea")
    workspace = opened(tmp_path / "data", Fake("words", 6, ("text",)))
    workspace.ingest("notes", sources([tmp_path / "note.txt"]), choice=OLD)
    before = items_of(workspace, "notes")
    workspace.reembed("notes", ModelChoice("words"))
    check(workspace, Fake("words", 6), before, "notes")
    workspace.close()


def picture(workspace: Workspace, name: str) -> Item:
    return next(item for item in workspace.store.all_items("photos", "image") if item.name == name)


def spoil(workspace: Workspace, name: str, data: bytes | None) -> Item:
    """Lose or change the media file of a picture."""
    item = picture(workspace, name)
    path = workspace.library.media_path(item.media, item.mime)
    path.unlink() if data is None else path.write_bytes(data)
    return item


def test_a_lost_file_is_named_at_once_and_the_old_one_stays(made):
    new, before = Fake("new", 12), items_of(made)
    for number in range(5):
        spoil(made, f"000{number}.jpg", None)
    with pytest.raises(CollectionError) as caught:
        lend(made, new).reembed("photos", NEW)
    text = str(caught.value)
    assert "5 of its items" in text and "000" in text and "missing" in text and "and 2 more" in text
    assert new.embedded == 0 and items_of(made) == before
    assert made.store.info("photos").made_by == Fake("old", 8).provenance


@pytest.mark.parametrize("data", [b"", b"junk" * 99, None])
def test_a_broken_file_is_named_and_deleting_the_item_lets_it_go_on(made, data):
    new = Fake("new", 12)
    item = spoil(made, "0007.jpg", data)
    with pytest.raises(CollectionError, match=r"left as it is: 1 of its items .*0007\.jpg: Its media file"):
        lend(made, new).reembed("photos", NEW)
    assert new.embedded == (0 if data is None else 47)
    assert made.store.info("photos").made_by == Fake("old", 8).provenance and len(items_of(made)) == 48
    made.delete_items("photos", [item.id])
    left = items_of(made)
    report = made.reembed("photos", NEW)
    assert report.stored + report.skipped == 47 and new.embedded == 47
    check(made, Fake("new", 12), left)


def test_under_a_new_name_what_cannot_be_made_is_left_out_and_reported(made):
    lost, broken = spoil(made, "0003.jpg", None), spoil(made, "0004.jpg", b"\xff\xd8\xff")
    report = made.reembed("photos", NEW, into="again")
    assert sorted(failure.name for failure in report.failed) == ["0003.jpg", "0004.jpg"]
    assert {failure.reason for failure in report.failed} == {
        "Its media file is missing.",
        "Its media file has changed since it was stored.",
    }
    kept = {id_: item for id_, item in items_of(made).items() if id_ not in (lost.id, broken.id)}
    check(made, Fake("new", 12), kept, "again")
    assert len(items_of(made)) == 48


def test_a_full_disk_stops_it_in_words_and_it_goes_on_later(made):
    before, settings = items_of(made), made.settings
    made.folder.settings = settings.model_copy(update={"min_free_disk_mb": 10.0**9})
    with pytest.raises(FolderError, match="GAPSCOPE_MIN_FREE_DISK_MB"):
        made.reembed("photos", NEW)
    check(made, Fake("old", 8), before)
    made.folder.settings = settings
    made.reembed("photos", NEW)
    check(made, Fake("new", 12), before)


def cut(workspace: Workspace, at: int, *, into: str | None = None) -> int:
    """Run a remake that is cancelled once `at` items are done; returns how many it embedded."""
    done: list[int] = []
    report = workspace.reembed(
        "photos",
        NEW,
        into=into,
        on_progress=lambda progress: done.append(progress.done),
        cancelled=lambda: bool(done) and done[-1] >= at,
    )
    assert report.cancelled and 0 < report.stored < 48
    return report.stored


def test_cancelled_it_goes_on_from_what_it_had(made):
    before, new = items_of(made), Fake("new", 12)
    lend(made, new)
    first = cut(made, 12)
    check(made, Fake("old", 8), before)
    second = cut(made, 8)
    report = made.reembed("photos", NEW)
    assert report.skipped == first + second and report.stored == 48 - first - second
    assert new.embedded == 48
    check(made, Fake("new", 12), before)


def test_cancelled_before_it_began_changes_nothing(made):
    report = made.reembed("photos", NEW, cancelled=lambda: True)
    assert report.cancelled and report.stored == 0
    check(made, Fake("old", 8), items_of(made))


def test_cancelled_while_the_index_is_checked_it_is_not_put_in_place(made):
    stages: list[str] = []
    report = made.reembed(
        "photos",
        NEW,
        on_progress=lambda progress: stages.append(progress.stage),
        cancelled=lambda: stages[-1] == "Checking the index",
    )
    assert report.cancelled and made.store.info("photos").made_by == Fake("old", 8).provenance


def test_another_model_begins_anew_and_leaves_nothing_of_the_first(made):
    before = items_of(made)
    cut(made, 12)
    other = Fake("other", 5)
    assert lend(made, other).reembed("photos", ModelChoice("other")).skipped == 0
    check(made, other, before)
    assert hidden(made) == [] and other.embedded > 48


def test_another_source_or_release_of_libraries_begins_anew(made, tmp_path):
    made.ingest("others", sources([generated_photos(tmp_path / "o", 2, seed=9)]), choice=OLD)
    cut(made, 12, into="again")
    assert made.reembed("others", NEW, into="again").skipped == 0
    assert items_of(made, "again") == items_of(made, "others") and hidden(made) == []
    cut(made, 12)
    newer = Fake("new", 12)
    newer.provenance = Provenance("new", "1", 12, libraries="torch 99")
    assert lend(made, newer).reembed("photos", NEW).skipped == 0
    assert made.store.info("photos").made_by.libraries == "torch 99"


def test_what_is_abandoned_can_be_removed(made):
    before = items_of(made)
    for into in (None, "again"):
        cut(made, 12, into=into)
        assert hidden(made)
        made.folder.discard_reembedding(into or "photos")
        assert hidden(made) == []
    made.folder.discard_reembedding("photos")
    check(made, Fake("old", 8), before)
    cut(made, 12, into="again")
    made.delete_collection("again")  # nothing else is called so
    assert hidden(made) == []
    cut(made, 12, into="again")
    made.delete_collection("photos")
    assert hidden(made) == [] and made.ledger.counts() == {} and media_files(made) == set()


def once(action: Callable[[], None], *, at: int = 3) -> Callable[[], None]:
    calls: list[None] = []

    def run() -> None:
        calls.append(None)
        if len(calls) == at:
            action()

    return run


@pytest.mark.parametrize("at", [1, 6, 12])
def test_what_is_added_on_the_way_comes_along(made, tmp_path, at):
    new, more = Fake("new", 12), sources([generated_photos(tmp_path / "more", 6, seed=3)])
    new.on_encode = once(lambda: made.ingest("photos", more, choice=OLD), at=at)
    report = lend(made, new).reembed("photos", NEW)
    assert report.stored == 60
    items = items_of(made)
    assert len(items) == 60
    check(made, Fake("new", 12), items)


def test_what_is_added_at_the_very_end_comes_along(made, tmp_path, monkeypatch):
    """Between the last look and the swap: the ledger's one step notices."""
    more = sources([generated_photos(tmp_path / "more", 2, seed=3)])
    swap, tries = Stagings.swap, []

    def late(self, *args, **rest):
        if not tries:
            made.ingest("photos", more, choice=OLD)
        tries.append(swap(self, *args, **rest))
        return tries[-1]

    monkeypatch.setattr(Stagings, "swap", late)
    made.reembed("photos", NEW)
    assert tries == [False, True] and len(items_of(made)) == 52
    check(made, Fake("new", 12), items_of(made))


@pytest.mark.parametrize("at", [1, 6, 12])
@pytest.mark.parametrize("into", [None, "again"])
def test_what_is_deleted_on_the_way_does_not_come_back(made, at, into):
    before, new = items_of(made), Fake("new", 12)
    pairs = {item.pair for item in list(made.store.all_items("photos", "image"))[::3]}
    gone = [id_ for id_, item in before.items() if item.pair in pairs]
    new.on_encode = once(lambda: made.delete_items("photos", gone), at=at)
    lend(made, new).reembed("photos", NEW, into=into)
    left = {id_: item for id_, item in before.items() if id_ not in gone}
    check(made, Fake("new", 12), left, into or "photos")
    assert media_files(made) == {item.media for item in left.values() if item.media}
    assert hidden(made) == []


def test_what_is_deleted_at_the_very_end_does_not_come_back(made, monkeypatch):
    """Also where the deletion reaches the ledger before the swap, and the store after it."""
    before, swap = items_of(made), Stagings.swap
    gone = list(before)[:10]

    def late(self, staging, *args, **rest):
        media = made.ledger.delete("photos", gone)
        assert swap(self, staging, *args, **rest)
        assert media == []  # the staged rows hold them until then
        return True

    monkeypatch.setattr(Stagings, "swap", late)
    made.reembed("photos", NEW)
    left = {id_: item for id_, item in before.items() if id_ not in gone}
    check(made, Fake("new", 12), left)
    assert media_files(made) == {item.media for item in left.values() if item.media}


def test_deleting_right_after_the_ledgers_swap_reaches_the_new_index(made, monkeypatch):
    before, swap = items_of(made), Stagings.swap
    gone = list(before)[:10]

    def then_delete(self, *args, **rest):
        result = swap(self, *args, **rest)
        made.delete_items("photos", gone)
        return result

    monkeypatch.setattr(Stagings, "swap", then_delete)
    made.reembed("photos", NEW)
    check(made, Fake("new", 12), {id_: item for id_, item in before.items() if id_ not in gone})


def test_a_cancelled_remake_holds_no_deleted_media(made):
    cut(made, 32)
    made.delete_items("photos", list(items_of(made)))
    assert media_files(made) == set() and made.ledger.counts() == {}


@pytest.mark.parametrize("moment", ["while it embeds", "before the store is written"])
def test_deleting_the_collection_ends_its_remake(made, monkeypatch, moment):
    new, upsert = Fake("new", 12), made.store.upsert
    delete = once(lambda: made.delete_collection("photos"))
    if moment == "while it embeds":
        new.on_encode = delete
    else:
        monkeypatch.setattr(made.store, "upsert", lambda *args: (delete(), upsert(*args)))
    with pytest.raises(CollectionError, match="Re-embedding 'photos' was ended"):
        lend(made, new).reembed("photos", NEW)
    assert made.store.collections() == [] and made.ledger.counts() == {} and media_files(made) == set()
    assert hidden(made) == []


def test_a_name_that_came_into_use_meanwhile_keeps_its_owner(made, tmp_path):
    theirs = sources([generated_photos(tmp_path / "theirs", 2, seed=8)])
    new = Fake("new", 12)
    new.on_encode = once(lambda: made.ingest("again", theirs, choice=OLD))
    with pytest.raises(CollectionError, match="'again' has come into being"):
        lend(made, new).reembed("photos", NEW, into="again")
    check(made, Fake("old", 8), items_of(made, "again"), "again")
    made.folder.discard_reembedding("again")
    assert len(items_of(made, "again")) == 4 and len(items_of(made)) == 48 and hidden(made) == []


def test_items_that_only_the_store_knows_are_never_replaced(made):
    """Another data folder of the same server has added them, or the ledger was lost."""
    table = unit_table(3, 8, seed=4)
    made.store.upsert("photos", Fake("old", 8).provenance, "image", plain_items(table), table)
    with pytest.raises(CollectionError, match="3 items of 'photos' are not recorded"):
        made.reembed("photos", NEW)
    assert made.store.info("photos").counts == {"text": 24, "image": 27} and hidden(made) == []
    report = made.reembed("photos", NEW, into="again")
    assert [failure.name for failure in report.failed] == ["3 items"] and report.stored == 48
    assert len(items_of(made, "again")) == 48


def test_a_collection_of_which_nothing_is_recorded_cannot_be_made_again(made):
    table = unit_table(3, 8, seed=4)
    made.store.upsert("theirs", Fake("old", 8).provenance, "image", plain_items(table), table)
    for into in (None, "again"):
        with pytest.raises(CollectionError, match="records no items"):
            made.reembed("theirs", NEW, into=into)
    assert made.store.info("theirs").total == 3


def fail_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: int = 0) -> None:
    """Let one call of a method fail as if the server had gone."""
    step, calls = getattr(owner, name), []

    def failing(*args, **rest):
        calls.append(None)
        if len(calls) == after + 1:
            raise StoreUnreachableError("http://gone")
        return step(*args, **rest)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize("how", ["open", "ingest", "delete", "remake"])
def test_a_store_that_goes_during_the_swap_follows_later(made, tmp_path, monkeypatch, how):
    before = items_of(made)
    fail_once(monkeypatch, made.store, "drop")
    with pytest.raises(StoreUnreachableError):
        made.reembed("photos", NEW)
    assert hidden(made)
    if how == "open":
        made.close()
        made = opened(made.settings.data_dir)
    elif how == "ingest":
        made.ingest("photos", sources([generated_photos(tmp_path / "more", 2, seed=3)]))
    elif how == "delete":
        made.delete_items("photos", list(before)[:2])
    else:
        made.reembed("photos", ModelChoice("old"))
        made.reembed("photos", NEW)
    items = items_of(made)
    assert len(items) == {"ingest": 52, "delete": 46}.get(how, 48)
    check(made, Fake("new", 12), items)
    assert hidden(made) == []
    made.close()


def test_a_damaged_index_is_made_again_after_the_swap_of_the_ledger(made, monkeypatch):
    before = items_of(made)
    fail_once(monkeypatch, made.store, "swap")
    with pytest.raises(StoreUnreachableError):
        made.reembed("photos", NEW)
    made.close()
    for path in (made.settings.data_dir / "chroma").rglob("*.sqlite3"):
        path.write_bytes(b"garbage" * 999)
    again = opened(made.settings.data_dir)
    check(again, Fake("new", 12), before)
    assert hidden(again) == []
    again.close()


def test_what_nobody_makes_any_more_is_swept_on_opening(made):
    """A process that ended between two deletions left it; what is still being made stays."""
    cut(made, 12)
    [kept] = made.store.staged()
    table, orphan = unit_table(2, 12), StagingName.new("photos")
    made.store.upsert(orphan, Fake("new", 12).provenance, "image", plain_items(table), table)
    made.close()
    again = opened(made.settings.data_dir)
    assert again.store.staged() == {kept}
    again.close()


# --- killed ---------------------------------------------------------------------------------------

BEFORE = ["opened 1", "before put 1", "after put 3", "after upsert 1", "before upsert 5", "before verify 1"]
BEFORE += ["after verify 1", "before swap 1", "before refile 1", "after refile 1"]
# The first refile is not yet committed when it returns; what follows the swap is a fact.
DURING = ["after swap 1", *(f"{when} modify {n}" for n in (1, 2, 3, 4) for when in ("before", "after"))]
DURING += ["after delete 1", "before end 1", "after end 1", "finished 1"]


def die(data_dir: Path, moment: str, what: str = "in-place", **env: str) -> None:
    """Let a process re-embed until it ends itself at the moment."""
    with child(reembed, data_dir, moment, what, GAPSCOPE_BATCH_FILES="4", **env) as dying:
        said = list(dying.said)
        assert dying.ended() == -signal.SIGKILL, (moment, said)


@pytest.fixture
def folder(made: Workspace) -> Path:
    """Return the data folder of `made`, closed."""
    made.close()
    return made.settings.data_dir


@pytest.mark.slow
@pytest.mark.parametrize("moment", BEFORE)
def test_killed_before_the_swap_the_old_one_is_whole_and_it_goes_on(folder, moment):
    die(folder, moment)
    workspace = opened(folder)
    before = items_of(workspace)
    assert len(before) == 48
    check(workspace, Fake("old", 8), before)
    report = workspace.reembed("photos", NEW)
    assert report.stored + report.skipped == 48
    check(workspace, Fake("new", 12), before)
    assert hidden(workspace) == []
    workspace.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", DURING)
def test_killed_during_the_swap_the_new_one_is_whole(folder, moment):
    workspace = opened(folder)
    before = items_of(workspace)
    workspace.close()
    die(folder, moment)
    workspace = opened(folder)
    check(workspace, Fake("new", 12), before)
    assert hidden(workspace) == []
    workspace.close()


@pytest.mark.slow
def test_killed_while_it_is_opened_again_and_again(folder):
    die(folder, "after modify 1")
    for moment in ("before modify 1", "after modify 1", "after modify 1", "after delete 1", "before end 1"):
        die(folder, moment, "open")
    workspace = opened(folder)
    assert len(items_of(workspace)) == 48
    check(workspace, Fake("new", 12), items_of(workspace))
    assert hidden(workspace) == []
    workspace.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["after upsert 4", "after swap 1", "after modify 1"])
def test_killed_under_a_new_name(folder, moment):
    die(folder, moment, "again")
    workspace = opened(folder)
    before = items_of(workspace)
    check(workspace, Fake("old", 8), before)
    if moment == "after upsert 4":
        assert [info.name for info in workspace.store.collections()] == ["photos"]
        workspace.reembed("photos", NEW, into="again")
    check(workspace, Fake("new", 12), before, "again")
    assert hidden(workspace) == []
    workspace.close()


@pytest.mark.slow
def test_killed_at_any_time_at_all(folder):
    """From outside, at times nobody chose, over and over on one folder."""
    chance, models = random.Random(5), set()
    for _ in range(8):
        with child(reembed, folder, "never", "in-place", GAPSCOPE_BATCH_FILES="2") as running:
            assert "opened 1" in running.said
            time.sleep(chance.uniform(0, 0.9))
            running.kill()
        workspace = opened(folder)
        items = items_of(workspace)
        assert len(items) == 48
        models.add(workspace.store.info("photos").made_by.model)
        check(workspace, Fake("new", 12) if "new" in models else Fake("old", 8), items)
        workspace.close()
    assert models
    workspace = opened(folder)
    workspace.reembed("photos", NEW)
    check(workspace, Fake("new", 12), items)
    assert hidden(workspace) == []
    workspace.close()


# --- on a server ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """Return the server of this file, empty."""
    yield running
    running.empty()


@pytest.mark.slow
def test_on_a_server(server, tmp_path):
    workspace = opened(tmp_path / "data", chroma_url=server.url)
    workspace.ingest("photos", sources([generated_photos(tmp_path / "in", PHOTOS)]), choice=OLD)
    before = items_of(workspace)
    cut(workspace, 12)
    workspace.reembed("photos", NEW)
    check(workspace, Fake("new", 12), before)
    workspace.reembed("photos", OLD, into="again")
    check(workspace, Fake("old", 8), before, "again")
    assert hidden(workspace) == []
    server.kill()
    server.start()
    check(workspace, Fake("new", 12), before)
    check(workspace, Fake("old", 8), before, "again")
    workspace.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["after upsert 3", "after swap 1", "after modify 1", "after modify 3"])
def test_killed_on_a_server(server, tmp_path, moment):
    workspace = opened(tmp_path / "data", chroma_url=server.url)
    workspace.ingest("photos", sources([generated_photos(tmp_path / "in", PHOTOS)]), choice=OLD)
    before = items_of(workspace)
    workspace.close()
    die(tmp_path / "data", moment, GAPSCOPE_CHROMA_URL=server.url)
    workspace = opened(tmp_path / "data", chroma_url=server.url)
    if moment == "after upsert 3":
        check(workspace, Fake("old", 8), before)
        workspace.reembed("photos", NEW)
    check(workspace, Fake("new", 12), before)
    assert hidden(workspace) == []
    workspace.close()


@pytest.mark.slow
def test_what_another_process_has_made_of_it_meanwhile_is_left_as_it_is(server, tmp_path, monkeypatch):
    """Its swap was cut off, and until it goes on another data folder has made the collection anew."""
    first = opened(tmp_path / "one", chroma_url=server.url)
    first.ingest("photos", sources([generated_photos(tmp_path / "in", 4)]), choice=OLD)
    fail_once(monkeypatch, first.store, "swap")
    with pytest.raises(StoreUnreachableError):
        first.reembed("photos", NEW)
    first.close()
    other = Fake("other", 5)
    second = opened(tmp_path / "two", other, chroma_url=server.url)
    second.store.delete_collection("photos")
    second.ingest(
        "photos", sources([generated_photos(tmp_path / "in2", 2, seed=2)]), choice=ModelChoice("other")
    )
    first = opened(tmp_path / "one", chroma_url=server.url)
    check(second, other, items_of(second))
    assert len(items_of(second)) == 4 and hidden(second) == []
    first.close()
    second.close()


@pytest.mark.slow
def test_two_data_folders_remake_apart_and_neither_loses_the_others(server, tmp_path):
    first = opened(tmp_path / "one", chroma_url=server.url)
    first.ingest("photos", sources([generated_photos(tmp_path / "in1", 4, seed=1)]), choice=OLD)
    second = opened(tmp_path / "two", chroma_url=server.url)
    second.ingest("photos", sources([generated_photos(tmp_path / "in2", 4, seed=2)]), choice=OLD)
    for workspace in (first, second):
        with pytest.raises(CollectionError, match="8 items of 'photos' are not recorded"):
            workspace.reembed("photos", NEW)
    for workspace, name in ((first, "mine"), (second, "yours")):
        report = workspace.reembed("photos", NEW, into=name)
        assert report.stored == 8 and len(items_of(workspace, name)) == 8
    assert first.store.info("photos").total == 16
    first.close()
    second.close()


def test_the_command(shared_cli_folder, cli):
    data_dir = shared_cli_folder
    done = cli(data_dir, "remake", "--collection", "photos", "--model", "pocket", "--into", "again", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["collection"], document["model"], document["stored"]) == ("again", "pocket", 6)
    assert set(document) == {
        "collection", "model", "stored", "skipped", "failed", "failed_count", "failed_kinds", "left_out",
        "notes", "seconds", "per_second",
    }  # fmt: skip
    done = cli(data_dir, "remake", "--collection", "photos", "--model", "pocket")
    assert done.returncode == 0 and done.stdout.startswith("6 items stored, 0 were there, 0 failed")
    done = cli(data_dir, "remake", "--collection", "photos", "--model", "pocket", "--into", "again")
    assert done.returncode == 1 and done.stderr.startswith("CollectionError: ")
    assert cli(data_dir, "remake", "--collection", "photos").returncode == 2


@pytest.fixture
def shared_cli_folder(settings, cli, tmp_path) -> Path:
    folder = generated_photos(tmp_path / "in", 3)
    assert cli(settings.data_dir, "ingest", folder, "--collection", "photos").returncode == 0
    return settings.data_dir


assert os.name == "posix"  # SIGKILL
