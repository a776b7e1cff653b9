"""The Library page shows what it understood of an upload before it starts; columns are chosen by hand."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.data import jpeg
from tests.helpers.pages import LIBRARY, page, settled, words

pytestmark = pytest.mark.usefixtures("app_folder")
TABLE = b"bild;satz;art;menge\na.jpg;ein Hund;dog;train\nb.jpg;eine Katze;cat;test\n"


def dropped(*files: tuple[str, bytes]) -> AppTest:
    app = page(LIBRARY)
    app.file_uploader(key="upload_0").set_value(
        [(name, data, "application/octet-stream") for name, data in files]
    )
    app.run()
    assert not app.exception
    return app


def shown(app: AppTest, column: str) -> list[dict[str, object]]:
    """Return the rows of the first table that has a column of this name."""
    return next(one.value for one in app.dataframe if column in one.value.columns).to_dict("records")


def stored(collection: str):
    from pages.ui import resources

    workspace = resources.boot().workspace
    return workspace.store.items(collection, "image", limit=10)


def chooser(app: AppTest, kind: str, label: str):
    return next(one for one in getattr(app, kind) if one.label == label)


def test_an_upload_is_told_before_it_starts_and_counted_after():
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in (("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)), (".DS_Store", b"x"), ("README.md", b"x")):
            file.writestr(name, data)
        file.writestr("metadata.csv", "file_name,text,label\na.jpg,a red bird,bird\nnone.jpg,x,y\n")
    app = dropped(("all.zip", archive.getvalue()))
    said = words(app)
    assert "Understood: 2 files, 1 captions, 1 with one of 1 labels" in said
    assert "metadata.csv" in said and "describes 1 file: " in said
    assert shown(app, "captions")[0] == {
        "file": "a.jpg",
        "captions": "a red bird",
        "labels": "bird",
        "columns": "",
    }
    assert {row["such as"] for row in shown(app, "count")} == {".DS_Store", "README.md"}
    assert "none.jpg" in "".join(str(one.value.to_dict()) for one in app.dataframe)
    app = settled(app.button(key="add").click().run())
    assert "Done: 3 items stored, 0 were already there, 1 failed, 2 left out" in words(app)
    assert app.file_uploader(key="upload_1").value == []


def test_columns_that_no_rule_knows_are_chosen_by_hand():
    app = dropped(("a.jpg", jpeg(3)), ("b.jpg", jpeg(4)), ("t.csv", TABLE))
    chooser(app, "selectbox", "File").set_value("bild")
    chooser(app, "multiselect", "Captions").set_value(["satz"])
    chooser(app, "multiselect", "Labels").set_value(["art"])
    chooser(app, "selectbox", "Split").set_value("menge")
    app.run()
    assert "Understood: 2 files, 2 captions, 2 with one of 2 labels" in words(app)
    assert shown(app, "captions")[1] == {
        "file": "b.jpg",
        "captions": "eine Katze",
        "labels": "cat",
        "columns": "split: test",
    }
    app.text_input(key="new_name").set_value("by-hand")
    app = settled(app.button(key="add").click().run())
    assert "Done: 4 items stored" in words(app)
    assert {(one.caption, one.labels, one.metadata) for one in stored("by-hand")} == {
        ("ein Hund", ("dog",), (("split", "train"),)),
        ("eine Katze", ("cat",), (("split", "test"),)),
    }


def test_another_upload_takes_the_place_of_one_that_was_not_added():
    from pages.ui import resources

    app = dropped(("a.jpg", jpeg(5)))
    folder = resources.boot().jobs._folder._path
    assert len(list(folder.iterdir())) == 1
    app.file_uploader(key="upload_0").set_value(
        [("b.jpg", jpeg(6), "image/jpeg"), ("c.jpg", jpeg(7), "image/jpeg")]
    )
    app.run()
    assert "Understood: 2 files" in words(app)
    assert len(list(folder.iterdir())) == 1


def test_a_folder_of_the_server_is_looked_at_and_added_with_the_columns_chosen(tmp_path, monkeypatch):
    folder = tmp_path / "allowed" / "set"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg(8))
    (folder / "b.jpg").write_bytes(jpeg(9))
    (folder / "t.csv").write_bytes(TABLE)
    (folder / "lost.jpg").symlink_to("/nowhere")
    monkeypatch.setenv("GAPSCOPE_INGEST_DIR", str(tmp_path / "allowed"))
    app = page(LIBRARY)
    app.text_input(key="server_folder").set_value("set")
    app.button(key="look_at_folder").click().run()
    assert "Understood: 2 files, 0 captions" in words(app)
    assert shown(app, "count")[0]["such as"] == "lost.jpg"
    chooser(app, "multiselect", "Captions").set_value(["satz"])
    assert "Understood: 2 files, 2 captions" in words(app.run())
    app.text_input(key="new_name").set_value("server")
    app = settled(app.button(key="add_folder").click().run())
    assert "Done: 4 items stored" in words(app) and "1 left out" in words(app)
    assert sorted(one.caption for one in stored("server")) == ["ein Hund", "eine Katze"]


def test_of_many_files_some_are_shown_spread_over_all():
    app = dropped(*((f"{number:02}.jpg", jpeg(30 + number)) for number in range(18)))
    assert "10 of 18 files, spread over all" in words(app)
    assert [row["file"] for row in shown(app, "captions")] == [
        f"{number:02}.jpg" for number in (0, 1, 3, 5, 7, 9, 10, 12, 14, 16)
    ]
    assert "spread over all" not in words(dropped(("a.jpg", jpeg(30))))


def test_where_nothing_can_be_taken_it_is_said_and_there_is_nothing_to_press(tmp_path, monkeypatch):
    (tmp_path / "allowed" / "empty").mkdir(parents=True)
    monkeypatch.setenv("GAPSCOPE_INGEST_DIR", str(tmp_path / "allowed"))
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("README.md", "x")
    app = dropped(("all.zip", archive.getvalue()))
    assert app.button(key="add").disabled
    assert "Nothing here can be taken: 1 left out and 1 not readable. The reasons" in words(app)
    app.text_input(key="server_folder").set_value("empty")
    app.button(key="look_at_folder").click().run()
    assert app.button(key="add_folder").disabled
    assert {"file": "empty", "reason": "The folder holds no files."} in [
        row for one in app.dataframe for row in one.value.to_dict("records")
    ]
    assert not dropped(("a.jpg", jpeg(30))).button(key="add").disabled


def test_a_picture_opens_with_all_its_captions_up_to_twenty():
    table = "file_name,caption\n" + "".join(f"a.jpg,caption number {row}\n" for row in range(23))
    app = dropped(("a.jpg", jpeg(11)), ("b.jpg", jpeg(12)), ("birds.csv", table.encode()))
    app = settled(app.button(key="add").click().run())
    captioned, other = sorted(stored("birds"), key=lambda one: one.name)
    said = words(app.button(key=f"open_item_{captioned.id}").click().run()).splitlines()
    assert [line for line in said if line.startswith("caption number")] == [
        f"caption number {row}" for row in range(20)
    ]
    assert "and 3 more captions" in said
    assert "caption number 0" not in words(app.button(key=f"open_item_{other.id}").click().run())


def test_many_failures_are_a_few_lines():
    def draw() -> None:
        from engine.types import Failure, LeftOut
        from pages.ui.counted import say_failed

        first = tuple(Failure("t.csv", f"Line {number}: this is no row.") for number in range(100))
        say_failed(first, (LeftOut("this is no row.", 134_469, ("t.csv",)),))

    app = AppTest.from_function(draw).run()
    assert [one.label for one in app.expander] == ["134,469 failed"]
    kinds, one_by_one = (one.value for one in app.dataframe)
    assert kinds.to_dict("records") == [{"count": 134_469, "reason": "this is no row.", "such as": "t.csv"}]
    assert len(one_by_one) == 100
