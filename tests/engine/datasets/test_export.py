"""A collection goes out as a data set that the datasets library opens, and comes back the same."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from engine.datasets.columns import Choices, recognised
from engine.datasets.export_rows import DatasetRow, column_names, path_of
from engine.errors import CollectionError, CollectionNotFoundError, ExportError
from engine.media.sources import Source, SourceList
from engine.storage.captions import read_captions
from engine.types import Item, Provenance, VectorTable
from engine.workspace import Workspace
from tests.helpers.data import jpeg, unit_table

CAPTIONS = ("a cat, seen from above", "zwei Katzen", "“an animal”")
LONG = b"words of their own, " * 120 + b"end\n"


@pytest.fixture
def given(workspace: Workspace) -> Workspace:
    """Return a workspace with four pictures of three captions each in 'one', and two texts."""
    pictures = [
        Source(
            f"train/cat/{number} test.jpg",
            lambda number=number: jpeg(number),
            tuple(f"{caption} {number}" for caption in CAPTIONS),
            ("cat", f"Nr. {number}"),
            (("description", f"no caption {number}"), ("rating", number + 0.5), ("split", "train")),
        )
        for number in range(4)
    ]
    texts = [
        Source(
            "a test.txt", lambda: b"words of their own, " * 120 + b"end\n", (), ("note",), (("rating", 7.0),)
        ),
        Source("plain.txt", lambda: b"\xef\xbb\xbfno label\r\nand two lines"),
    ]
    report = workspace.ingest("one", SourceList((*pictures, *texts)))
    assert (report.stored, report.failed) == (18, ())
    return workspace


def facts(workspace: Workspace, collection: str) -> dict[str, tuple]:
    found = {}
    for modality in ("text", "image"):
        for items, _ in workspace.ledger.pages(collection, modality):
            for one in items:
                said = (one.name, one.mime, one.pair, one.caption, one.labels, one.media, one.metadata)
                found[one.id] = (modality, one.place, *said)
    return found


@pytest.fixture
def load_dataset(monkeypatch, tmp_path):
    """Return the datasets library's own function, offline and with a cache that is thrown away."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    return lambda *what, **where: load_dataset(*what, cache_dir=str(tmp_path / "cache"), **where)


@pytest.mark.slow  # importing the library takes seconds
@pytest.mark.parametrize("form", ["folder", "one.parquet"])
def test_the_datasets_library_opens_it_unchanged(given, load_dataset, tmp_path, form):
    given.export_media("one", tmp_path / form)
    if form == "folder":
        found = load_dataset("imagefolder", data_dir=str(tmp_path / form))
    else:
        found = load_dataset("parquet", data_files=str(tmp_path / form))
    assert list(found) == ["train"]  # names with "test" in them make no split of their own
    rows = [row for row in found["train"] if row["image"] is not None]
    assert len(rows) == 4
    for number, row in enumerate(rows):
        assert row["image"].size == (96, 96) and row["image"].mode == "RGB"
        assert row["captions"] == [f"{caption} {number}" for caption in CAPTIONS]
        assert row["labels"] == ["cat", f"Nr. {number}"]
        assert (row["rating"], row["split"]) == (number + 0.5, "train")
        assert row["gapscope_name"] == f"train/cat/{number} test.jpg"
    texts = [row for row in found["train"] if row["image"] is None]
    assert [row["labels"] for row in texts] == ([] if form == "folder" else [["note"], []])


def test_captions_keep_their_order_when_one_of_them_is_written_anew(given):
    [pair] = [id_ for id_, said in facts(given, "one").items() if said[2] == "train/cat/2 test.jpg"][:1]
    texts = read_captions(given.folder, "one")[facts(given, "one")[pair][4]]
    assert [one.text for one in texts] == [f"{caption} 2" for caption in CAPTIONS]
    ids = [id_ for id_, said in facts(given, "one").items() if said[5] == f"{CAPTIONS[0]} 2"]
    given.folder.label_items("one", ids, "liked")
    again = read_captions(given.folder, "one")[facts(given, "one")[pair][4]]
    assert [one.text for one in again] == [one.text for one in texts]


def test_a_caption_with_labels_of_its_own_is_told_of(given, tmp_path):
    ids = [id_ for id_, said in facts(given, "one").items() if said[5] == f"{CAPTIONS[1]} 2"]
    given.folder.label_items("one", ids, "liked")
    done = given.export_media("one", tmp_path / "out")
    assert done.notes == ("1 caption has labels or columns of their own; written are those of the picture.",)
    assert "labels or columns of their own" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_what_is_gone_is_named_and_its_captions_stay(given, tmp_path):
    [gone] = [item for item in given.store.all_items("one", "image") if item.name.endswith("3 test.jpg")]
    given.library.media_path(gone.media, gone.mime).unlink()
    done = given.export_media("one", tmp_path / "out.zip")
    assert (done.files, done.captions, done.texts) == (3, 9, 5)
    [left] = done.left_out
    assert (left.reason, left.count, left.examples) == ("The file is gone", 1, (gone.name,))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert f"Left out: 1. The file is gone: {gone.name}" in archive.read("README.md").decode()
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    assert len(rows) == 3 and all(row["captions"] for row in rows)


def test_vectors_without_files_are_left_out_in_words(workspace, tmp_path):
    table, made_by = unit_table(2), Provenance.of_import("theirs", 8)
    workspace.ledger.set_provenance("theirs", made_by)
    items = [Item(id_, "image", f"{id_[-1]}.jpg", "image/jpeg", id_) for id_ in table.ids]
    workspace.ledger.put("theirs", items, VectorTable(table.ids, table.vectors))
    workspace.store.upsert("theirs", made_by, "image", items, table)
    done = workspace.export_media("theirs", tmp_path / "out")
    assert done.files == 0
    [left] = done.left_out
    assert left.count == 2 and left.reason == "Only the vector was imported, without the file"


def test_a_place_that_cannot_be_is_refused_in_words(given, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    (tmp_path / "file").touch()
    for name, says in [
        ("full", "holds something. Choose a new name"),
        ("file", "is a file"),
        ("no/such/out.zip", "cannot be written: No such file"),
        ("no/such/out.parquet", "cannot be written"),
    ]:
        with pytest.raises(ExportError, match=says):
            given.export_media("one", tmp_path / name)
    with pytest.raises(CollectionNotFoundError):
        given.export_media("nothing", tmp_path / "out")
    given.ledger.forget("one")
    with pytest.raises(CollectionError, match="nothing to export"):
        given.export_media("one", tmp_path / "out")


@pytest.mark.parametrize("name", ["out", "out.zip", "out.parquet"])
def test_a_cancelled_export_leaves_nothing(given, tmp_path, name):
    (tmp_path / "there").mkdir()
    done: list[int] = []

    def cancelled() -> bool:
        done.append(1)
        return len(done) > 2

    assert given.export_media("one", tmp_path / "there" / name, cancelled=cancelled) is None
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("holiday/IMG_2041.JPG", "000007-IMG-2041"),
        ("train/cat/photo-test-1.jpg", "000007"),
        ("2val9.png", "000007"),
        ("../../etc/passwd", "000007-passwd"),
        ("猫.png", "000007"),
        ("latest.png", "000007-latest"),
        ("x" * 300 + ".png", "000007-" + "x" * 40),
    ],
)
def test_a_file_is_called_so_that_no_split_is_seen_in_it(name, stem):
    row = DatasetRow(name, (), (), (), "0" * 64, "image/png")
    assert path_of(7, row) == f"{stem}.png"


def test_a_column_that_would_be_taken_for_something_else_gets_a_prefix():
    names = column_names(["rating", "description", "tags", "caption_2", "file_name", "text", "split"])
    assert names["rating"] == "rating" and names["split"] == "split"
    given = list(names.values())
    assert given[1:6] == [f"meta.{one}" for one in ("description", "tags", "caption_2", "file_name", "text")]
    uses = recognised(given, Choices())
    assert (uses.captions, uses.labels) == ((), ())


@pytest.mark.parametrize("form", ["out", "out.zip", "out.parquet"])
def test_it_comes_back_the_same(given, tmp_path: Path, form):
    from engine.datasets.find import find_sources

    done = given.export_media("one", tmp_path / form)
    assert (done.files, done.captions, done.texts, done.left_out, done.notes) == (4, 12, 2, (), ())
    found = find_sources([tmp_path / form], max_file_bytes=10_000_000)
    report = given.ingest("two", found)
    assert (report.stored, report.failed) == (18, ())
    assert facts(given, "two") == facts(given, "one")


def test_the_command_line_writes_it(given, settings, cli, tmp_path):
    given.close()
    done = cli(settings.data_dir, "export", "--collection", "one", "--out", tmp_path / "out", "--media")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 files with 12 captions and 2 texts written to {tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "metadata.jsonl").exists()
    as_json = cli(
        *(settings.data_dir, "export", "--collection", "one", "--out", tmp_path / "out.zip"),
        *("--media", "--json"),
    )
    told = json.loads(as_json.stdout)
    assert (told["files"], told["captions"], told["texts"], told["left_out"]) == (4, 12, 2, [])
    refused = cli(settings.data_dir, "export", "--collection", "one", "--out", tmp_path / "x")
    assert refused.returncode == 2 and "add --media" in " ".join(refused.stderr.split())
    refused = cli(settings.data_dir, "export", "--collection", "one", "--out", tmp_path / "x.npz", "--media")
    assert refused.returncode == 2 and "holds vectors" in refused.stderr
