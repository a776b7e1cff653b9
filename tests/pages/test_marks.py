"""Marking hits on the Search page, and the counts, export and import of a collection's judgements."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from engine.evaluation.judgements import qid_of
from tests.helpers.data import real_photos
from tests.helpers.pages import marks, page, words, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
VIEW = """
from pages.ui import frame, resources
from pages.ui.evaluate import judgements
workspace, _ = resources.opened()
with frame.errors():
    judgements.draw(workspace, "photos")
"""


@pytest.fixture
def photos(app_folder: Path) -> None:
    folder = app_folder / "real"
    fill(app_folder, real_photos(folder, 6))


def view() -> AppTest:
    return AppTest.from_string(VIEW, default_timeout=240).run()


def first_hit(app: AppTest) -> str:
    key = next(button.key for button in app.button if (button.key or "").startswith("right_hit_"))
    return key.rsplit("_", 1)[1]


def press(app: AppTest, what: str, item: str) -> AppTest:
    done = app.button(key=f"{what}_hit_{item}").click().run()
    assert not done.exception and not done.error
    return done


def test_a_hit_is_marked_changed_and_taken_back(photos):
    app = page("pages/1_Search.py", q="  a  bird ")
    assert "Mark hits as right or wrong" in words(app)
    item = first_hit(app)
    app = press(app, "right", item)
    assert "1 marked right, 0 wrong for this question" in words(app)
    assert app.button(key=f"right_hit_{item}").label == "Right"
    assert "Press again to undo" in app.button(key=f"right_hit_{item}").help
    assert "Counts in Evaluate" in app.button(key=f"wrong_hit_{item}").help
    assert [(one.question, one.item, one.relevance) for one in marks().of("photos")] == [("a bird", item, 1)]
    app = press(app, "wrong", item)
    assert "0 marked right, 1 wrong" in words(app)
    app = press(app, "wrong", item)
    assert marks().of("photos") == [] and "Mark hits as right or wrong" in words(app)
    assert app.text_input(key="q").value.strip() == "a  bird"  # nothing else changed


def test_marks_are_of_their_question_and_stay(photos):
    app = page("pages/1_Search.py", q="a bird")
    item = first_hit(app)
    press(app, "right", item)
    assert "Mark hits as right" in words(page("pages/1_Search.py", q="a castle"))
    assert "1 marked right" in words(page("pages/1_Search.py", q="a bird"))


def test_a_picture_and_an_item_are_questions_too(photos, app_folder):
    app = page("pages/1_Search.py", q="a bird")
    item = first_hit(app)
    app = page("pages/1_Search.py", like=item)
    other = first_hit(app)
    press(app, "right", other)
    assert marks().for_question("photos", f"item:{item}") == {other: 1}
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(out, "WEBP")
    name = hashlib.sha256(out.getvalue()).hexdigest()
    (app_folder / "questions").mkdir()
    (app_folder / "questions" / f"{name}.webp").write_bytes(out.getvalue())
    press(page("pages/1_Search.py", picture=name), "wrong", item)
    assert marks().for_question("photos", f"image:{name}") == {item: 0}


def test_a_hit_that_is_gone_is_refused_in_words(photos):
    app = page("pages/1_Search.py", q="a bird")
    item = first_hit(app)
    workspace().ledger.delete("photos", [item])
    app = app.button(key=f"right_hit_{item}").click().run()
    assert not app.exception
    assert "holds no item" in app.error[0].value and "search again" in app.error[0].value
    assert not app.run().error  # said once


def test_the_library_has_no_marks(photos):
    app = page("pages/6_Library.py", browse="photos")
    keys = [button.key or "" for button in app.button]
    assert any(key.startswith("open_item_") for key in keys)
    assert not any(key.startswith(("right_", "wrong_")) for key in keys)


def test_the_counts_the_export_and_an_import(photos):
    app = view()
    assert "Nothing is judged yet" in words(app) and not app.get("download_button")
    bird = workspace().ledger.ids("photos", "image")[0]
    app.file_uploader[0].upload("qrels.txt", f"7 0 {bird} 1\n7 0 nobody.jpg 1\n".encode(), "text/plain")
    app.file_uploader[1].upload("topics.tsv", b"7\ta bird\n", "text/plain").run()
    app = app.button(key="qrels_import").click().run()
    assert "line 2: there is no item “nobody.jpg”" in app.error[0].value.replace("\\", "")
    assert marks().of("photos") == []
    app.checkbox(key="qrels_skip_unknown").check()
    app = app.button(key="qrels_import").click().run()
    assert not app.exception and not app.error
    assert app.success[0].value == "1 judgement of 1 question imported."
    assert "1 line skipped: line 2" in words(app)
    assert "1 judgement of 1 question: 1 right, 0 wrong." in words(app)
    assert app.get("download_button") and app.file_uploader[0].value is None
    assert marks().for_question("photos", "a bird") == {bird: 1}


def test_a_malformed_file_is_one_sentence_and_no_markup(photos):
    app = view()
    text = f"{qid_of('x')} 0 <img src=x>\n[link](http://x) 0 d 1\n"
    app.file_uploader[0].upload("qrels.txt", text.encode(), "text/plain").run()
    app = app.button(key="qrels_import").click().run()
    assert not app.exception
    [error] = app.error
    assert "line 1: the relevance “src=x>” is not a number" in error.value.replace("\\", "")
    assert "line 2" not in error.value  # an unknown id is another matter than a line that cannot be read
    app.file_uploader[0].set_value(("qrels.txt", b"[link](http://x) 0 d 1\n", "text/plain")).run()
    app = app.button(key="qrels_import").click().run()
    assert r"\[link\]\(http" in app.error[0].value
