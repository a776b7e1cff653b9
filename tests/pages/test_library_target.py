"""The Library page puts an upload into a new collection, named after it, unless somebody chose otherwise."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.target import NEW, suggested
from tests.helpers.data import jpeg, real_photos
from tests.helpers.pages import LIBRARY, page, settled
from tests.helpers.workspaces import fill


def give(app: AppTest, name: str, data: bytes, round_: int = 0) -> AppTest:
    app.file_uploader(key=f"upload_{round_}").set_value([(name, data, "application/octet-stream")])
    app = app.run()
    assert not app.exception
    return app


def zipped() -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.jpg", jpeg(21))
    return archive.getvalue()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (["Flickr 8k (small).zip"], "Flickr-8k-small"),
        (["birds.tar.gz", "a.jpg"], "birds"),
        (["a.jpg", "b.jpg", "Größen.csv"], "Grossen"),
        (["Urlaub 2023/a.jpg", "Urlaub 2023/b/c.jpg"], "Urlaub-2023"),
        (["set/", "other/"], "my-photos"),
        (["a.jpg", "b.jpg"], "my-photos"),
        (["写真.zip"], "my-photos"),
        (["a.jpg", "metadata.csv"], "my-photos"),
        (["a..b.zip"], "a.b"),
        (["x" * 80 + ".zip"], "x" * 60),
        (["samples.zip"], "samples-2"),
        (["dogs.zip"], "dogs-3"),
        ([], "my-photos"),
    ],
)
def test_a_name_is_suggested_that_a_collection_can_have(given, name):
    from engine.storage.chroma import check_name

    assert suggested(given, {"samples", "dogs", "dogs-2"}) == check_name(name)


@pytest.mark.usefixtures("app_folder")
def test_an_upload_goes_into_a_new_collection_unless_the_visitor_chose_otherwise(
    app_folder, tmp_path_factory
):
    fill(app_folder, real_photos(tmp_path_factory.mktemp("given"), 1))  # into "photos"
    app = page(LIBRARY)
    assert app.selectbox(key="target").value == NEW and app.text_input(key="new_name").value == "my-photos"
    app = give(app, "photos.zip", zipped())
    assert app.selectbox(key="target").value == NEW and app.text_input(key="new_name").value == "photos-2"
    app.text_input(key="new_name").set_value("mine").run()
    app = give(app, "other.zip", zipped())
    assert app.text_input(key="new_name").value == "mine"  # typed by hand
    app.selectbox(key="target").select("photos").run()
    app = app.switch_page("pages/7_Models.py").run().switch_page(LIBRARY).run()
    assert app.selectbox(key="target").value == "photos" and not app.exception


@pytest.mark.usefixtures("app_folder")
def test_a_name_that_is_on_its_way_is_not_suggested_again():
    app = give(page(LIBRARY), "birds.zip", zipped())
    assert app.text_input(key="new_name").value == "birds"
    app = app.button(key="add").click().run()
    assert app.text_input(key="new_name").value == "my-photos"
    assert give(app, "birds.zip", zipped(), 1).text_input(key="new_name").value == "birds-2"


@pytest.mark.usefixtures("app_folder")
def test_what_was_added_is_shown_below_and_one_click_away(app_folder, tmp_path_factory):
    fill(app_folder, real_photos(tmp_path_factory.mktemp("given"), 1), "a-first")
    app = page(LIBRARY)
    assert app.selectbox(key="browse").value == "a-first"
    app = settled(give(app, "my_birds.zip", zipped()).button(key="add").click().run())
    assert app.selectbox(key="browse").value == "my_birds"
    links = [(link.proto.label, link.proto.query_string) for link in app.get("page_link")]
    assert ("Search it", "collection=my_birds") in links
    app.selectbox(key="browse").select("a-first").run()
    app = settled(give(app, "more.zip", zipped(), 1).button(key="add").click().run())
    assert app.selectbox(key="browse").value == "a-first"  # chosen by hand
    [opens] = [button for button in app.button if button.label.replace("\\", "") == "Open my_birds"]
    app = opens.click().run()
    assert app.selectbox(key="browse").value == "my_birds" and not app.exception
