"""Maps come back as they were, follow the collection, and are fitted anew only where that is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import CollectionNotFoundError, FolderError, ProjectionError
from engine.maps.placing import place
from engine.maps.projection import ProjectionSettings
from engine.progress import CancelledError
from engine.storage.columns import read_columns
from engine.types import VectorTable
from tests.helpers.data import MADE_BY, plain_items, unit_table

PCA = ProjectionSettings(method="pca")


class Opened:
    """The maps of a workspace, by the collection's name."""

    def __init__(self, workspace) -> None:
        self.workspace = workspace

    def open(self, name, settings):
        return self.workspace.maps.open(self.workspace.maps.content_of(name), settings)

    def fit(self, name, settings, **hooks):
        return self.workspace.maps.fit(self.workspace.maps.content_of(name), settings, **hooks)

    def put(self, name: str, modality: str, count: int, *, start: int = 0, made_by=MADE_BY) -> None:
        table = unit_table(count, seed=start, start=start)
        items = plain_items(table, modality)
        self.workspace.ledger.set_provenance(name, made_by)
        self.workspace.ledger.put(name, items, table)
        self.workspace.store.upsert(name, made_by, modality, items, table)


@pytest.fixture
def maps(workspace) -> Opened:
    opened = Opened(workspace)
    opened.put("some", "image", 30)
    opened.put("some", "text", 10, start=1000)
    return opened


def test_copies_share_a_place_in_a_kept_map_and_in_what_follows_it(maps):
    table = unit_table(20, seed=3, start=5000)
    heap = VectorTable(table.ids, np.repeat(table.vectors[:1], 20, axis=0))
    items = plain_items(heap, "image")

    def put(rows: slice) -> None:
        some = VectorTable(heap.ids[rows], heap.vectors[rows])
        maps.workspace.ledger.put("some", items[rows], some)
        maps.workspace.store.upsert("some", MADE_BY, "image", items[rows], some)

    put(slice(0, 15))
    settings = ProjectionSettings(n_neighbors=5)
    assert maps.fit("some", settings).projection.notes == ("15 identical vectors share a place.",)
    assert maps.open("some", settings).projection.notes == ("15 identical vectors share a place.",)
    put(slice(15, 20))
    found = maps.open("some", settings)
    assert found.added == 5 and found.projection.notes == ("20 identical vectors share a place.",)
    places = found.projection.take(heap.ids).places
    assert (places == places[0]).all() and len(np.unique(found.projection.places, axis=0)) == 41
    assert maps.open("some", settings).projection.notes == found.projection.notes


def test_a_map_is_kept_and_comes_back_the_same(maps):
    assert maps.open("some", PCA) is None
    made = maps.fit("some", PCA)
    again = maps.open("some", PCA)
    assert again.projection.ids == made.projection.ids and again.fitted_at == made.fitted_at
    assert (again.projection.places == made.projection.places).all()
    assert again.modality == made.modality and set(made.modality.values()) == {"image", "text"}
    assert again.placed == 0 and not again.wants_refit


def test_other_settings_other_vectors_and_other_collections_have_maps_of_their_own(maps):
    maps.fit("some", PCA)
    assert maps.open("some", replace(PCA, dims=3)) is None
    maps.put("other", "image", 20)
    assert maps.open("other", PCA) is None
    maps.workspace.delete_collection("some")
    maps.put("some", "image", 20, made_by=replace(MADE_BY, revision="2"))
    assert maps.open("some", PCA) is None


def test_new_items_are_placed_and_stay_where_they_were_put(maps):
    made = maps.fit("some", PCA)
    maps.put("some", "image", 3, start=5000)
    grown = maps.open("some", PCA)
    assert (len(grown.projection), grown.added, grown.wants_refit) == (43, 3, False)
    assert (grown.projection.take(made.projection.ids).places == made.projection.places).all()
    again = maps.open("some", PCA)
    assert (again.projection.places == grown.projection.places).all() and again.added == again.placed == 3
    maps.put("some", "text", 10, start=7000)
    assert maps.open("some", PCA).wants_refit
    assert maps.fit("some", PCA).placed == 0


def test_deleted_items_are_gone_from_the_map(maps):
    made = maps.fit("some", PCA)
    gone = made.projection.ids[:5]
    maps.workspace.delete_items("some", gone)
    left = maps.open("some", PCA)
    assert set(left.projection.ids) == set(made.projection.ids[5:]) == set(left.modality)


def test_when_all_that_was_fitted_is_gone_the_map_is(maps):
    made = maps.fit("some", PCA)
    maps.put("some", "image", 3, start=5000)
    maps.workspace.delete_items("some", made.projection.ids)
    assert maps.open("some", PCA) is None


def test_a_damaged_map_is_fitted_anew(maps, settings):
    maps.fit("some", PCA)
    [path] = [path for path in (settings.data_dir / "maps").glob("*.npz") if ".columns." not in path.name]
    for damage in (b"", b"nothing", path.read_bytes()[:200]):
        path.write_bytes(damage)
        assert maps.open("some", PCA) is None
    np.savez(path, ids=np.array(["a"]))
    assert maps.open("some", PCA) is None


def test_nothing_there_is_said(maps):
    with pytest.raises(CollectionNotFoundError):
        maps.open("nothing", PCA)
    maps.put("emptied", "image", 2)
    maps.workspace.delete_items("emptied", unit_table(2).ids)
    with pytest.raises(ProjectionError, match="'emptied' is empty"):
        maps.fit("emptied", PCA)


def test_a_cancelled_fit_leaves_the_old_map(maps):
    umap = ProjectionSettings(n_neighbors=5)
    made = maps.fit("some", umap)
    with pytest.raises(CancelledError):
        maps.fit("some", umap, cancelled=lambda: True)
    assert maps.open("some", umap).fitted_at == made.fitted_at


def test_a_collections_maps_can_be_forgotten(maps):
    maps.put("other", "image", 20)
    for name in ("some", "other"):
        maps.fit(name, PCA)
    maps.workspace.maps.forget("some")
    assert maps.open("some", PCA) is None and maps.open("other", PCA)


def test_what_comes_during_a_fit_is_placed_and_what_goes_is_gone(maps):
    """The fit is of what was there when it began; the next look follows the collection."""
    busy = iter([True])

    def meanwhile(share: float) -> None:
        if next(busy, False):
            maps.put("some", "image", 4, start=9000)
            maps.workspace.delete_items("some", unit_table(2).ids)

    fitted = maps.fit("some", PCA, on_progress=meanwhile)
    assert len(fitted.projection) == 40
    now = maps.open("some", PCA)
    assert len(now.projection) == 42 and now.added == 4
    assert now.projection.ids == maps.workspace.maps.content_of("some").columns.ids


def test_columns_are_kept_until_something_changes(maps, settings):
    first = maps.workspace.maps.content_of("some").columns
    [path] = (settings.data_dir / "maps").glob("*.columns.npz")
    written = path.stat().st_mtime_ns
    again = maps.workspace.maps.content_of("some").columns
    assert path.stat().st_mtime_ns == written and again.ids == first.ids
    for name in ("modality", "mime", "labels"):
        assert list(getattr(again, name)) == list(getattr(first, name))
    assert (again.pair == first.pair).all()
    maps.workspace.folder.label_items("some", first.ids[:3], "new")
    labelled = maps.workspace.maps.content_of("some").columns
    assert [labels for labels in labelled.labels if labels] == [("new",)] * 3
    path.write_bytes(b"damaged")
    assert list(maps.workspace.maps.content_of("some").columns.labels) == list(labelled.labels)


def test_columns_outlive_every_write_into_another_collection_and_no_write_into_their_own(maps, monkeypatch):
    from engine.maps import kept as module

    reads: list[str] = []

    def counted(folder, collection):
        reads.append(collection)
        return read_columns(folder, collection)

    monkeypatch.setattr(module, "read_columns", counted)
    maps.put("other", "image", 20)
    workspace, first = maps.workspace, unit_table(1).ids
    writes = {
        "new": lambda name: maps.put(name, "image", 3, start=5000),
        "written anew": lambda name: maps.put(name, "image", 3, start=5000),
        "labelled": lambda name: workspace.folder.label_items(name, first, "new"),
        "deleted": lambda name: workspace.delete_items(name, first),
    }
    workspace.maps.content_of("some")
    for what, write in writes.items():
        reads.clear()
        write("other")
        assert len(workspace.maps.content_of("some").columns) == 40 and reads == [], what
    for what, write in writes.items():
        reads.clear()
        write("some")
        workspace.maps.content_of("some")
        workspace.maps.content_of("some")
        assert reads == ["some"], what


def test_a_deleted_item_that_comes_back_otherwise_is_no_old_one(maps):
    """The newest row of the ledger is written anew under the same number."""
    table = unit_table(1, start=99_999)
    for mime in ("image/png", "image/webp"):
        items = [replace(item, mime=mime) for item in plain_items(table)]
        maps.workspace.ledger.put("some", items, table)
        maps.workspace.store.upsert("some", MADE_BY, "image", items, table)
        columns = maps.workspace.maps.content_of("some").columns
        assert columns.mime[columns.ids.index(table.ids[0])] == mime
        maps.workspace.delete_items("some", table.ids)


def test_an_item_that_comes_back_with_another_vector_is_placed_anew(maps):
    made = maps.fit("some", PCA)
    table = unit_table(30)
    first, workspace = table.ids[0], maps.workspace
    workspace.delete_items("some", [first])
    assert workspace.folder.deletions("some") == 1
    turned = VectorTable((first,), -table.vectors[:1])
    items = plain_items(turned)
    workspace.ledger.put("some", items, turned)
    workspace.store.upsert("some", MADE_BY, "image", items, turned)
    back = maps.open("some", PCA)
    row = back.projection.ids.index(first)
    assert back.projection.added[row] and back.added == 1
    assert (back.projection.places[row] != made.projection.take([first]).places[0]).any()


def test_deleting_works_on_a_full_disk(maps, monkeypatch):
    maps.fit("some", PCA)

    def full(*args):
        raise FolderError(Path("somewhere"), "is full", "Make room.")

    monkeypatch.setattr("engine.maps.kept.write_projection", full)
    monkeypatch.setattr("engine.maps.kept.write_columns", full)
    maps.workspace.delete_items("some", unit_table(3).ids)
    assert len(maps.workspace.maps.content_of("some").columns) == 37
    assert maps.open("some", PCA) is None


def test_a_fit_that_ends_while_a_map_follows_the_collection_is_kept(maps, monkeypatch):
    from engine.maps import kept as module

    maps.fit("some", PCA)
    maps.put("some", "image", 20, start=5000)
    placing, go_on = threading.Event(), threading.Event()

    def slow(*args, **hooks):
        placing.set()
        go_on.wait(60)
        return place(*args, **hooks)

    monkeypatch.setattr(module, "place", slow)
    follower = threading.Thread(target=maps.open, args=("some", PCA))
    follower.start()
    assert placing.wait(60)
    fitter = threading.Thread(target=maps.fit, args=("some", PCA))
    fitter.start()
    go_on.set()
    follower.join(60)
    fitter.join(60)
    assert maps.open("some", PCA).added == 0
