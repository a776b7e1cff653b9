"""Files of vectors are checked row by row, in words, and come back as they were written."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import VectorFileError
from engine.vector_files.rows import Repeated, VectorRow, VectorRows
from engine.vector_files.table import VectorFile, writing
from tests.helpers.vector_files import FORMATS, columns, refused, rows_of, save, vectors


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_columns_are_read(tmp_path, suffix):
    labels = [["a", "b"], ["a", ""], ["", ""]] if suffix == ".npz" else [["a", "b"], ["a"], None]
    given = columns(
        modality=["image", "text", "video"],
        text=["", "a caption", ""],
        pair=["", "row 0", ""],
        label=labels,
        media_path=["a.jpg", "", ""],
        name=["", "n", ""],
        anything=[1, 2, 3],
    )
    path = save(tmp_path / f"good{suffix}", given)
    assert VectorFile(path).check() == ()
    rows, found = rows_of(path)
    assert rows == [
        VectorRow("row 0", "image", labels=("a", "b"), media_path="a.jpg", metadata=(("anything", 1),)),
        VectorRow("row 1", "text", "a caption", "row 0", ("a",), name="n", metadata=(("anything", 2),)),
        VectorRow("row 2", "video", metadata=(("anything", 3),)),
    ]
    assert np.array_equal(found, given["vector"]) and found.dtype == np.float32


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64])
def test_whole_numbers_name_rows_and_other_floats_are_read(tmp_path, suffix, dtype):
    given = columns(id=[7, 8, 9], label=[0, 1, 0], vector=np.arange(1, 13).reshape(3, 4).astype(dtype))
    rows, found = rows_of(save(tmp_path / f"whole{suffix}", given))
    assert [row.id for row in rows] == ["7", "8", "9"] and rows[0].labels == ("0",)
    assert np.array_equal(found, np.arange(1, 13).reshape(3, 4))


def test_parquet_of_other_writers_is_read(tmp_path):
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors(3).reshape(-1)), 4)
    table = pa.table(
        {
            "id": pa.array(["a", "b", "c"], pa.large_string()),
            "vector": fixed,
            "modality": pa.array(["text", "image", "text"]).dictionary_encode(),
            "text": pa.nulls(3),
        }
    )
    pq.write_table(table, tmp_path / "other.parquet", row_group_size=2)
    rows, found = rows_of(tmp_path / "other.parquet")
    assert [(row.id, row.modality) for row in rows] == [("a", "text"), ("b", "image"), ("c", "text")]
    assert np.array_equal(found, vectors(3))


def bad_vector(value: float) -> np.ndarray:
    rows = vectors(3)
    rows[1, 2] = value
    return rows


BAD_ROWS = {
    "modality": (columns(modality=["text", "smell", "text"]), "row 2, column modality: 'smell'; it must be"),
    "no modality": (
        columns(modality=["text", "", "text"]),
        "row 2, column modality: nothing; it must be one",
    ),
    "nan": (columns(vector=bad_vector(np.nan)), "row 2, column vector: it holds NaN or an infinite number"),
    "infinite": (columns(vector=bad_vector(np.inf)), "row 2, column vector: it holds NaN"),
    "zero": (columns(vector=vectors(3) * [[1], [0], [1]]), "row 2, column vector: all its numbers are zero"),
    "twice": (columns(id=["a", "b", "a"]), "row 3, column id: row 1 has the same one"),
    "empty id": (columns(id=["a", " ", "c"]), "row 2, column id: it is empty"),
    "long id": (columns(id=["a", "b" * 513, "c"]), "row 2, column id: 513 characters; at most 512"),
    "long pair": (columns(pair=["", "b" * 513, ""]), "row 2, column pair: 513 characters"),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("given", "says"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_one_bad_row_refuses_the_file_or_is_left_out(tmp_path, suffix, given, says):
    path = save(tmp_path / f"bad{suffix}", given)
    words = refused(path)
    assert says in words and "1 row is bad of 3, and nothing was imported" in words
    file = VectorFile(path)
    [fault] = file.check(skip_bad=True)
    assert says in str(fault)
    kept = [number for page in file.batches({fault.row}) for number in page.numbers]
    assert kept == [number for number in (1, 2, 3) if number != fault.row]


def test_lists_of_other_widths_and_without_a_vector_are_named(tmp_path):
    ragged = [[1.0, 2.0], [1.0], None, [1.0, None], [3.0, 4.0], [1.0, 2.0, 3.0]]
    path = save(tmp_path / "ragged.parquet", columns(6, vector=ragged))
    words = refused(path)
    for said in ("row 2, column vector: 1 numbers, where the first", "row 3, column vector: there is none"):
        assert said in words
    assert "row 4, column vector: it holds NaN" in words and "4 rows are bad of 6" in words
    file = VectorFile(path)
    assert [fault.row for fault in file.check(skip_bad=True)] == [2, 3, 4, 6]
    assert np.array_equal(rows_of(path)[1], [[1, 2], [3, 4]])


def test_only_the_first_bad_rows_are_named_and_none_may_be_left(tmp_path):
    path = save(tmp_path / "all.npz", columns(9, modality=["x"] * 9))
    for options in ({}, {"skip_bad": True}):
        words = refused(path, **options)
        assert "row 5" in words and "row 6" not in words and "; and 4 more" in words
    with pytest.raises(VectorFileError) as caught:
        VectorFile(path).check()
    assert len(caught.value.faults) == 9


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (columns(id=None), "it has no column id. Required are id, vector, modality; text, pair"),
        (columns(id=None, modality=None), "it has no column id, modality"),
        (columns(vector=None), "it has no column vector"),
        (columns(id=[0.5, 1.5, 2.5]), "id"),
        (columns(text=[1, 2, 3]), "text"),
        (columns(modality=[1, 2, 3]), "modality"),
        (columns(label=[0.5, 1.5, 2.5]), "label"),
        (columns(vector=[["a"], ["b"], ["c"]]), "vector"),
    ],
)
def test_missing_and_mistyped_columns_are_named(tmp_path, suffix, given, says):
    assert says in refused(save(tmp_path / f"columns{suffix}", given))


def test_files_that_are_none(tmp_path):
    path = tmp_path / "x.parquet"
    assert "there is no such file" in refused(path)
    assert "this is not a file" in refused(tmp_path)
    for data, says in (
        (b"", "it is empty (0 bytes)"),
        (b"id,vector\n", "neither Parquet nor NPZ nor NPY"),
        (b"PAR1 and no more", "the Parquet file cannot be read"),
        (b"PK\x03\x04 and no more", "the NPZ cannot be read"),
    ):
        path.write_bytes(data)
        assert says in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "words")
    assert "it has no column id, vector, modality" in refused(path)
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), path)
    assert "it has no column vector, modality" in refused(path)
    types = {"id": pa.string(), "vector": pa.list_(pa.float32()), "modality": pa.string()}
    pq.write_table(pa.schema(types).empty_table(), path)
    assert "it has no rows" in refused(path)
    pq.write_table(
        pa.table({"id": ["a"], "vector": pa.array([[]], pa.list_(pa.float32())), "modality": ["text"]}), path
    )
    assert "no vector in it has any numbers" in refused(path)


def test_arrays_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    for changed, says in (
        ({"text": np.array(["a", None, 3], object)}, "the array text holds Python objects, which are never"),
        ({"text": np.array(["a", "b"])}, "the array text has 2 rows, but id has 3"),
        ({"vector": np.asfortranarray(vectors(3))}, "save np.ascontiguousarray(vector) instead"),
        ({"vector": vectors(3)[0]}, "the array vector is float32 of shape (4,); it must be numbers of"),
        ({"vector": vectors(3, 16_385)}, "its vectors have 16,385 numbers; 1 to 16,384"),
        ({"text": np.array(["a" * 300_000, "", ""])}, "the array text takes 1,200,000 bytes a row"),
        ({"id": np.array("a")}, "a single value where an array is wanted"),
        ({"id": np.array(["a", "\ud800", "c"])}, "row 2, column id: '\\ud800' is not valid Unicode"),
    ):
        np.savez(path, **{**columns(), **changed})
        assert says in refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_cut_file_is_refused_in_words(tmp_path, suffix):
    whole = save(tmp_path / f"whole{suffix}", columns(50, text=["words"] * 50)).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for size in range(1, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        refused(path)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), which=st.sampled_from(FORMATS))
def test_a_changed_byte_is_read_or_refused_and_never_raises_anything_else(
    tmp_path_factory, place, value, which
):
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / f"whole{which}"
    if not path.exists():
        save(path, columns(20, text=["words"] * 20))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    changed = folder / f"changed{which}"
    changed.write_bytes(data)
    try:
        file = VectorFile(changed)
        file.check(skip_bad=True)
        assert all(isinstance(page, VectorRows) for page in file.batches())
    except VectorFileError:
        pass


def test_vectors_are_read_in_pages_of_the_file(tmp_path):
    path = tmp_path / "many.parquet"
    save(path, columns(2_500))
    seen: list[int] = []
    assert VectorFile(path).check(on_rows=seen.append) == () and seen == [1_024, 2_048, 2_500]
    assert VectorFile(path).check(cancelled=lambda: True) is None
    assert [len(page) for page in VectorFile(path).batches()] == [1_024, 1_024, 452]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
written_rows = st.lists(
    st.builds(
        VectorRow,
        id=texts.filter(str.strip),
        modality=st.sampled_from(["text", "image", "audio", "video"]),
        text=texts,
        pair=texts.filter(str.strip) | st.just(""),
        labels=st.lists(texts.filter(bool), max_size=3, unique=True).map(tuple),
        name=texts,
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row.id,
)


@settings(max_examples=40, deadline=None)
@given(rows=written_rows, suffix=st.sampled_from(FORMATS))
def test_what_was_written_is_read(tmp_path_factory, rows, suffix):
    path = tmp_path_factory.getbasetemp() / f"written{suffix}"
    table = vectors(len(rows), 3)
    with writing(path, 3) as writer:
        for start in range(0, len(rows), 2):
            writer.write(rows[start : start + 2], table[start : start + 2])
    assert VectorFile(path).check() == ()
    found, read = rows_of(path)
    assert found == rows and np.array_equal(read, table)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_there_whole_or_not_at_all(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"the old one")
    with pytest.raises(RuntimeError), writing(path, 4) as writer:
        writer.write([VectorRow("a", "text")], vectors(1))
        raise RuntimeError
    assert path.read_bytes() == b"the old one" and [one.name for one in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(VectorFileError, match=r"must end in \.parquet or \.npz"), writing(tmp_path / "x", 4):
        pass
    for suffix in FORMATS:
        with (
            pytest.raises(VectorFileError, match="cannot be written"),
            writing(tmp_path / f"no/x{suffix}", 4),
        ):
            pass
    rows = [VectorRow(str(n), "text", text="a" * 200_000 if n == 1 else "") for n in range(2_000)]
    with (
        pytest.raises(VectorFileError, match=r"Export to \.parquet instead"),
        writing(tmp_path / "long.npz", 4) as out,
    ):
        out.write(rows, vectors(2_000))
    assert list(tmp_path.iterdir()) == []


def test_repeated_ids_are_found_in_any_page():
    found = Repeated()
    for start, ids in ((1, "abc"), (4, "da"), (6, "ea")):
        rows = tuple(VectorRow(id_, "text") for id_ in ids)
        found.add(VectorRows(rows, vectors(len(ids)), tuple(range(start, start + len(ids)))))
    assert [str(fault) for fault in found.faults()] == [
        "row 5, column id: row 1 has the same one",
        "row 7, column id: row 5 has the same one",
    ]
    assert Repeated().faults() == []


def test_rows_check_themselves():
    rows = (VectorRow("a", "text"),)
    good = vectors(1)
    for wrong in (good[0], vectors(2), good.astype(np.int64), good * np.nan, good * 0):
        with pytest.raises(ValueError, match="vectors"):
            VectorRows(rows, wrong, (1,))


def test_pickles_are_never_read(tmp_path):
    held = io.BytesIO()
    np.save(held, np.array([{"a": 1}] * 3, object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", **columns())
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("label.npy", held.getvalue())
    assert "the array label holds Python objects" in refused(tmp_path / "x.npz")
