"""Parquet of data sets: pictures inside and beside, captions, classes, splits; read a stretch at a time."""

from __future__ import annotations

import gc
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from engine.datasets import parquet_bytes, parquet_tables
from engine.datasets.columns import Choices
from engine.datasets.find import find_sources
from engine.datasets.listing import list_folder
from engine.datasets.plan import understand
from engine.errors import TooLargeError, UnreadableMediaError

LIMIT = 1_000_000
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PICTURE = {"image": {"_type": "Image"}}


def png(number: int, side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, number // 256, 9)).save(out, "PNG")
    return out.getvalue()


def pictures(count: int, start: int = 0) -> pa.Array:
    return pa.array([{"bytes": png(n), "path": f"{n}.png"} for n in range(start, start + count)], STRUCT)


def written(path: Path, features: dict[str, Any] | None = None, *, rows: int = 3, **columns: Any) -> Path:
    """Write a Parquet file, with features as the datasets library keeps them."""
    table = pa.table(columns)
    if features is not None:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=rows)
    return path


def plan_of(folder: Path, choices: Choices | None = None):
    return understand(list_folder(folder), choices, max_file_bytes=LIMIT)


def test_shards_of_the_datasets_library(tmp_path):
    """Twenty rows in two shards: pictures, captions in order, names of classes, columns, splits."""
    features = {
        **PICTURE,
        "label": {"_type": "ClassLabel", "names": ["cat", "dog"]},
        "caption": {"_type": "List", "feature": {"_type": "Value", "dtype": "string"}},
    }
    for shard, split in ((0, "train"), (1, "test")):
        written(
            tmp_path / "data" / f"{split}-00000-of-00001.parquet",
            features,
            image=pictures(10, 10 * shard),
            label=[None if n == 3 else -1 if n == 4 else n % 2 for n in range(10)],
            caption=[[f"first {n}", f"second {n}"] for n in range(10)],
            rating=[n + 0.5 for n in range(10)],
            taken=pa.array([0] * 10, pa.timestamp("s")),
        )
    plan = plan_of(tmp_path)
    assert (plan.failed, plan.left_out, plan.files, plan.captions) == ((), (), 20, 40)
    by_name = {source.name: source for source in plan.sources}
    assert [by_name[f"{n}.png"].read() for n in range(20)] == [png(n) for n in range(20)]
    one = by_name["15.png"]
    assert one.captions == ("first 5", "second 5") and one.labels == ("dog",)
    assert dict(one.metadata) == {"rating": 5.5, "split": "test", "taken": "1970-01-01T00:00:00"}
    assert dict(by_name["5.png"].metadata)["split"] == "train"
    assert by_name["3.png"].labels == by_name["4.png"].labels == ()
    assert plan.labels == ("cat", "dog")
    assert any("Parquet, 10 rows" in words and "10 files" in words for words in plan.layouts)


def test_classes_of_other_names_are_labels_where_none_is_called_so(tmp_path):
    classes = {
        **PICTURE,
        "coarse": {"_type": "ClassLabel", "names": ["animal", "plant"]},
        "fine": {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": ["cat", "rose", "oak"]}},
        "early": [{"_type": "ClassLabel", "names": ["x", "y"]}],
    }
    columns = {"image": pictures(1), "coarse": [1], "fine": [[1, 2]], "early": [[0]]}
    written(tmp_path / "one" / "a.parquet", classes, **columns)
    assert plan_of(tmp_path / "one").sources[0].labels == ("plant", "rose", "oak", "x")
    assert plan_of(tmp_path / "one", Choices(labels=("fine",))).sources[0].labels == ("rose", "oak")
    with_label = {**classes, "label": {"_type": "ClassLabel", "names": ["flower"]}}
    written(tmp_path / "two" / "a.parquet", with_label, **columns, label=[0])
    [source] = plan_of(tmp_path / "two").sources
    assert source.labels == ("flower",) and dict(source.metadata)["coarse"] == "plant"


@pytest.mark.parametrize("name", ["image", "jpg", "some_column"])
def test_pictures_without_features_are_known_by_their_bytes(tmp_path, name):
    raw = {name: [png(n) for n in range(5)], "caption": ["a", "b", None, "", "nan"], "blob": [b"\0zz"] * 5}
    written(tmp_path / "train.parquet", **raw)
    plan = plan_of(tmp_path)
    assert [source.read() for source in plan.sources] == raw[name]
    assert [source.captions for source in plan.sources] == [("a",), ("b",), (), (), ()]
    assert plan.sources[0].name == "train/000001" and dict(plan.sources[0].metadata) == {"split": "train"}
    assert any("blob" in note for note in plan.notes)


def test_pictures_and_nothing_else(tmp_path):
    written(tmp_path / "a.parquet", image=[png(n) for n in range(2_500)], rows=1_000)
    assert [source.read() for source in plan_of(tmp_path).sources] == [png(n) for n in range(2_500)]


def test_sentences_are_captions_and_what_is_nested_is_named(tmp_path):
    written(
        tmp_path / "a.parquet",
        image=pictures(2),
        sentences=[[{"raw": "one", "tokens": ["one"]}, {"raw": "two", "tokens": []}]] * 2,
        objects=[{"bbox": [[1.0, 2.0]], "area": 3}] * 2,
        embedding=[[0.5, 0.25]] * 2,
    )
    plan = plan_of(tmp_path)
    assert plan.sources[0].captions == ("one", "two") and plan.sources[0].metadata == ()
    assert plan.notes == (
        "a.parquet: column embedding holds lists of numbers, and is not kept.",
        "a.parquet: column objects holds nested values, sounds or bytes of no picture, and is not kept.",
    )
    assert {column.example for column in plan.columns if column.use == "left out"} == {""}
    assert {column.name: column.use for column in plan.columns} == {
        "image": "file",
        "sentences": "caption",
        "objects": "left out",
        "embedding": "left out",
    }


def test_paths_mean_files_beside_and_what_is_missing_is_counted(tmp_path):
    beside = [{"bytes": None, "path": f"images/{n}.png"} for n in range(3)]
    inside = [{"bytes": png(9), "path": "9.png"}, None]
    for n in (0, 1):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{n}.png").write_bytes(png(n))
    written(
        tmp_path / "metadata.parquet",
        PICTURE,
        image=pa.array(beside + inside, STRUCT),
        caption=["zero", "one", "two", "nine", "none"],
        rows=2,
    )
    plan = plan_of(tmp_path)
    assert {source.name: (source.captions, source.read()) for source in plan.sources} == {
        "0.png": (("zero",), png(0)),
        "1.png": (("one",), png(1)),
        "9.png": (("nine",), png(9)),
    }
    reasons = sorted(one.reason for one in plan.failed)
    assert reasons == ["Row 3: the file is not among the files: 2.png.", "Row 5: no file is named."]


def test_a_table_of_files_beside_it(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    columns = {"file_name": ["a.png"], "captions": [["x", "y"]], "labels": [["l"]], "emb": [[1.0, 2.0]]}
    written(tmp_path / "metadata.parquet", **columns, size=[7])
    [source] = plan_of(tmp_path).sources
    assert (source.name, source.captions, source.labels) == ("a.png", ("x", "y"), ("l",))
    assert source.metadata == (("size", 7),)


def test_vectors_alone_are_sent_to_where_vectors_go(tmp_path):
    written(tmp_path / "a.parquet", id=["1"], vector=[[1.0, 2.0]], modality=["text"])
    plan = plan_of(tmp_path)
    [failure] = plan.failed
    assert (
        plan.sources == () and "vectors (column vector) and no pictures: use “Add vectors”" in failure.reason
    )


def test_a_table_of_neither_gets_one_line(tmp_path):
    written(tmp_path / "a.parquet", year=[1, 2], value=[1.0, 2.0])
    plan = plan_of(tmp_path)
    [failure] = plan.failed
    assert plan.sources == () and "No column names a file" in failure.reason and "year" in failure.reason


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 200 + b"PAR1", b"not at all"])
def test_a_broken_file_is_refused_in_words(tmp_path, data):
    (tmp_path / "a.parquet").write_bytes(data)
    plan = plan_of(tmp_path)
    [failure] = plan.failed
    assert failure.name == "a.parquet" and failure.reason.startswith("The Parquet file cannot be read: ")
    assert plan.sources == ()


def test_bytes_that_are_damaged_cost_their_own_row_group(tmp_path):
    path = written(tmp_path / "a.parquet", image=[random.Random(n).randbytes(3_000) for n in range(9)])
    path = written(
        tmp_path / "a.parquet", PICTURE, image=pa.array([{"bytes": png(n)} for n in range(9)], STRUCT)
    )
    group = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = group.dictionary_page_offset or group.data_page_offset
    data[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(data)
    sources = plan_of(tmp_path).sources
    assert [source.read() for source in (*sources[:3], *sources[6:])] == [png(n) for n in (0, 1, 2, 6, 7, 8)]
    with pytest.raises(UnreadableMediaError, match="cannot be read"):
        sources[4].read()
    assert sources[7].read() == png(7)


def test_a_picture_beyond_the_limit_is_refused(tmp_path):
    written(tmp_path / "a.parquet", PICTURE, image=pictures(2))
    [first, _] = understand(list_folder(tmp_path), max_file_bytes=20).sources
    with pytest.raises(TooLargeError):
        first.read()


def test_any_thread_may_ask_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_bytes, "_STRETCH_BYTES", 500)
    for shard in range(3):
        written(tmp_path / f"{shard}.parquet", PICTURE, image=pictures(40, 40 * shard), rows=15)
    sources = list(enumerate(plan_of(tmp_path).sources))
    random.Random(5).shuffle(sources)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda one: one[1].read(), sources))
    assert found == [png(number) for number, _ in sources]


def test_few_stretches_are_in_memory_and_none_when_nobody_asks_any_more(tmp_path, monkeypatch):
    kept = parquet_bytes.Stretches()
    monkeypatch.setattr(parquet_tables, "_STRETCHES", kept)
    monkeypatch.setattr(parquet_bytes, "_STRETCH_BYTES", 2_000)
    for shard in range(4):
        noise = [{"bytes": png(0) + random.Random(n).randbytes(500), "path": None} for n in range(30)]
        written(tmp_path / f"{shard}.parquet", PICTURE, image=pa.array(noise, STRUCT), rows=30)
    plan, most = plan_of(tmp_path), 0
    for source in plan.sources:
        assert len(source.read()) > 500
        arrays = [array for group in kept._groups.values() for _, array in group._kept]
        most = max(most, sum(len(array) for array in arrays))
    assert most <= 4 * 4  # four stretches of 2,000 bytes, each of at most four rows
    del plan, source, arrays
    gc.collect()
    assert not kept._groups


def test_a_picture_that_all_rows_share_is_not_in_memory_once_a_row(tmp_path, monkeypatch):
    kept = parquet_bytes.Stretches()
    monkeypatch.setattr(parquet_tables, "_STRETCHES", kept)
    monkeypatch.setattr(parquet_bytes, "_STRETCH_BYTES", 100_000)
    same = png(0) + random.Random(1).randbytes(20_000)
    written(tmp_path / "a.parquet", PICTURE, image=pa.array([{"bytes": same}] * 600, STRUCT), rows=600)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    for source in plan_of(tmp_path).sources[::50]:
        assert source.read() == same
        held = sum(array.nbytes for group in kept._groups.values() for _, array in group._kept)
        assert held < 250_000


def test_a_file_made_to_fill_the_memory_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.datasets.parquet._BOMB_BYTES", 1_000_000)
    for name, cells in (
        ("image", {"image": [png(0) + bytes(4_000_000)]}),
        ("words", {"words": ["a" * 4_000_000]}),
    ):
        table = pa.table({"file_name": ["a.png"], **cells})
        parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
        [failure] = plan_of(tmp_path).failed
        assert f"Its column {name} unpacks from" in failure.reason


def test_a_zip_of_shards(tmp_path):
    import zipfile

    path = written(tmp_path / "in" / "train-00000-of-00001.parquet", PICTURE, image=pictures(5))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "data/train-00000-of-00001.parquet")
    found = find_sources([tmp_path / "all.zip"], max_file_bytes=LIMIT)
    assert [source.read() for source in found.sources] == [png(n) for n in range(5)] and not found.failed
    assert dict(found.sources[0].metadata) == {"split": "train"}
