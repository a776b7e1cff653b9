"""The Library page takes a file of vectors, shows what became of it, and what an item's other columns say."""

from __future__ import annotations

import io
import re
from html import unescape

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from tests.helpers.data import jpeg, real_photos, unit_table
from tests.helpers.pages import LIBRARY, page, settled, words
from tests.helpers.vector_files import NAN, TWICE, vector_file
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")


def uploaded(name: str, data: bytes) -> AppTest:
    """Upload a file of vectors, and return the page that shows it."""
    app = page(LIBRARY)
    app.file_uploader(key="vectors_0").set_value((name, data, "application/octet-stream"))
    app = app.run()
    assert not app.exception
    return app


def pressed(name: str, data: bytes, *, skip_bad: bool = False, collection: str = "mine") -> AppTest:
    """Upload a file of vectors and press the button."""
    app = page(LIBRARY)
    assert app.button(key="import").disabled
    app.file_uploader(key="vectors_0").set_value((name, data, "application/octet-stream"))
    app.text_input(key="vectors_name").set_value(collection)
    app.text_input(key="vectors_label").set_value("CLIP <b>")
    app.checkbox(key="vectors_skip_bad").set_value(skip_bad)
    return app.run().button(key="import").click().run()


def give(name: str, data: bytes, **options: bool) -> AppTest:
    """Upload a file of vectors, and return the page once its job has ended."""
    return settled(pressed(name, data, **options))


def links(app: AppTest) -> list[tuple[str, str]]:
    return [(link.proto.label, link.proto.query_string) for link in app.get("page_link")]


def test_uploaded_vectors_become_a_collection_one_click_from_its_map():
    app = give("my clip.npz", vector_file().getvalue())
    assert not app.error and "Done: 6 items stored" in words(app)
    assert "imported: CLIP <b>" in words(app)
    assert ("Open the map", "collection=mine") in links(app)
    assert "Files larger than 1,000 MB: `python -m engine import`" in "".join(
        one.value for one in app.caption
    )


def test_notes_of_an_import_are_shown():
    given = vector_file(2, modality=["image", "image"], media_path=["/etc/hostname", ""])
    app = give("x.npz", given.getvalue())
    assert "media_path of 1 rows of kind image was not read" in words(app)


def test_bad_rows_refuse_the_file_until_they_are_left_out():
    app = give("x.npz", vector_file(id=TWICE).getvalue())
    [error] = app.error
    assert "2 rows are bad of 6, and nothing was imported" in error.value
    [again] = [button for button in app.button if button.label == "Skip bad rows"]
    app = settled(again.click().run())
    assert not app.error and "Done: 4 items stored, 0 were already there, 2 failed" in words(app)
    assert "row 1 has the same one" in app.dataframe[0].value["reason"][0]


def test_bad_rows_are_left_out_by_the_checkbox():
    app = give("x.npz", vector_file(id=TWICE).getvalue(), skip_bad=True)
    assert not app.error and "2 failed" in words(app)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "it is empty"), (jpeg(1), "neither Parquet nor NPZ"), (b"PAR1 no", "cannot be read")],
)
def test_what_is_no_file_of_vectors_is_refused_in_words(data, says):
    app = uploaded("x.parquet", data)
    [error] = app.error
    assert says in error.value and "unexpected" not in words(app) and app.button(key="import").disabled


def box(app: AppTest, role: str) -> Selectbox:
    [found] = [one for one in app.selectbox if (one.key or "").startswith(f"vectors_as_{role}_")]
    return found


def test_columns_are_shown_and_chosen_before_anything_is_stored():
    given = vector_file(
        id=None, modality=None, key=[f"k{n}" for n in range(6)], embedding=NAN, words=list("abcdef")
    )
    app = uploaded("x.npz", given.getvalue())
    assert app.button(key="import").disabled and "could each be the vector" in app.warning[0].value
    assert box(app, "id").value is None and box(app, "vector").value is None
    box(app, "vector").set_value("vector")
    box(app, "id").set_value("key")
    box(app, "text").set_value("words")
    box(app, "modality").set_value("no column: all are image")
    app.run()
    assert not app.warning and "6 rows of 8 numbers; shown are the first 6." in words(app)
    shown = app.dataframe[0].value
    assert list(shown) == ["vector: vector", "key: id", "embedding: left out", "words: text"]
    assert shown["key: id"][1] == "k1" and shown["vector: vector"][0].endswith("… (8)")
    app = settled(app.button(key="import").click().run())
    assert not app.error and "Done: 6 items stored" in words(app)
    assert "All rows are taken as image." in words(app) and "key as id, words as text" in words(app)


def test_codes_of_a_quantisation_are_imported_only_as_somebody_says():
    codes = np.random.default_rng(0).integers(-128, 128, size=(6, 48)).astype(np.int8)
    app = uploaded("x.npz", vector_file(vector=codes).getvalue())
    assert app.button(key="import").disabled and "codes of a quantisation" in app.warning[0].value
    app.selectbox(key="vectors_unpack").set_value("binary").run()
    assert not app.warning and "6 rows of 384 numbers" in words(app)
    app = settled(app.button(key="import").click().run())
    assert "Packed bits became 384 numbers a row, each 1 or -1." in words(app) and not app.error


def test_an_array_is_imported_with_the_table_beside_it():
    array = io.BytesIO()
    np.save(array, unit_table(3).vectors)
    app = uploaded("img_emb_0.npy", array.getvalue())
    assert box(app, "modality").value == "no column: all are image" and not app.button(key="import").disabled
    table = b"image_path,caption\na.jpg,one\nb.jpg,two\nc.jpg,three\n"
    app.file_uploader(key="vectors_table_0").set_value(("metadata_0.csv", table, "text/csv")).run()
    box(app, "id").set_value("image_path").run()
    assert box(app, "text").value == "caption" and "3 rows of 8 numbers" in words(app)
    app = settled(app.button(key="import").click().run())
    assert not app.error and "Done: 3 items stored" in words(app)


def test_a_name_that_cannot_be_is_refused_at_once():
    app = pressed("x.npz", vector_file().getvalue(), collection="a/b")
    assert "cannot name a collection" in app.error[0].value


def test_an_item_shows_what_other_columns_say_as_plain_text():
    rows = {"year": [1999] * 6, "note": ["**bold** <b>x</b>"] * 6}
    app = give("x.npz", vector_file(**rows).getvalue())
    assert app.selectbox(key="target").options == ["New collection …"]  # no picture can go into these
    app.button(key=next(one.key for one in app.button if (one.key or "").startswith("open_item_"))).click()
    app.run()
    [known] = [
        body for block in app.get("html") if "gs-known" in (body := block.proto.body) and "<dl" in body
    ]
    said = dict(re.findall(r"<dt>(.*?)</dt><dd><bdi>(.*?)</bdi>", known))
    assert (said["year"], unescape(said["note"])) == ("1999", "**bold** <b>x</b>") and "size" not in said
    assert "<b>" not in known
    assert not app.exception and not app.error


def test_the_files_of_a_collection_are_written_fetched_and_deleted(app_folder, tmp_path_factory):
    from pages.ui import resources

    fill(app_folder, real_photos(tmp_path_factory.mktemp("given"), 3))
    app = page(LIBRARY, browse="photos")
    app.segmented_control(key="export_form").set_value(".parquet").run()
    app = settled(app.button(key="export_go").click().run())
    assert not app.error
    exports = resources.boot().workspace.exports
    [one] = exports.of("photos")
    said = words(app)
    assert "files with" in said and "it is below, under Export of the collection" in said
    assert f"{one.path.name}, " in said and str(one.path) in said
    assert [button.proto.label for button in app.get("download_button")].count("Download") == 1
    app.button(key="export_delete_.parquet").click().run()
    assert exports.of("photos") == [] and not app.exception
