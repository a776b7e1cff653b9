"""What a selection holds, by hand-computed vectors; labels in ledger and store; the exports read back."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import numpy as np
import pytest

from engine.errors import QueryError
from engine.maps import selection, selection_export
from engine.storage.columns import (
    Category,
    Columns,
    last_change,
    read_items,
    read_vectors,
    texts_of,
)
from engine.storage.data_folder import check_label
from engine.types import Filters, Projection, VectorTable
from tests.helpers.data import MADE_BY, plain_items, real_photos, sources, unit_table

TABLES = ("metadata.jsonl", "texts.jsonl")


def turned(*degrees: float, names: str = "abcdefgh") -> VectorTable:
    angles = np.radians(degrees)
    return VectorTable(
        tuple(names[: len(degrees)]), np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    )


def test_typical_is_nearest_to_the_centroid_and_odd_is_farthest():
    table = turned(0, 10, 20, 90, 95, 30)
    [part] = selection.parts(table, dict.fromkeys(table.ids, "image"), ["a", "b", "c", "d"], k=2)
    assert part.n == 4
    assert part.typical[0] == "c"  # the centroid lies at about 27 degrees
    assert part.odd[0] == "d"
    assert [id_ for id_, _ in part.outside] == ["f", "e"]
    centroid = table.vectors[:4].mean(0)
    assert part.typical[1] == pytest.approx(float(table.vectors[2] @ centroid / np.linalg.norm(centroid)))


def test_every_modality_has_a_centroid_of_its_own():
    table = turned(0, 10, 180, 190, 5, 185)
    modality = dict(zip("abcdef", ["image", "image", "text", "text", "image", "text"], strict=True))
    text, image = selection.parts(table, modality, "abcd")
    assert (text.modality, image.modality) == ("text", "image")
    assert text.outside[0][0] == "f" and image.outside[0][0] == "e"
    assert text.outside[0][1] == pytest.approx(1.0) and len(text.outside) == 1


@pytest.mark.parametrize("chosen", [[], ["nobody"], ["a"], ["a", "b"], list("abcde")])
def test_a_selection_of_nothing_one_the_same_and_everything(chosen):
    table = turned(40, 40, 40, 220, 100)
    found = selection.parts(table, dict.fromkeys(table.ids, "image"), chosen)
    assert len(found) == bool(set(chosen) & set(table.ids))
    for part in found:
        assert (part.typical is None) == (part.odd is None) == (len(chosen) < 5)
        assert len(part.outside) == 5 - len(chosen)


def test_opposite_vectors_have_no_centroid_and_still_an_answer():
    table = turned(0, 180, 90)
    [part] = selection.parts(table, dict.fromkeys(table.ids, "image"), "ab")
    assert part.typical is None or part.typical[0] in "ab"
    assert [id_ for id_, _ in part.outside] == ["c"]


def test_counts_are_by_modality_and_label_commonest_first():
    modality = Category.of(["image", "text", "image", "image"])
    labels = Category.of([("x", "y"), ("y",), (), ("z",)])
    columns = Columns(tuple("abcd"), modality, Category.of([""] * 4), np.arange(4), labels)
    of_each, tags = selection.counts(columns, np.array([0, 1, 2]))
    assert of_each == {"text": 1, "image": 2}
    assert tags == [("y", 2), ("x", 1)]
    assert selection.counts(columns, np.zeros(0, np.int32)) == ({}, [])


@pytest.fixture
def photos(workspace, tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    workspace.ingest("photos", sources([real_photos(folder, 6)]))
    return workspace


def ids_of(workspace, modality="image"):
    return [id_ for page in workspace.store.id_pages("photos", modality) for id_ in page]


def test_a_label_is_found_by_search_kept_by_the_ledger_and_taken_off(photos):
    some, before = ids_of(photos)[:2], last_change(photos.folder, "photos")
    shares = []
    assert photos.folder.label_items("photos", some, "  my\tfind ", on_progress=shares.append) == 2
    assert shares[-1] == 1
    assert labelled(photos) == set(some)
    recorded, table = photos.ledger.get("photos", "image", some)
    assert all("my find" in item.labels for item in recorded)
    assert np.allclose(table.take(some).vectors, photos.store.vectors("photos", "image", some).vectors)
    assert last_change(photos.folder, "photos") != before
    assert photos.folder.label_items("photos", some, "my find") == 0  # they have it already
    assert photos.folder.label_items("photos", some[:1], "my find", remove=True) == 1
    assert labelled(photos) == {some[1]}


def labelled(workspace) -> set[str]:
    kept, rows = workspace.folder.matching.rows("photos", Filters(labels=("my find",)))
    return set(kept.parts["image"].ids_of(rows["image"]))


def test_labels_go_to_all_modalities_and_unknown_ids_are_left_out(photos):
    everything = [*ids_of(photos), *ids_of(photos, "text"), "0" * 64]
    assert photos.folder.label_items("photos", everything, "all") == 12
    assert photos.folder.label_items("photos", [], "all") == 0


@pytest.mark.parametrize("label", ["", "  ", "\u202e", "x" * 101, "\x00"])
def test_a_label_that_is_none_is_refused_in_words(label):
    with pytest.raises(QueryError, match="A label has 1 to 100 characters"):
        check_label(label)


def test_columns_and_vectors_come_in_the_order_asked_for(photos):
    ids = [*ids_of(photos)[::-1], *ids_of(photos, "text")]
    modality = {id_: "image" if n < 6 else "text" for n, id_ in enumerate(ids)}
    items = {item.id: item for one in ("image", "text") for item in photos.store.all_items("photos", one)}
    columns = photos.maps.columns_of("photos").take(ids)
    assert columns.ids == tuple(ids) and columns.present == ["text", "image"]
    assert list(columns.modality) == list(modality.values())
    assert list(columns.labels) == [items[id_].labels for id_ in ids]
    assert list(columns.mime) == [items[id_].mime for id_ in ids]
    assert Category.of(columns.pair).codes.tolist() == Category.of(items[i].pair for i in ids).codes.tolist()
    table = read_vectors(photos.folder, "photos", ids)
    assert table.ids == tuple(ids)
    assert np.allclose(table.vectors[:6], photos.store.vectors("photos", "image", ids[:6]).vectors)
    assert [item.id for item in read_items(photos.folder, "photos", modality, [ids[3], "gone", ids[0]])] == [
        ids[3],
        ids[0],
    ]
    assert dict(texts_of(photos.folder, "photos"))[ids[0]].startswith(items[ids[0]].caption)


def test_what_only_the_store_holds_is_read_from_the_store(workspace):
    table = unit_table(3)
    workspace.store.upsert("theirs", MADE_BY, "image", plain_items(table, labels=("x",)), table)
    columns = workspace.maps.columns_of("theirs")
    assert list(columns.labels) == [("x",)] * 3 and list(columns.mime) == ["image/jpeg"] * 3
    assert np.allclose(read_vectors(workspace.folder, "theirs", table.ids).vectors, table.vectors)
    assert read_items(workspace.folder, "theirs", dict.fromkeys(table.ids, "image"), table.ids) == []


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        Columns(("a",), Category.of(["image"]), Category.of([]), np.zeros(1), Category.of([()]))


def on_map(ids) -> Projection:
    places = np.arange(2 * len(ids), dtype=np.float32).reshape(-1, 2)
    return Projection(tuple(ids), places, np.zeros(len(ids), bool), "pca")


def test_a_parquet_holds_vectors_and_places_and_imports_again(photos, tmp_path):
    from pyarrow import parquet

    ids = [*ids_of(photos), *ids_of(photos, "text")]
    modality = {id_: "image" if n < 6 else "text" for n, id_ in enumerate(ids)}
    items = read_items(photos.folder, "photos", modality, ids[4:8])
    data = selection_export.to_parquet(items, read_vectors(photos.folder, "photos", ids), on_map(ids))
    table = parquet.read_table(io.BytesIO(data)).to_pydict()
    assert table["id"] == ids[4:8] and table["x"] == [8.0, 10.0, 12.0, 14.0] and table["y"][0] == 9.0
    assert np.allclose(table["vector"], read_vectors(photos.folder, "photos", ids[4:8]).vectors)
    (tmp_path / "some.parquet").write_bytes(data)
    report = photos.import_vectors("again", tmp_path / "some.parquet")
    assert report.stored == 4 and not report.failed
    assert sorted(photos.ledger.ids("again", "image")) == sorted(ids[4:6])


def test_a_csv_has_a_line_per_item_and_no_formula(photos):
    from dataclasses import replace

    [item] = read_items(photos.folder, "photos", {ids_of(photos)[0]: "image"}, ids_of(photos)[:1])
    data = selection_export.to_csv([replace(item, caption="=1+1")], on_map([item.id]))
    [row] = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    assert row["id"] == item.id and row["caption"] == "'=1+1" and (row["x"], row["y"]) == ("0.0", "1.0")


def test_a_zip_is_a_data_set_and_names_what_is_gone(photos):
    ids = [*ids_of(photos)[:2], *ids_of(photos, "text")]
    modality = {id_: "image" if n < 2 else "text" for n, id_ in enumerate(ids)}
    first, gone, *texts = read_items(photos.folder, "photos", modality, ids)
    own, other = (next(one for one in texts if (one.pair == first.pair) is same) for same in (True, False))
    photos.library.media_path(gone.media, gone.mime).unlink()
    data = selection_export.to_zip([first, gone, own, other], "photos", photos.folder)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        [row], [text] = ([json.loads(line) for line in archive.read(name).splitlines()] for name in TABLES)
        assert (
            archive.read(row["file_name"]) == photos.library.media_path(first.media, first.mime).read_bytes()
        )
        assert row["captions"] == [own.caption] and row["labels"] == list(first.labels)
        assert archive.read(text["file_name"]).decode() == other.caption
        assert text["labels"] == list(other.labels)
        assert f"Left out: 1. The file is gone: {gone.name}" in archive.read("README.md").decode()


def test_a_zip_of_pictures_alone_has_their_captions_and_says_what_is_too_much(photos, monkeypatch):
    some = dict.fromkeys(ids_of(photos)[:2], "image")
    items = read_items(photos.folder, "photos", some, some)
    monkeypatch.setattr(selection_export, "ZIP_BYTES", items[0].size_bytes)
    with zipfile.ZipFile(io.BytesIO(selection_export.to_zip(items, "photos", photos.folder))) as archive:
        [row] = map(json.loads, archive.read(TABLES[0]).splitlines())
        assert row["captions"] == [items[0].caption] and items[0].caption
        assert items[1].name in archive.read("README.md").decode()
