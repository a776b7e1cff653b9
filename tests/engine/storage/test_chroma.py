"""The store keeps ids and vectors together, refuses, pages, filters and cleans up in a real Chroma."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import (
    CollectionModelError,
    CollectionNameError,
    CollectionNotFoundError,
    FolderError,
    StoreFailedError,
    StoreLockedError,
)
from engine.storage import chroma as store_module
from engine.storage.chroma import Store, check_name
from engine.storage.staging import StagingName
from engine.types import Item, Provenance, VectorTable
from tests.helpers.data import MADE_BY, plain_items, unit_table


@pytest.fixture
def store(tmp_path: Path):
    opened = Store.open_embedded(tmp_path)
    yield opened
    opened.close()


def fill(store: Store, count: int, *, name: str = "photos", seed: int = 0, dim: int = 8) -> VectorTable:
    table = unit_table(count, dim, seed=seed)
    made_by = Provenance("tester", "1", dim)
    items = plain_items(table)
    for start in range(0, count, 5000):
        part = slice(start, start + 5000)
        chosen = VectorTable(table.ids[part], table.vectors[part])
        store.upsert(name, made_by, "image", items[part], chosen)
    return table


def test_every_vector_finds_its_own_id(store: Store):
    table = fill(store, 300)
    for id_, vector in zip(table.ids, table.vectors, strict=True):
        [(item, score)] = store.query("photos", "image", vector, 1)
        assert item.id == id_ and score == pytest.approx(1, abs=1e-5)


def test_query_agrees_with_brute_force(store: Store):
    table = fill(store, 400)
    for question in unit_table(20, seed=9).vectors:
        rows = store.query("photos", "image", question, 10)
        cosines = table.vectors @ question
        best = np.argsort(-cosines)[:10]
        assert [item.id for item, _ in rows] == [table.ids[row] for row in best]
        assert np.allclose([score for _, score in rows], cosines[best], atol=1e-5)


def test_opposite_vectors_have_similarity_minus_one(store: Store):
    table = VectorTable(("a" * 64, "b" * 64), np.array([[1] + [0] * 7, [-1] + [0] * 7], np.float32))
    store.upsert("photos", MADE_BY, "image", plain_items(table), table)
    rows = store.query("photos", "image", table.vectors[0], 2)
    assert [score for _, score in rows] == pytest.approx([1, -1], abs=1e-6)


def test_vectors_come_in_the_order_asked_for(store: Store):
    table = fill(store, 50)
    wanted = [table.ids[row] for row in (40, 3, 17, 0)]
    got = store.vectors("photos", "image", wanted)
    assert got.ids == tuple(wanted) and got.vectors.dtype == np.float32
    assert np.allclose(got.vectors, table.take(wanted).vectors, atol=1e-6)


def test_unknown_and_repeated_ids_are_left_out_of_vectors(store: Store):
    table = fill(store, 5)
    got = store.vectors("photos", "image", [table.ids[2], "f" * 64, table.ids[2], table.ids[1]])
    assert got.ids == (table.ids[2], table.ids[1])
    assert len(store.vectors("photos", "image", [])) == 0
    assert len(store.vectors("photos", "audio")) == 0


def test_items_come_back_as_they_were_stored(store: Store):
    table = unit_table(2)
    full = Item(
        table.ids[0],
        "image",
        'a "quoted" 名前.jpg',
        "image/jpeg",
        "p" * 64,
        caption="two\nlines 😀",
        labels=("one", "two"),
        media="m" * 64,
        size_bytes=12,
        width_px=3,
        height_px=4,
        start_seconds=0.0,
        added_at=5,
    )
    bare = Item(table.ids[1], "image", "b.jpg", "image/jpeg", table.ids[1])
    store.upsert("photos", MADE_BY, "image", [full, bare], table)
    assert list(store.all_items("photos", "image")) == [full, bare]


def test_upsert_replaces_the_vector_and_the_item(store: Store):
    fill(store, 10)
    new = unit_table(1, seed=5)
    item = Item(new.ids[0], "image", "new.jpg", "image/jpeg", new.ids[0], caption="new")
    store.upsert("photos", MADE_BY, "image", [item], new)
    assert store.info("photos").counts == {"image": 10}
    [(found, score)] = store.query("photos", "image", new.vectors[0], 1)
    assert found == item and score > 0.9999


def test_items_and_vectors_that_do_not_belong_together_are_refused(store: Store):
    table = unit_table(3)
    with pytest.raises(ValueError, match="same ids"):
        store.upsert("photos", MADE_BY, "image", plain_items(table)[::-1], table)
    with pytest.raises(ValueError, match="not of tester"):
        store.upsert("photos", MADE_BY, "image", plain_items(unit_table(3, 4)), unit_table(3, 4))
    assert store.collections() == []


def test_delete_items_everywhere(store: Store):
    table = fill(store, 600)
    store.upsert("photos", MADE_BY, "text", plain_items(table, "text")[:1], table.take(table.ids[:1]))
    store.delete_items("photos", [*table.ids[:400], "f" * 64])
    assert store.info("photos").counts == {"text": 0, "image": 200}
    assert store.existing("photos", "image", table.ids) == set(table.ids[400:])
    assert store.query("photos", "image", table.vectors[0], 1)[0][0].id in table.ids[400:]


def test_counts_are_right_after_every_write(store: Store):
    for count in (1, 2, 3):
        fill(store, count)
        assert store.info("photos").total == count
    store.delete_items("photos", [f"{0:064x}"])
    assert store.info("photos").total == 2
    store.delete_part("photos", "image")
    assert store.collections() == []


def test_collections_are_cosine_with_the_recorded_index_settings(store: Store):
    fill(store, 3)
    part = store._part("photos", "image")
    hnsw = part.configuration["hnsw"]
    assert hnsw["space"] == "cosine"
    assert (hnsw["max_neighbors"], hnsw["ef_construction"], hnsw["ef_search"]) == (32, 200, 200)
    metadata = part.metadata
    assert metadata["hnsw"] == "space=cosine max_neighbors=32 ef_construction=200 ef_search=200"
    assert (metadata["model"], metadata["revision"], metadata["dim"]) == ("tester", "1", 8)
    assert metadata["distance"] == "cosine" and "chromadb=" in metadata["versions"]
    assert metadata["created_at"] > 1_600_000_000


@pytest.mark.parametrize(
    "other", [Provenance("other", "1", 8), Provenance("tester", "2", 8), Provenance("tester", "1", 9)]
)
@pytest.mark.parametrize("modality", ["image", "text"])
def test_vectors_of_another_model_are_refused_by_name(store: Store, other: Provenance, modality: str):
    fill(store, 3)
    table = unit_table(1, other.dim, start=100)
    with pytest.raises(CollectionModelError) as caught:
        store.upsert("photos", other, modality, plain_items(table, modality), table)
    assert str(other) in str(caught.value) and str(MADE_BY) in str(caught.value)
    assert store.info("photos").counts == {"image": 3}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "my photos",
        "a..b",
        "..",
        "../etc",
        "-abc",
        "abc-",
        "bücher",
        "相片集",
        "a" * 300,
        "abc\n",
        "a/b/c",
    ],
)
def test_bad_names_are_refused_with_one_that_would_do(store: Store, name: str):
    with pytest.raises(CollectionNameError) as caught:
        store.upsert(name, MADE_BY, "image", plain_items(unit_table(1)), unit_table(1))
    assert check_name(caught.value.suggestion) == caught.value.suggestion
    assert caught.value.suggestion in str(caught.value) and len(str(caught.value)) < 300


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9._ -]{0,70}", fullmatch=True))
def test_a_name_is_taken_or_gets_a_suggestion_that_is(name: str):
    try:
        assert check_name(name) == name
    except CollectionNameError as error:
        assert check_name(error.suggestion) == error.suggestion


@pytest.mark.parametrize("name", ["abc", "a" * 60, "A.b_c-9", "1.1.1.1", "abc.text"])
def test_allowed_names_work(store: Store, name: str):
    fill(store, 2, name=name)
    assert store.info(name).name == name


def test_a_missing_collection_names_those_there_are(store: Store):
    with pytest.raises(CollectionNotFoundError, match="Collections here: none"):
        store.info("nothing")
    fill(store, 1, name="apples")
    fill(store, 1, name="pears")
    for call in (store.info, store.delete_collection):
        with pytest.raises(CollectionNotFoundError, match=r"Collections here: apples, pears\."):
            call("nothing")


def test_paging_across_many_pages(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "_PAGE", 37)
    table = fill(store, 300)
    assert [item.id for item in store.all_items("photos", "image")] == list(table.ids)
    got = store.vectors("photos", "image")
    assert got.ids == table.ids and np.allclose(got.vectors, table.vectors, atol=1e-6)
    assert store.vectors("photos", "image", table.ids[::-1]).ids == table.ids[::-1]
    page = store.items("photos", "image", limit=1000, offset=290)
    assert [item.id for item in page] == list(table.ids[290:])


def test_more_ids_than_sqlite_takes_variables(store: Store):
    """Chroma answers 'too many SQL variables' above 32,766 ids unless they are asked for in pages."""
    stored, asked = fill(store, 300, dim=4), unit_table(33_000, 4).ids
    assert store.existing("photos", "image", asked) == set(stored.ids)
    found = store.vectors("photos", "image", asked)
    assert found.ids == stored.ids and np.allclose(found.vectors, stored.vectors, atol=1e-6)


def test_no_more_than_a_page_of_rows_is_read_at_once(store: Store, monkeypatch):
    """Chroma fails on more than 32,766 rows at once, as on so many ids."""
    from chromadb.api.models.Collection import Collection

    table, get, sizes = fill(store, 300, dim=4), Collection.get, []

    def counted(self, *args, **options):
        found = get(self, *args, **options)
        sizes.append(len(found["ids"]))
        return found

    monkeypatch.setattr(store_module, "_PAGE", 64)
    monkeypatch.setattr(Collection, "get", counted)
    pages = [64, 64, 64, 64, 44]
    assert {item.id for item in store.all_items("photos", "image")} == set(table.ids)
    assert sizes == [*pages, 0]
    for ids in (None, table.ids):
        sizes.clear()
        found = store.vectors("photos", "image", ids)
        assert sizes == pages and set(found.ids) == set(table.ids)
        assert np.allclose(found.take(table.ids).vectors, table.vectors, atol=1e-6)


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_k_may_exceed_what_is_there(store: Store, k: int):
    vector = unit_table(1).vectors[0]
    assert store.query("photos", "image", vector, k) == []
    fill(store, 1)
    assert len(store.query("photos", "image", vector, k)) == 1
    store.delete_items("photos", [f"{0:064x}"])
    assert store.query("photos", "image", vector, k) == []


def test_k_of_a_thousand_gives_a_thousand(store: Store):
    table = fill(store, 2500)
    rows = store.query("photos", "image", table.vectors[7], 1000)
    assert len({item.id for item, _ in rows}) == 1000


def test_deleted_collections_leave_no_vectors_behind(tmp_path: Path):
    store = Store.open_embedded(tmp_path)
    kept = fill(store, 1200, name="kept")
    fill(store, 1200, name="gone", seed=1)
    store.delete_collection("gone")
    store.close()
    store = Store.open_embedded(tmp_path)
    segments = [path for path in (tmp_path / "chroma").iterdir() if path.is_dir()]
    assert len(segments) == 1
    assert [info.name for info in store.collections()] == ["kept"]
    assert store.query("kept", "image", kept.vectors[3], 1)[0][0].id == kept.ids[3]
    store.close()


def test_the_same_folder_cannot_be_opened_twice(tmp_path: Path):
    first = Store.open_embedded(tmp_path)
    with pytest.raises(StoreLockedError, match="chroma run"):
        Store.open_embedded(tmp_path)
    first.close()
    Store.open_embedded(tmp_path).close()


def test_a_failed_opening_releases_the_lock(tmp_path: Path):
    (tmp_path / "chroma").symlink_to("/proc/nowhere/chroma")
    kept = []  # an error that somebody keeps must not keep the lock
    for _ in range(2):
        with pytest.raises((FolderError, StoreFailedError)) as caught:
            Store.open_embedded(tmp_path)
        kept.append(caught.value)
    (tmp_path / "chroma").unlink()
    Store.open_embedded(tmp_path).close()


def _garbage_database(chroma: Path) -> None:
    (chroma / "chroma.sqlite3").write_bytes(b"garbage" * 1000)


def _half_database(chroma: Path) -> None:
    data = (chroma / "chroma.sqlite3").read_bytes()
    (chroma / "chroma.sqlite3").write_bytes(data[: len(data) // 2])


def _no_vectors(chroma: Path) -> None:
    for path in chroma.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def _half_vectors(chroma: Path) -> None:
    [path] = chroma.rglob("data_level0.bin")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garbage_header(chroma: Path) -> None:
    [path] = chroma.rglob("header.bin")
    path.write_bytes(b"\xff" * 100)


@pytest.mark.parametrize(
    "damage", [_garbage_database, _half_database, _no_vectors, _half_vectors, _garbage_header]
)
def test_a_damaged_index_is_put_aside(tmp_path: Path, damage):
    store = Store.open_embedded(tmp_path)
    fill(store, 1200)
    store.close()
    damage(tmp_path / "chroma")
    store = Store.open_embedded(tmp_path)
    assert store.collections() == []
    table = fill(store, 3)
    assert store.query("photos", "image", table.vectors[1], 1)[0][0].id == table.ids[1]
    store.close()
    assert len(list(tmp_path.glob("chroma.damaged-*"))) == 1


def test_an_index_that_crashed_the_last_opening_is_put_aside(tmp_path: Path):
    store = Store.open_embedded(tmp_path)
    fill(store, 3)
    store.close()
    (tmp_path / "store.opening").touch()
    store = Store.open_embedded(tmp_path)
    assert store.collections() == [] and not (tmp_path / "store.opening").exists()
    store.close()
    assert len(list(tmp_path.glob("chroma.damaged-*"))) == 1


def staged(store: Store, count: int = 4, *, target: str = "photos", seed: int = 7) -> StagingName:
    """Stage pictures of another model, 6 numbers wide, for a target."""
    name, table = StagingName.new(target), unit_table(count, 6, seed=seed, start=1000)
    store.upsert(name, NEWER, "image", plain_items(table), table)
    return name


def names(store: Store) -> list[str]:
    return sorted(one.name for one in store._client.list_collections())


NEWER = Provenance("newer", "1", 6)


def test_what_is_staged_is_hidden_and_nobody_can_name_it(store: Store):
    name = staged(store)
    assert store.collections() == [] and store.staged() == {name}
    assert store.info(name).total == 4  # its owner can
    typed = "".join(name)
    assert typed == name and type(typed) is str
    for call in (store.info, store.made_by, store.delete_collection, store._parts):
        with pytest.raises(CollectionNameError):
            call(typed)
    store.drop(name)
    store.drop(name)
    assert names(store) == [] and store.staged() == set()


@pytest.mark.parametrize("times", [1, 3])
def test_a_swap_replaces_every_part_also_when_run_again(store: Store, times: int):
    old = fill(store, 10)
    store.upsert("photos", MADE_BY, "text", plain_items(old, "text"), old)
    assert store.info("photos").total == 20  # counted, and to be counted again
    name = staged(store)
    table = store.vectors(name, "image")
    for _ in range(times):
        store.swap(name, "photos", MADE_BY)
    info = store.info("photos")
    assert (info.made_by, info.counts) == (NEWER, {"image": 4})
    assert [one.name for one in store.collections()] == ["photos"] and store.staged() == set()
    assert names(store) == ["gapscope.photos.image"]
    for id_, vector in zip(table.ids, table.vectors, strict=True):
        assert store.query("photos", "image", vector, 1)[0][0].id == id_
    metadata = store._part("photos", "image").metadata
    assert (metadata["gapscope"], metadata["collection"], metadata["model"]) == (1, "photos", "newer")
    more = unit_table(2, 6, seed=2, start=5000)
    store.upsert("photos", NEWER, "text", plain_items(more, "text"), more)
    assert store.info("photos").counts == {"text": 2, "image": 4}


def test_a_swap_under_a_new_name(store: Store):
    fill(store, 3)
    store.swap(staged(store, target="again"), "again", None)
    assert [(one.name, one.total) for one in store.collections()] == [("again", 4), ("photos", 3)]


@pytest.mark.parametrize("replaces", [None, Provenance("tester", "0", 8)])
def test_a_swap_leaves_what_somebody_else_has_made_meanwhile(store: Store, replaces):
    fill(store, 3)
    store.swap(staged(store), "photos", replaces)
    assert store.info("photos").made_by == MADE_BY and store.info("photos").total == 3
    assert names(store) == ["gapscope.photos.image"]


def test_a_swap_survives_reopening(tmp_path: Path):
    first = Store.open_embedded(tmp_path)
    fill(first, 1500)
    name = staged(first, 1500)
    first.swap(name, "photos", MADE_BY)
    first.close()
    second = Store.open_embedded(tmp_path)
    table = second.vectors("photos", "image")
    assert len(table) == 1500 and table.vectors.shape[1] == 6
    assert second.unfound("photos", "image", table) == []
    assert len([path for path in (tmp_path / "chroma").iterdir() if path.is_dir()]) == 1
    second.close()


def test_ids_come_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "_PAGE", 37)
    table = fill(store, 100)
    pages = list(store.id_pages("photos", "image"))
    assert [len(page) for page in pages] == [37, 37, 26]
    assert {id_ for page in pages for id_ in page} == set(table.ids)
    assert list(store.id_pages("photos", "text")) == list(store.id_pages("nothing", "text")) == []
