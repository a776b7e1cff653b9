"""Proves what is taken for a caption, a label or a column, and that whatever is not is told in one line."""

import json
from pathlib import Path

import pytest

from engine.datasets import table_formats
from engine.datasets.cells import MAX_CAPTION_CHARS
from engine.datasets.columns import Choices
from engine.datasets.entries import Entry
from engine.datasets.listing import list_folder
from engine.datasets.plan import Plan, understand
from engine.datasets.tables import Table
from engine.errors import UnreadableMediaError

Files = dict[str, str | bytes]


def plan_of(folder: Path, files: Files, choices: Choices | None = None) -> Plan:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return understand(list_folder(folder), choices, max_file_bytes=1_000_000)


def captions(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {source.name: source.captions for source in plan.sources}


def labels(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {source.name: source.labels for source in plan.sources}


def reasons(plan: Plan) -> list[str]:
    return [failure.reason for failure in plan.failed]


TWO: Files = {"a.jpg": b"A", "b.jpg": b"B"}


# Before anything is read


def test_files_of_no_kind_that_is_read_and_empty_ones_are_named_before(tmp_path):
    odd: Files = {
        "brief.docx": "d",
        "v/video.MP4": "v",
        "empty.jpg": b"",
        "note.md": "n",
        "LIST": "l",
        "b.jpe": b"B",
    }
    plan = plan_of(tmp_path, odd)
    assert plan.files == 6 and plan.notes == (
        "2 files do not look like pictures, texts or tables by their names (brief.docx, video.MP4): "
        "each is tried, and named if it cannot be read.",
        "1 file is empty (empty.jpg).",
    )
    [note] = plan_of(tmp_path / "one", {"brief.docx": "d"}).notes
    assert note.startswith("1 file does not look like a picture, text or table by its name (brief.docx): it ")
    several = plan_of(tmp_path / "more", {f"{n}.bin": b"x" for n in range(4)} | {"x.txt": b"", "y.txt": b""})
    assert several.notes[0].startswith("4 files do not look like")
    assert (
        "(0.bin, 1.bin, 2.bin, …)" in several.notes[0]
        and several.notes[1] == "2 files are empty (x.txt, y.txt)."
    )


# Folders


def test_class_folders_give_labels_a_split_and_names_with_their_folders(tmp_path):
    plan = plan_of(tmp_path, {"train/cat/1.jpg": b"1", "test/dog/1.jpg": b"2"})
    assert {one.name: (one.labels, one.metadata) for one in plan.sources} == {
        "test/dog/1.jpg": (("dog",), (("split", "test"),)),
        "train/cat/1.jpg": (("cat",), (("split", "train"),)),
    }
    assert plan.layouts == (
        "Folders are labels: cat (1), dog (1).",
        "Folders are splits, kept as column split: test (1), train (1).",
    )


@pytest.mark.parametrize(
    "split", ["train", "Test", "val", "valid", "validation", "dev", "train2017", "val_set"]
)
def test_names_of_splits(tmp_path, split):
    plan = plan_of(tmp_path, {f"{split}/x/1.jpg": b"1", f"{split}/y/2.jpg": b"2"})
    assert set(labels(plan).values()) == {("x",), ("y",)}
    found = split.lower().removesuffix("2017").removesuffix("_set")
    assert {source.metadata for source in plan.sources} == {(("split", found),)}


def test_classes_with_splits_inside_them_and_places_around_them(tmp_path):
    files = {f"my set/{kind}/{split}/1.jpg": b"1" for kind in ("x", "y") for split in ("train", "test")}
    assert sorted(labels(plan_of(tmp_path / "a", files)).values()) == [("x",), ("x",), ("y",), ("y",)]
    files = {f"{split}/images/{kind}/1.jpg": b"1" for kind in ("x", "y") for split in ("train", "test")}
    assert sorted(labels(plan_of(tmp_path / "b", files)).values()) == [("x",), ("x",), ("y",), ("y",)]


NO_CLASSES = {
    "dates": ["2023-05-01/1.jpg", "2023-05-02/2.jpg"],
    "months": ["2023/05/1.jpg", "2023/06/2.jpg"],
    "a camera's card": ["DCIM/100CANON/1.jpg", "DCIM/101CANON/2.jpg"],
    "places": ["images/1.jpg", "thumbnails/2.jpg"],
    "shards": ["00000/000000001.jpg", "00001/000010002.jpg"],
    "a fan-out of hashes": ["a1/a1f.jpg", "b2/b2e.jpg"],
    "different depths": ["cat/1.jpg", "dog/2.jpg", "3.jpg"],
    "single pictures": [f"item {n}/photo.jpg" for n in range(30)],
}


@pytest.mark.parametrize("kind", NO_CLASSES)
def test_folders_that_are_no_classes_are_told_and_can_be_chosen(tmp_path, kind):
    files: Files = dict.fromkeys(NO_CLASSES[kind], b"x")
    plan = plan_of(tmp_path, files)
    assert plan.labelled == 0
    [note] = plan.notes
    assert note.startswith("Folders are not taken as labels: ")
    chosen = understand(list_folder(tmp_path), Choices(folder_labels=True), max_file_bytes=10)
    assert chosen.labelled == len(files) - (kind == "different depths") and chosen.notes == ()


@pytest.mark.parametrize("names", [["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"], ["x/y/1.jpg"]])
def test_a_single_folder_is_no_class_and_needs_no_word(tmp_path, names):
    plan = plan_of(tmp_path, dict.fromkeys(names, b"x"))
    assert (plan.labelled, plan.notes, plan.layouts) == (0, (), ())


def test_folders_beside_a_table_are_no_labels_unless_chosen(tmp_path):
    files: Files = {"cat/1.jpg": b"1", "dog/2.jpg": b"2", "metadata.csv": "file_name,text\ncat/1.jpg,one\n"}
    plan = plan_of(tmp_path, files)
    assert plan.labelled == 0
    assert plan.notes == ("Folders are not taken as labels: a table says what the pictures are.",)
    chosen = understand(list_folder(tmp_path), Choices(folder_labels=True), max_file_bytes=10)
    assert labels(chosen) == {"cat/1.jpg": ("cat",), "dog/2.jpg": ("dog",)}


def test_labels_of_folders_can_be_turned_off(tmp_path):
    plan = plan_of(tmp_path, {"cat/1.jpg": b"1", "dog/2.jpg": b"2"}, Choices(folder_labels=False))
    assert (plan.labelled, plan.notes) == (0, ())


# Files of the same name


def test_files_called_like_a_picture_say_what_it_is(tmp_path):
    said = {"caption": "words", "url": "http://x", "width": 3, "exif": {"a": 1}, "nothing": None}
    plan = plan_of(
        tmp_path,
        {
            "a.jpg": b"A", "a.txt": "words", "a.json": json.dumps(said), "b.JPG": b"B", "b.jpg.txt": "of b",
            "c.png": b"C", "c.cls": "7", "c.caption": "of c", "d.jpg": b"D", "d.txt": "  ",
            "notes.txt": "a note",
        },
    )  # fmt: skip
    assert captions(plan) == {
        "a.jpg": ("words",), "b.JPG": ("of b",), "c.png": ("of c",), "d.jpg": (), "notes.txt": ()
    }  # fmt: skip
    assert labels(plan)["c.png"] == ("7",)
    assert plan.sources[0].metadata == (("url", "http://x"), ("width", 3))
    assert {(one.name, one.use) for one in plan.columns} == {
        ("caption", "caption"), ("url", "column"), ("width", "column"), ("exif", "left out"),
        ("nothing", "column"),
    }  # fmt: skip
    assert (plan.failed, plan.left_out) == ((), ())
    assert plan.layouts[0].startswith("4 pictures have files of the same name beside them, which say ")
    assert {one.tables for one in plan.columns} == {("files beside pictures",)}


def test_texts_in_a_folder_beside_that_of_the_pictures(tmp_path):
    files: Files = {"images/x/1.jpg": b"1", "images/x/2.jpg": b"2", "captions/x/1.txt": "one. \nTwo!\n\n"}
    plan = plan_of(tmp_path, files | {"captions/x/3.txt": "of no picture"})
    assert captions(plan) == {"1.jpg": ("one.", "Two!"), "2.jpg": (), "3.txt": ()}


def test_a_text_of_several_lines_is_one_caption_unless_all_are_sentences(tmp_path):
    plan = plan_of(tmp_path, TWO | {"a.txt": "A house\nby the sea.", "b.txt": "A house.\r\n A sea.\r\n"})
    assert captions(plan) == {"a.jpg": ("A house\nby the sea.",), "b.jpg": ("A house.", "A sea.")}


def test_boxes_and_arrays_beside_pictures_are_left_out_and_counted(tmp_path):
    plan = plan_of(
        tmp_path,
        TWO
        | {
            "a.txt": "0 0.5 0.5 0.1 0.1\n1 .2 .3 1e-1 1\n",
            "b.txt": "2 1 1 1 1",
            "a.npy": b"x",
            "c.npy": b"x",
        },
    )
    assert set(captions(plan)) == {"a.jpg", "b.jpg", "c.npy"}
    assert sorted((one.count, one.examples) for one in plan.left_out) == [
        (1, ("a.npy",)), (2, ("a.txt", "b.txt"))
    ]  # fmt: skip


def test_what_cannot_be_read_beside_a_picture_is_named(tmp_path):
    plan = plan_of(tmp_path, TWO | {"a.json": "[1]", "b.json": "{broken", "a.txt": bytes(range(9))})
    assert [(failure.name, failure.reason) for failure in plan.failed] == [
        ("a.txt", "This is not text."),
        ("a.json", "This is not one JSON object."),
        ("b.json", "This is not one JSON object."),
    ]
    assert captions(plan) == {"a.jpg": (), "b.jpg": ()}


def test_texts_can_be_chosen_to_be_items(tmp_path):
    plan = plan_of(tmp_path, TWO | {"a.txt": "words"}, Choices(same_names=False))
    assert captions(plan) == {"a.jpg": (), "a.txt": (), "b.jpg": ()}


# Tables


@pytest.mark.parametrize(
    "header",
    ["file_name,caption", " File Name , Caption", "IMAGE;Text", "img\tSentence", "image-path|description",
     "Filename,TEXT", "path,alt text", "front_file_name,prompt", "whatever,caption"],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_headers_delimiters_and_encodings(tmp_path, header, encoding):
    delimiter = next(one for one in ",;\t|" if one in header)
    text = "\r\n".join([header, f"a.jpg{delimiter}Ein Café", f"b.jpg{delimiter}“so”"])
    plan = plan_of(tmp_path, TWO | {"list.csv": text.encode(encoding)})
    assert captions(plan) == {"a.jpg": ("Ein Café",), "b.jpg": ("“so”",)}
    assert (plan.failed, plan.notes) == ((), ())
    named = {"utf-8": "", "utf-8-sig": "", "cp1252": "Windows-1252"}.get(encoding, "UTF-16")
    assert f"read as {named}" in plan.layouts[0] if named else "read as" not in plan.layouts[0]


def test_a_list_without_a_header(tmp_path):
    plan = plan_of(tmp_path, TWO | {"list.csv": "a.jpg,3,one\nb.jpg,4,two\n"})
    assert captions(plan) == {"a.jpg": ("one",), "b.jpg": ("two",)}
    assert plan.sources[1].metadata == (("column 2", 4),)
    assert "without a header" in plan.layouts[0]


@pytest.mark.parametrize("nothing", ["", "nan", "NaN", "null", "None", "<NA>", " ", "n/a"])
def test_no_caption_in_a_cell_keeps_the_rest(tmp_path, nothing):
    table = f"image,caption,label,year\na.jpg,{nothing},cat,1999\nb.jpg,words,dog,\n"
    plan = plan_of(tmp_path, TWO | {"t.csv": table})
    assert {one.name: (one.captions, one.labels, one.metadata) for one in plan.sources} == {
        "a.jpg": ((), ("cat",), (("year", 1999),)),
        "b.jpg": (("words",), ("dog",), ()),
    }
    assert plan.failed == ()


@pytest.mark.parametrize("nothing", ["NaN", "null", "[]", '""', '[null, "nan"]'])
def test_no_caption_in_json_keeps_the_rest(tmp_path, nothing):
    plan = plan_of(tmp_path, TWO | {"t.jsonl": f'{{"image": "a.jpg", "caption": {nothing}, "label": 0}}'})
    assert (captions(plan)["a.jpg"], labels(plan)["a.jpg"], plan.failed) == ((), ("0",), ())


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("['a', 'b']", ("a", "b")),
        ('["a", "it\'s"]', ("a", "it's")),
        ("['a' 'b, c']", ("a", "b, c")),
        ("['one']", ("one",)),
        ("[]", ()),
        ("['a', None]", ("a",)),
        ("[1]", ("[1]",)),
        ("[unclear] words [more]", ("[unclear] words [more]",)),
        ("['broken", ("['broken",)),
        ("[" * 5000 + "]" * 5000, None),
    ],
)
def test_lists_that_pandas_writes_into_csv(tmp_path, cell, found):
    quoted = cell.replace('"', '""')
    plan = plan_of(tmp_path, TWO | {"t.csv": f'image,captions\na.jpg,"{quoted}"\nb.jpg,x\n'})
    assert captions(plan)["a.jpg"] == (found if found is not None else (cell[:MAX_CAPTION_CHARS],))


def test_several_columns_of_captions(tmp_path):
    row = {"file_name": "a.jpg", "caption_0": "one", "caption_1": "two", "text": "other words", "label": "x"}
    rows = [row | {"class_name": "y"}, {"file_name": "b.jpg", "text": "only this"}]
    files = TWO | {"t.jsonl": "\n".join(map(json.dumps, rows))}
    plan = plan_of(tmp_path, files)
    assert captions(plan) == {"a.jpg": ("one", "two"), "b.jpg": ("only this",)}
    assert plan.sources[0].metadata == (("class_name", "y"), ("text", "other words"))
    chosen = Choices(captions=("text", "caption_1"), labels=("class_name",), left_out=("label",))
    plan = understand(list_folder(tmp_path), chosen, max_file_bytes=10)
    assert captions(plan) == {"a.jpg": ("other words", "two"), "b.jpg": ("only this",)}
    assert (plan.sources[0].labels, plan.sources[0].metadata) == (("y",), (("caption_0", "one"),))
    assert ("label", "left out") in {(one.name, one.use) for one in plan.columns}


def test_no_captions_and_no_labels_can_be_chosen(tmp_path):
    files = TWO | {"t.csv": "image,text,label\na.jpg,words,x\n"}
    plan = plan_of(tmp_path, files, Choices(captions=(), labels=()))
    assert (plan.captions, plan.labelled) == (0, 0)
    assert plan.sources[0].metadata == (("label", "x"), ("text", "words"))


def test_the_column_of_files_can_be_chosen(tmp_path):
    files = TWO | {"t.csv": "image,original,text\na.jpg,b.jpg,words\n"}
    assert captions(plan_of(tmp_path, files))["a.jpg"] == ("words",)
    assert captions(plan_of(tmp_path, files, Choices(file="original")))["b.jpg"] == ("words",)


def test_columns_of_texts_are_named_where_none_is_called_as_captions_are(tmp_path):
    rows = "Datei;Beschreibung;Kategorie;split;Nummer\na.jpg;Ein Hund im Gras;Tier;train;3\n"
    files = TWO | {"liste.csv": rows}
    assert plan_of(tmp_path, files).notes == (
        "liste.csv: no column is called as captions are. Texts stand in Beschreibung, Kategorie: "
        "choose by hand if one of them holds captions.",
    )
    assert plan_of(tmp_path, files).layouts[0].endswith("describes 1 file: column Datei names the file.")
    chosen = plan_of(tmp_path, files, Choices(captions=("Beschreibung",)))
    assert (chosen.notes, chosen.captions) == ((), 1)
    assert plan_of(tmp_path, {"liste.csv": "image;split;Nummer\na.jpg;train;3\n"}).notes == ()


def test_a_table_of_files_that_are_not_there_describes_none(tmp_path):
    plan = plan_of(tmp_path, TWO | {"t.csv": "image,text\nx.jpg,words\n"})
    assert "describes none of these files: column image names the file" in plan.layouts[0]


def test_a_chosen_column_that_is_nowhere_is_told(tmp_path):
    files = TWO | {"t.csv": "image,text\na.jpg,words\n"}
    plan = plan_of(tmp_path, files, Choices(captions=("text", "title")))
    assert plan.notes == ("No table that was used has a column called title.",)
    assert captions(plan)["a.jpg"] == ("words",)


def test_a_table_that_names_no_files_gets_one_line(tmp_path):
    plan = plan_of(tmp_path, TWO | {"prices.csv": "item,price\n" + "x,1\n" * 1000})
    [reason] = reasons(plan)
    assert reason.startswith(
        "No column names a file, so nothing of this table is used. Columns found: item, price."
    )
    assert "Wanted is one called file_name, " in reason
    assert set(captions(plan)) == set(TWO)


def test_rows_of_missing_files_are_counted_in_one_line(tmp_path):
    lines = ["image,text", "a.jpg,words", *(f"{n}.jpg,x" for n in range(2000))]
    plan = plan_of(tmp_path, TWO | {"t.csv": "\n".join(lines)})
    assert captions(plan)["a.jpg"] == ("words",)
    assert reasons(plan) == [
        "2,000 lines (3, 4, 5, 6, 7 and 1,995 more): the file is not among the files: 0.jpg, 1.jpg, 2.jpg."
    ]


def test_a_name_that_several_files_have_is_told(tmp_path):
    files = {
        "x/1.jpg": b"1",
        "y/1.jpg": b"2",
        "z/2.jpg": b"3",
        "t.csv": "image,text\n1.jpg,which?\n2.jpg,this\n",
    }
    plan = plan_of(tmp_path, files)
    assert captions(plan) == {"x/1.jpg": (), "y/1.jpg": (), "2.jpg": ("this",)}
    assert reasons(plan) == ["Line 2: more than one file may be meant: 1.jpg."]


@pytest.mark.parametrize("closing", ["", '"later"'])
def test_a_quote_that_is_not_closed_costs_its_line_alone(tmp_path, closing):
    lines = ["image,caption", "a.jpg,one", 'x.jpg,"never closed', *["b.jpg,two"] * 20_000, f"a.jpg,{closing}"]
    plan = plan_of(tmp_path, TWO | {"t.csv": "\n".join(lines)})
    assert captions(plan) == {"a.jpg": ("one", *([closing.strip('"')] if closing else [])), "b.jpg": ("two",)}
    assert reasons(plan) == ["Line 3: a quote that is opened here is not closed."]


def test_a_table_full_of_unclosed_quotes_is_given_up_in_words(tmp_path):
    lines = ["image,caption", "a.jpg,one", *['b.jpg,"x'] * 10_000]
    plan = plan_of(tmp_path, TWO | {"t.csv": "\n".join(lines)})
    assert captions(plan)["a.jpg"] == ("one",) and len(plan.failed) == 2
    assert reasons(plan)[1] == "Line 23: the rest is not read: too many quotes are not closed."


def test_a_caption_with_commas_that_nobody_quoted_stays_whole(tmp_path):
    plan = plan_of(tmp_path, TWO | {"t.csv": "image,caption\na.jpg,red, green, and blue\nb.jpg,x,,\n"})
    assert captions(plan) == {"a.jpg": ("red, green, and blue",), "b.jpg": ("x",)}


def test_what_is_cut_is_noted(tmp_path):
    rows = [{"image": name, "text": "w" * 5000, "label": "l" * 200} for name in TWO]
    plan = plan_of(tmp_path, TWO | {"t.jsonl": "\n".join(map(json.dumps, rows))})
    assert plan.failed == () and plan.notes == (
        "t.jsonl: 2 lines (1, 2): the caption is longer than 2,000 characters and was cut: a.jpg, b.jpg.",
        "t.jsonl: 2 lines (1, 2): the label is longer than 100 characters and was cut: a.jpg, b.jpg.",
    )


def test_nested_columns_are_named(tmp_path):
    row = {"image": "a.jpg", "boxes": [{"x": 1}], "tags": ["s", "t"], "sizes": [3, 4], "none": []}
    plan = plan_of(tmp_path, TWO | {"t.json": json.dumps([row])})
    assert plan.sources[0].metadata == (("sizes", "3; 4"),) and plan.sources[0].labels == ("s", "t")
    assert plan.notes[0].startswith("t.json: 1 column was left out: boxes.")
    assert ("boxes", "left out") in {(one.name, one.use) for one in plan.columns}


JSON = {
    "list": [{"image": "a.jpg", "caption": "one"}],
    "object of a list": {"version": 1, "info": {"x": 1}, "data": [{"image": "a.jpg", "caption": "one"}]},
    "object of splits": {"train": [{"image": "a.jpg", "caption": "one"}], "test": [{"image": "b.jpg"}]},
    "by name": {"a.jpg": "one", "b.jpg": "two"},
    "by name, lists": {"a.jpg": ["one", "two"], "b.jpg": []},
    "by name, objects": {"a.jpg": {"caption": "one"}, "b.jpg": {"caption": "two"}},
    "COCO": {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "caption": "one"}],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", JSON)
def test_documents_of_json(tmp_path, kind):
    plan = plan_of(tmp_path, TWO | {"captions.json": json.dumps(JSON[kind])})
    assert captions(plan)["a.jpg"][0] == "one" and plan.failed == ()


def test_annotations_of_no_image_are_counted_in_one_line(tmp_path):
    said = [{"image_id": n, "caption": f"of {n}"} for n in (1, 7, 8, None)]
    said += [{"image_id": 9, "category_id": 0}, {"image_id": 9, "bbox": []}]
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": said}
    plan = plan_of(tmp_path, TWO | {"captions.json": json.dumps(coco)})
    assert captions(plan) == {"a.jpg": ("of 1",), "b.jpg": ()}
    assert reasons(plan) == ["4 rows (2, 3, 4, 5): the image_id of this annotation is not among the images."]


@pytest.mark.parametrize(
    "document", [{}, [], 3, {"x": "y"}, {"x": {"y": 1}}, [1, 2], {"model": {"layers": [1]}}]
)
def test_documents_that_list_nothing_are_left_out_and_named(tmp_path, document):
    plan = plan_of(tmp_path, TWO | {"config.json": json.dumps(document)})
    assert [(one.count, one.examples) for one in plan.left_out] == [(1, ("config.json",))]
    assert set(captions(plan)) == set(TWO) and plan.failed == ()


def test_a_table_that_is_too_large_is_named_with_the_limit_of_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.datasets.csv_tables.MAX_TABLE_BYTES", 1000)
    plan = plan_of(tmp_path, TWO | {"t.csv": "image,text\n" + "a.jpg,x\n" * 1000})
    assert reasons(plan) == ["The table has 0.008011 MB; tables of at most 100 MB are read."]


def test_a_table_that_breaks_off_keeps_what_was_read(tmp_path, monkeypatch):
    def rows():
        for number in range(1, 201):
            yield number, {"image": "a.jpg", "text": "words"}
        raise UnreadableMediaError("It breaks off here.")

    def breaking(entry: Entry) -> Table:
        return Table(entry, "CSV", ("image", "text"), rows)

    monkeypatch.setitem(table_formats._READERS, ".csv", breaking)
    plan = plan_of(tmp_path, TWO | {"t.csv": "x"})
    assert captions(plan)["a.jpg"] == ("words",)
    assert reasons(plan) == ["It breaks off here."]


def test_broken_json_is_named(tmp_path):
    plan = plan_of(tmp_path, TWO | {"x.json": "{broken", "y.jsonl": '[{"image": "a.jpg", "text": "A"}]'})
    assert [(one.name, one.reason) for one in plan.failed] == [("x.json", "This is not JSON.")]
    assert captions(plan)["a.jpg"] == ("A",)
