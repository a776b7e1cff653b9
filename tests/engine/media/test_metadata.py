"""Other columns of a data set become metadata: bounded, kept everywhere an item goes, and written back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.datasets.find import from_files
from engine.maps.selection_export import to_csv, to_parquet
from engine.media.metadata import (
    MAX_COLUMNS,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ColumnChoice,
    TextColumns,
    cleaned_value,
    column_name,
    from_keys,
    iso,
    kind_of,
    kinds_of,
    metadata_of,
    to_keys,
)
from engine.storage.chroma_rows import to_item, to_metadata
from engine.storage.ledger import Ledger, item_from_json, item_to_json
from engine.types import Item, Metadata, Projection
from engine.vector_files.rows import TAKEN, VectorRow
from engine.vector_files.table import VectorFile, writing
from engine.workspace import Workspace
from tests.helpers.data import MADE_BY, generated_photos, jpeg, plain_items, sources, unit_table
from tests.helpers.fake_embedder import NEW, OLD, lend
from tests.helpers.vector_files import FORMATS, columns, refused, rows_of, save, vectors

NASTY = st.sampled_from([*TAKEN, "meta.", "meta.meta.x", "a\nb", "\u202e", "é", "a.b", "$x", "x" * 61])
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=210),
    st.lists(st.integers(), max_size=2),
)
GIVEN = st.lists(st.tuples(st.one_of(NASTY, st.text(max_size=65)), ANYTHING), max_size=40)
METADATA = GIVEN.map(metadata_of)


def full(**fields: object) -> Item:
    return Item("a" * 64, "image", "x.jpg", "image/jpeg", "a" * 64, **fields)


@given(GIVEN)
def test_what_is_kept_is_bounded_plain_and_stays_as_it_is(pairs):
    metadata = metadata_of(pairs)
    names = [name for name, _ in metadata]
    assert names == sorted(set(names)) and len(names) <= MAX_COLUMNS
    for name, value in metadata:
        assert 0 < len(name) <= MAX_NAME_CHARS and "\n" not in name and name == column_name(name)
        assert type(value) in (str, int, float, bool) and value == cleaned_value(value)
        assert not isinstance(value, str) or 0 < len(value) <= MAX_TEXT_CHARS
    assert metadata_of(metadata) == metadata


@given(METADATA)
def test_an_item_comes_back_from_the_ledger_and_from_the_store_as_it_was(metadata):
    item = full(metadata=metadata, labels=("one",), caption="words")
    assert item_from_json(item_to_json(item)) == item and hash(item) == hash(replace(item))
    flat = to_metadata(item)
    assert to_item(item.id, dict(reversed(flat.items()))) == item
    assert from_keys(to_keys(metadata)) == metadata
    assert [type(value) for _, value in item_from_json(item_to_json(item)).metadata] == [
        type(value) for _, value in metadata
    ]
    assert set(to_keys(metadata)).isdisjoint(asdict(item))


def test_an_item_without_metadata_is_kept_as_before():
    item = full()
    assert "metadata" not in item_to_json(item) and item_from_json(item_to_json(item)).metadata == ()
    assert not [key for key in to_metadata(item) if "meta" in key]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("", None),
        (" \u202e", None),
        (float("nan"), None),
        (float("inf"), None),
        ([1], None),
        (b"x", None),
        (0, 0),
        (False, False),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (np.float64(1.5), 1.5),
        (dt.date(1999, 1, 2), "1999-01-02"),
        (dt.datetime(1999, 1, 2, 3, 4), "1999-01-02T03:04:00"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_value_is_plain_or_nothing(given, kept):
    found = cleaned_value(given)
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1999-01-02", "1999-01-02"),
        ("1999-01-02 03:04:00", "1999-01-02T03:04:00"),
        ("1999-01-02T03:04:05.120000Z", "1999-01-02T03:04:05.12Z"),
        ("1999-01-02 03:04:05.000000+0200", "1999-01-02T03:04:05+0200"),
        ("10:00:00.000", "10:00:00"),
    ],
)
def test_points_of_time_are_iso(written, kept):
    assert iso(written) == kept


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["1", "", "-2"], [1, None, -2]),
        (["1", "2.5", "nan"], [1.0, 2.5, None]),
        (["1e3", ".5", "5"], [1000.0, 0.5, 5.0]),
        (["True", "false", None], [True, False, None]),
        (["007", "1", ""], ["007", "1", ""]),
        (["1", "x"], ["1", "x"]),
        (["9" * 30], [float("9" * 30)]),
        (["1.", "5"], [1.0, 5.0]),
    ],
)
def test_a_column_of_a_csv_holds_what_all_its_cells_hold(cells, kept):
    columns = TextColumns()
    for cell in cells:
        columns.see({"a": cell})
    found = [columns.read("a", cell) for cell in cells]
    assert found == kept and [type(one) for one in found] == [type(one) for one in kept]


def test_ten_thousand_columns_are_bounded_and_named():
    choice = ColumnChoice()
    assert [choice.add(f"c{n}") for n in range(10_000)][MAX_COLUMNS:] == [""] * (10_000 - MAX_COLUMNS)
    assert len(choice.names) == MAX_COLUMNS and len(choice.left) == 10_000 - MAX_COLUMNS


def test_kinds():
    assert cleaned_value(10**5000) is None
    assert kind_of(["true", "false"]) == "truth" and kind_of(["real", "integer"]) == "real"
    assert (
        kind_of(["integer"]) == "whole"
        and kind_of(["integer", "long"]) == "whole"
        and kind_of(["text", "integer"]) == kind_of(["true", "real"]) == kind_of(["long", "real"]) == "text"
    )
    assert kinds_of([(("b", 1), ("a", True)), (("b", 2.0),)]) == {"a": "truth", "b": "real"}


# Into files and back


def parquet(path: Path, **others: object) -> Path:
    vector = pa.array([list(row) for row in vectors(3)])
    own = {"id": ["a", "b", "c"], "vector": vector, "modality": ["text"] * 3}
    pq.write_table(pa.table({**own, **others}), path)
    return path


def test_parquet_of_every_type(tmp_path):
    late = pa.array([10**13, None, 0], pa.int64()).cast(pa.timestamp("s"))  # a year Python has no date for
    path = parquet(
        tmp_path / "x.parquet",
        year=[1999, None, 2**62],
        score=[0.5, float("nan"), float("-inf")],
        ok=[True, False, None],
        city=pa.array(["Rome", "Rome", None]).dictionary_encode(),
        day=pa.array([dt.date(2020, 1, 2), None, dt.date(1, 1, 1)]),
        at=pa.array([dt.datetime(2020, 1, 2, 3, 4, 5, 600000), None, None], pa.timestamp("us", "UTC")),
        late=late,
        huge=pa.array([2**64 - 1, 1, None], pa.uint64()),
        price=pa.array([1, 2, None]).cast(pa.decimal128(20, 1)),
        half=np.array([1, 2, 3], np.float16),
        nothing=pa.nulls(3),
        nested=[{"a": 1}] * 3,
        many=[[1, 2]] * 3,
        raw=[b"x"] * 3,
        **{"a\nb\u202e": [1, 2, 3], "": [1, 2, 3], "meta.id": ["x", "y", "z"]},
    )
    file = VectorFile(path)
    assert file.check() == () and set(file.left_out) == {"nested", "many", "raw", ""}
    rows, _ = rows_of(path)
    said = dict(rows[0].metadata)
    assert "late" not in said  # Arrow's words for it are no date
    assert dict(rows[2].metadata)["late"] == "1970-01-01T00:00:00"
    assert said == {
        "year": 1999,
        "score": 0.5,
        "ok": True,
        "city": "Rome",
        "day": "2020-01-02",
        "at": "2020-01-02T03:04:05.6Z",
        "huge": str(2**64 - 1),
        "price": 1.0,
        "half": 1.0,
        "a b": 1,
        "id": "x",
    }
    assert dict(rows[1].metadata) == {
        "ok": False, "city": "Rome", "huge": 1, "price": 2.0, "half": 2.0, "a b": 2, "id": "y"
    }  # fmt: skip


def test_npz_of_every_type_and_what_is_left_out(tmp_path):
    path = save(
        tmp_path / "x.npz",
        columns(
            year=[1999, 2000, 2001],
            score=np.array([0.5, np.nan, np.inf], np.float32),
            ok=[True, False, True],
            city=["Rome", "", "Oslo"],
            day=np.array(["2020-01-02", "NaT", "1999-01-01"], "M8[D]"),
            at=np.array(["2020-01-02T03:04:05.6", "NaT", "1999"], "M8[ns]"),
            huge=np.array([2**64 - 1, 1, 2], np.uint64),
            short=[1, 2],
            square=np.zeros((3, 3)),
            objects=np.array([{}, None, 1], object),
            raw=np.array([b"x", b"y", b"z"]),
            alone=7,
            long=["x" * 5_000, "", ""],
        ),
    )
    file = VectorFile(path)
    assert file.check() == ()
    assert set(file.left_out) == {"short", "square", "objects", "raw", "alone", "long"}
    rows, _ = rows_of(path)
    assert dict(rows[0].metadata) == {
        "year": 1999, "score": 0.5, "ok": True, "city": "Rome", "day": "2020-01-02",
        "at": "2020-01-02T03:04:05.6", "huge": str(2**64 - 1),
    }  # fmt: skip
    assert dict(rows[1].metadata) == {"year": 2000, "ok": False, "huge": 1}


def test_one_of_our_columns_twice_is_refused_and_another_is_left_out(tmp_path):
    table = pq.read_table(parquet(tmp_path / "x.parquet"))
    for twice in ("id", "vector"):
        double = table.append_column(twice, table.column(twice))
        pq.write_table(double, tmp_path / "twice.parquet")
        assert f"the column {twice} is there twice" in refused(tmp_path / "twice.parquet")
    for _ in range(2):
        table = table.append_column("year", pa.array([1, 2, 3]))
    pq.write_table(table, tmp_path / "twice.parquet")
    file = VectorFile(tmp_path / "twice.parquet")
    assert file.check() == () and file.left_out == ("year",)


@pytest.mark.parametrize("suffix", FORMATS)
def test_ten_thousand_columns_in_a_file(tmp_path, suffix):
    many = {f"c{n}": np.arange(3) for n in range(2_000 if suffix == ".npz" else 10_000)}
    path = save(tmp_path / f"x{suffix}", columns(**many))
    assert len(VectorFile(path).left_out) == len(many) - MAX_COLUMNS
    assert len(rows_of(path)[0][0].metadata) == MAX_COLUMNS


def too_large(said: list[Metadata], name: str) -> bool:
    """Tell whether a column is of whole numbers, with a gap, of which a float would round one."""
    values = [dict(one).get(name) for one in said]
    whole = [value for value in values if type(value) is int]
    return len(whole) == len(values) - values.count(None) < len(values) and any(
        abs(value) > 2**53 for value in whole
    )


def test_a_large_number_beside_a_gap_keeps_its_last_digit(tmp_path):
    said = [(), (("id", 2**53 + 1),), (("id", -1),)]
    with writing(tmp_path / "x.npz", 4, kinds_of(said)) as writer:
        writer.write([VectorRow(f"{n}", "text", metadata=one) for n, one in enumerate(said)], vectors(3))
    found, _ = rows_of(tmp_path / "x.npz")
    assert [dict(row.metadata) for row in found] == [{}, {"id": "9007199254740993"}, {"id": "-1"}]


def test_a_large_number_beside_a_fraction_keeps_its_last_digit(tmp_path):
    said = [(("n", 2**53 + 1),), (("n", 0.5),), (("n", -(2**63)),)]
    assert kinds_of(said) == {"n": "text"}
    assert kinds_of([said[0], said[2]]) == {"n": "whole"} and kinds_of([(("n", 2**53),), said[1]]) == {
        "n": "real"
    }
    table, ledger = unit_table(3), Ledger(tmp_path / "ledger.sqlite3")
    items = [
        Item(id=id_, modality="text", name="", mime="text/plain", pair=id_, metadata=one)
        for id_, one in zip(table.ids, said, strict=True)
    ]
    ledger.put("mine", items, table)
    assert ledger.metadata_types("mine") == {"n": {"long", "real"}}
    ledger.close()


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(METADATA, min_size=1, max_size=4))
def test_what_is_written_is_read_again(tmp_path, suffix, said):
    """Mixed types come back as text, and all values stay equal otherwise."""
    kinds = dict(list(kinds_of(said).items())[:MAX_COLUMNS])
    rows = [VectorRow(f"{n}", "text", metadata=one) for n, one in enumerate(said)]
    path = tmp_path / f"x{suffix}"
    with writing(path, 4, kinds) as writer:
        writer.write(rows, vectors(len(rows)))
    found, _ = rows_of(path)
    for row, before in zip(found, said, strict=True):
        mixed = {name: str(value) for name, value in before if name in kinds and kinds[name] == "text"}
        if suffix == ".npz":
            mixed |= {name: str(value) for name, value in before if name in kinds and too_large(said, name)}
        wanted = {name: value for name, value in before if name in kinds} | mixed
        assert dict(row.metadata) == wanted


# Through a collection

SAID = [(("ok", True), ("year", 1999)), (("city", "Rome"), ("id", "x"), ("score", 0.5)), ()]


def vector_file(path: Path, said: list[Metadata] | None = None) -> Path:
    """Write a text and two pictures with columns of their own."""
    rows = zip("abc", ("text", "image", "image"), SAID if said is None else said, strict=True)
    with writing(path, 4, kinds_of(said or SAID)) as writer:
        writer.write(
            [VectorRow(id_, kind, f"text {id_}", metadata=one) for id_, kind, one in rows], vectors(3)
        )
    return path


def said_of(workspace: Workspace, collection: str = "mine") -> dict[str, Metadata]:
    """Return the metadata of every item by its caption, the same in store and ledger."""
    found = {}
    for modality in ("text", "image"):
        items = {item.id: item for item in workspace.store.all_items(collection, modality)}
        recorded, _ = workspace.ledger.get(collection, modality, items)
        assert {item.id: item for item in recorded} == items
        found |= {item.caption: item.metadata for item in items.values()}
    return found


WANTED = {f"text {id_}": one for id_, one in zip("abc", SAID, strict=True)}


@pytest.mark.parametrize("suffix", FORMATS)
def test_metadata_stays_through_labels_exports_and_imports(workspace, tmp_path, suffix):
    report = workspace.import_vectors("mine", vector_file(tmp_path / "x.parquet"), label="m")
    assert (report.stored, report.notes) == (3, ()) and said_of(workspace) == WANTED
    ids = [item.id for item in workspace.store.all_items("mine", "image")]
    workspace.folder.label_items("mine", ids, "seen")
    assert said_of(workspace) == WANTED
    out = tmp_path / f"out{suffix}"
    workspace.export_vectors("mine", out)
    again = workspace.import_vectors("mine", out)
    assert (again.stored, again.skipped, again.failed, again.notes) == (0, 3, (), ())
    workspace.import_vectors("copy", out, label="m")
    assert said_of(workspace, "copy") == WANTED
    assert workspace.ledger.metadata_types("mine") == {
        "city": {"text"}, "id": {"text"}, "ok": {"true"}, "score": {"real"}, "year": {"integer"}
    }  # fmt: skip
    assert [row[0] for row in workspace.ledger.rows(_YEARS, ())] == [1999, 1999]


_YEARS = "SELECT json_extract(item, '$.metadata.year') AS y FROM items WHERE y IS NOT NULL"


def test_an_older_collection_gets_its_columns_and_keeps_its_labels(workspace, tmp_path):
    workspace.import_vectors("mine", vector_file(tmp_path / "old.parquet", [(), (), ()]), label="m")
    assert set(said_of(workspace).values()) == {()}
    file = vector_file(tmp_path / "new.parquet")
    report = workspace.import_vectors("mine", file)
    assert (report.stored, report.skipped, report.failed) == (2, 1, ()) and said_of(workspace) == WANTED
    other = [(("year", 2000),), (("city", "Rome"),), (("new", 1),)]
    report = workspace.import_vectors("mine", vector_file(tmp_path / "other.parquet", other))
    assert (report.stored, report.skipped, len(report.failed)) == (1, 1, 1)
    assert "stored already with another metadata" in report.failed[0].reason
    assert said_of(workspace) == WANTED | {"text c": (("new", 1),)}


def test_columns_that_are_left_out_are_noted(workspace, tmp_path):
    nested = {f"n{n} _*": [{"a": 1}] * 3 for n in range(10)}
    report = workspace.import_vectors("mine", parquet(tmp_path / "x.parquet", **nested, plain=[1, 2, 3]))
    [note] = report.notes
    assert note.startswith("10 columns were left out: n0 _*, n1 _*") and " and 2 more. At most 32" in note
    assert sum(dict(item.metadata)["plain"] for item in workspace.store.all_items("mine", "text")) == 6


def test_a_remake_keeps_metadata(workspace):
    lend(workspace)
    workspace.ingest("mine", sources([folder_with_columns(workspace.settings.data_dir / "in")]), choice=OLD)
    before = said_of(workspace)
    workspace.reembed("mine", NEW)
    assert workspace.store.info("mine").made_by.model == "new" and said_of(workspace) == before
    assert before["picture number 1"] == (("author", "B"), ("year", 2001))


def folder_with_columns(folder: Path, count: int = 3) -> Path:
    generated_photos(folder, count)
    lines = [
        {"file_name": f"{n:04}.jpg", "caption": f"picture number {n}", "label": "x", "author": "ABC"[n]}
        | {"year": 2000 + n, "boxes": {"a": [1]}, "none": None, "nan": float("nan")}
        for n in range(count)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_both_items_of_a_captioned_picture_have_what_the_list_says(workspace, tmp_path):
    report = workspace.ingest("mine", sources([folder_with_columns(tmp_path / "in")]))
    assert (report.stored, report.failed) == (6, ())
    for modality in ("text", "image"):
        found = {item.name: item.metadata for item in workspace.store.all_items("mine", modality)}
        assert found["0002.jpg"] == (("author", "C"), ("year", 2002))
    nearest = workspace.store.query("mine", "image", workspace.store.vectors("mine", "image").vectors[0], 3)
    assert all(len(item.metadata) == 2 for item, _ in nearest)


def test_a_csv_of_captions_has_columns_of_one_type(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "b.jpg").write_bytes(jpeg(2))
    text = 'file_name,caption,label,year,code,"a\nb"\na.jpg,12,3,1999,007,\nb.jpg,x,4,,8,true,spare\n'
    (tmp_path / "metadata.csv").write_text(text)
    found = from_files({path.name: path for path in tmp_path.iterdir()}, max_file_bytes=10**6)
    said = {source.name: (source.captions, source.labels, source.metadata) for source in found.sources}
    assert found.failed == () and said == {
        "a.jpg": (("12",), ("3",), (("code", "007"), ("year", 1999))),
        "b.jpg": (("x",), ("4",), (("a b", True), ("code", "8"))),
    }


def test_a_list_of_10_000_columns_keeps_32_and_says_so(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    rows = [
        {"file_name": "a.jpg", **{f"c{n}": n for n in range(5_000)}},
        {"file_name": "a.jpg", **{f"d{n}": n for n in range(5_000)}, "c0": "later"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = from_files({path.name: path for path in tmp_path.iterdir()}, max_file_bytes=10**6)
    assert found.notes[1].startswith(
        f"metadata.jsonl: {10_000 - MAX_COLUMNS:,} columns were left out: c32, c33"
    )
    assert len(found.sources[0].metadata) == MAX_COLUMNS and dict(found.sources[0].metadata)["c0"] == 0


def test_a_ledger_without_metadata_opens_as_before(tmp_path):
    table = unit_table(1)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.set_provenance("old", MADE_BY)
    [item] = plain_items(table, labels=("a",))
    ledger.put("old", [item], table)
    assert ledger.get("old", "image", table.ids)[0] == [item] and ledger.metadata_types("old") == {}
    ledger.close()


def test_the_map_writes_columns_that_an_import_reads(workspace, tmp_path):
    table = unit_table(3)
    said = [metadata_of([("x", 1), ("placed", "yes"), ("name", "n")]), (("=1+1", "=2"), ("score", 1.5)), ()]
    items = [replace(item, metadata=one) for item, one in zip(plain_items(table), said, strict=True)]
    places = Projection(table.ids, np.zeros((3, 2), np.float32), np.zeros(3, bool), "pca")
    (tmp_path / "x.parquet").write_bytes(to_parquet(items, table, places))
    rows, _ = rows_of(tmp_path / "x.parquet")
    assert [row.metadata for row in rows] == said and VectorFile(tmp_path / "x.parquet").left_out == ()
    head, *lines = csv.reader(io.StringIO(to_csv(items, places).decode("utf-8-sig")))
    assert head[-5:] == ["'=1+1", "meta.name", "meta.placed", "score", "meta.x"]
    assert [line[-5:] for line in lines] == [["", "n", "yes", "", "1"], ["'=2", "", "", "1.5", ""], [""] * 5]
