"""Columns are recognised by their usual names, or chosen where that would be a guess, and read whole."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import VectorFileError
from engine.vector_files.look import LEFT_OUT, METADATA, look
from engine.vector_files.reading import Reading
from engine.vector_files.rows import VectorRow
from engine.vector_files.table import VectorFile
from tests.helpers.vector_files import FORMATS, columns, save, vectors


def read(path: Path, reading: Reading | None = None) -> tuple[list[VectorRow], np.ndarray]:
    file = VectorFile(path, reading=reading)
    assert file.check() == ()
    pages = list(file.batches())
    return [row for page in pages for row in page.rows], np.concatenate([page.vectors for page in pages])


def problem(path: Path, reading: Reading | None = None) -> str:
    with pytest.raises(VectorFileError) as caught:
        VectorFile(path, reading=reading)
    return str(caught.value)


def named(names: dict[str, str], **changed: object) -> dict[str, object]:
    """Return the columns of a good file under other names."""
    return {names.get(name, name): value for name, value in columns(**changed).items()}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "names",
    [
        {"vector": "vectors", "id": "ids", "modality": "Modality"},
        {"vector": "Embedding", "id": "ID"},
        {"vector": "embeddings", "modality": " MODALITY"},
        {"vector": "emb", "text": "caption", "label": "labels"},
    ],
)
def test_usual_names_are_recognised_in_any_case(tmp_path, suffix, names):
    given = named(names, text=["a", "b", "c"], label=["x", "y", "z"], modality=["Text", "IMAGE", " audio "])
    path = save(tmp_path / f"x{suffix}", given)
    rows, found = read(path)
    assert [(row.id, row.modality) for row in rows] == [
        ("row 0", "text"),
        ("row 1", "image"),
        ("row 2", "audio"),
    ]
    assert [(row.text, row.labels) for row in rows] == [("a", ("x",)), ("b", ("y",)), ("c", ("z",))]
    assert np.array_equal(found, given[names["vector"]])
    [note] = VectorFile(path).notes
    assert note.startswith("Columns were used under other names: ") and f"{names['vector']} as vector" in note


@pytest.mark.parametrize("suffix", FORMATS)
def test_several_that_could_be_are_a_choice_and_no_guess(tmp_path, suffix):
    other = vectors(3, seed=1)
    path = save(tmp_path / f"x{suffix}", columns(embedding=other, extra=[1, 2, 3]))
    said = problem(path)
    assert "its columns vector and embedding could each be the vector: choose one (--vector-column)" in said
    rows, found = read(path, Reading((("vector", "embedding"),)))
    assert np.array_equal(found, other) and rows[0].metadata == (("extra", 1),)
    assert np.array_equal(read(path, Reading((("vector", "vector"),)))[1], vectors(3))
    [left] = VectorFile(path, reading=Reading((("vector", "embedding"),))).left_out
    assert left == "vector"
    twins = save(tmp_path / f"ids{suffix}", columns(ID=["a", "b", "c"]))
    assert "its columns id and ID could each be the id" in problem(twins)
    assert [row.id for row in read(twins, Reading((("id", "ID"),)))[0]] == ["a", "b", "c"]
    # What cannot be a vector is no candidate, and of optional columns the first name goes first.
    plain = save(tmp_path / f"y{suffix}", columns(emb=["a", "b", "c"], text=["t"] * 3, caption=["c"] * 3))
    [row, *_] = read(plain)[0]
    assert row.text == "t" and dict(row.metadata) == {"emb": "a", "caption": "c"}
    other = save(tmp_path / f"z{suffix}", columns(text=["t"] * 3, caption=["c"] * 3))
    assert read(other, Reading((("text", "caption"),)))[0][0].metadata == (("text", "t"),)
    assert read(other, Reading((("text", ""),)))[0][0].text == ""


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_can_be_chosen_and_what_is_missing_is_said(tmp_path, suffix):
    names = {"id": "key", "vector": "features", "modality": "kind", "pair": "group"}
    path = save(tmp_path / f"x{suffix}", named(names, pair=["a", "a", "b"]))
    said = problem(path)
    assert "it has no column id, vector, modality. Required are" in said
    assert "Its columns are key, features, kind, group" in said and "--modality for all rows" in said
    chosen = tuple(names.items())
    rows, found = read(path, Reading(chosen))
    assert [row.pair for row in rows] == ["a", "a", "b"] and np.array_equal(found, vectors(3))
    assert "it has no column 'nothing'" in problem(path, Reading((*chosen[:2], ("modality", "nothing"))))
    rows, _ = read(path, Reading(chosen[:2], "image"))
    assert {row.modality for row in rows} == {"image"} and rows[0].metadata == (
        ("group", "a"),
        ("kind", "text"),
    )
    numbered = Reading((("id", ""), ("vector", "features")), "audio")
    assert [row.id for row in read(path, numbered)[0]] == ["x row 1", "x row 2", "x row 3"]
    assert "rows are called x row 1 and so on." in VectorFile(path, reading=numbered).notes[-1]
    assert "All rows are taken as audio." in VectorFile(path, reading=numbered).notes
    assert "no column is chosen as the vector and the modality" in problem(
        path, Reading((("id", "key"), ("vector", ""), ("modality", "")))
    )


def test_a_file_of_our_own_is_read_by_the_exact_names(tmp_path):
    given = columns(item=["a" * 64, "b" * 64, "c" * 64], embedding=["x", "y", "z"], caption=["1", "2", "3"])
    rows, _ = read(save(tmp_path / "x.parquet", given))
    assert rows[0].text == "" and dict(rows[0].metadata) == {"embedding": "x", "caption": "1"}
    others = named({"vector": "emb"}, item=["pen", "cup", "hat"], caption=["1", "2", "3"])
    rows, _ = read(save(tmp_path / "y.parquet", others))
    assert rows[0].text == "1" and rows[0].metadata == (("item", "pen"),)


KEYS = [uuid.UUID(int=one) for one in (7, 2**100, 3)]
VECTOR_TYPES = {
    "tensor": lambda rows: pa.FixedShapeTensorArray.from_numpy_ndarray(rows),
    "fixed": lambda rows: pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1]),
    "view": lambda rows: pa.array(rows.tolist(), pa.list_view(pa.float32())),
    "large view": lambda rows: pa.array(rows.tolist(), pa.large_list_view(pa.float32())),
    "large": lambda rows: pa.array(rows.tolist(), pa.large_list(pa.float64())),
    "half": lambda rows: pa.array([list(row) for row in rows.astype(np.float16)], pa.list_(pa.float16())),
}
KEY_TYPES = {
    "uuid": (pa.array([one.bytes for one in KEYS], pa.uuid()), [str(one) for one in KEYS]),
    "fixed bytes": (pa.array([b"ab", b"\xff\xfe", b"cd"], pa.binary(2)), ["6162", "fffe", "6364"]),
    "bytes": (pa.array([b"ab", b"\xff\xfe", "é".encode()]), ["ab", "fffe", "é"]),
    "large bytes": (pa.array([b"ab", b"\x00", b"c"], pa.large_binary()), ["ab", "00", "c"]),
    "unsigned": (pa.array([1, 2**64 - 1, 3], pa.uint64()), ["1", str(2**64 - 1), "3"]),
}


@pytest.mark.parametrize("kind", VECTOR_TYPES)
def test_vectors_of_every_list_type_are_read(tmp_path, kind):
    rows = vectors(3).astype(np.float16).astype(np.float32)
    table = {"id": ["a", "b", "c"], "vector": VECTOR_TYPES[kind](rows), "modality": ["text"] * 3}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    _, found = read(tmp_path / "x.parquet")
    assert found.shape == (3, 4) and np.array_equal(found, rows)


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_ids_and_pairs_of_every_type_are_read(tmp_path, kind):
    keys, written = KEY_TYPES[kind]
    table = {"id": keys, "pair": keys, "vector": vectors(3).tolist(), "modality": ["text"] * 3}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    rows, _ = read(tmp_path / "x.parquet")
    assert [row.id for row in rows] == [row.pair for row in rows] == written


def test_arrays_of_bytes_are_ids_too(tmp_path):
    rows, _ = read(save(tmp_path / "x.npz", columns(id=[b"a", b"\xff", b"c"])))
    assert [row.id for row in rows] == ["a", "ff", "c"]


def test_a_look_shows_columns_uses_and_ten_rows(tmp_path):
    many = columns(12, vector=vectors(12, 6), year=list(range(12)), deep=[[1]] * 12)
    path = save(tmp_path / "x.parquet", many)
    found = look(path, name="x.parquet")
    assert [(one.name, one.use) for one in found.columns] == [
        ("id", "id"),
        ("vector", "vector"),
        ("modality", "modality"),
        ("year", METADATA),
        ("deep", LEFT_OUT),
    ]
    assert (found.total, found.dim, found.problem, len(found.rows)) == (12, 6, "", 10)
    assert found.rows[1][0] == "row 1" and found.rows[1][1].endswith(", … (6)") and found.rows[1][3] == "1"
    assert found.used("vector") == "vector" and found.used("text") == ""
    with path.open("rb") as stream:  # as an upload is
        assert look(stream, name="x.parquet") == found and not stream.closed
    bare = save(tmp_path / "bare.npz", columns(modality=None))
    assert "it has no column modality" in look(bare, name="bare.npz").problem
    assert len(look(bare, name="bare.npz").rows) == 3


def test_a_reading_checks_itself_and_comes_back():
    reading = Reading((("id", "key"), ("text", "")), "image", "binary")
    assert Reading.of(reading.to_dict()) == reading
    for wrong in ({"columns": (("no", "x"),)}, {"modality": "smell"}, {"unpack": "half"}):
        with pytest.raises(ValueError, match=r"columns are|modality|unpacked"):
            Reading(**wrong)
