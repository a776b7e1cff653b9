"""The playground as a page shows it, in Streamlit's test harness: choices, notes, errors, hostile text."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from engine.errors import ModelError
from engine.models.base import LoadedModel, ModelChoice
from engine.types import Provenance
from pages.ui.models import playground
from tests.helpers.data import jpeg
from tests.helpers.pages import explained_captions

POCKET = ModelChoice("pocket")
JUDGE = ModelChoice("org/judge")
SCRIPT = """
import streamlit as st
from pages.ui.models import playground
if not st.session_state.get("away"):
    playground.draw(*playground.stage)
"""


class Judge:
    """A reranker that reads the pairs it is told to, and scores by the length of the text."""

    def __init__(self, pairs=(("text", "image"),)):
        self.spec, self.pairs, self.calls = SimpleNamespace(id=JUDGE.id), pairs, 0

    def can_read(self, query, document):
        return (query, document) in self.pairs

    def score(self, query, documents):
        self.calls += 1
        assert all(isinstance(content, Image.Image) for kind, content in documents if kind == "image")
        return np.arange(len(documents), dtype=np.float32) - len(query[1])


@pytest.fixture
def play(workspace, monkeypatch):
    """Return a function that draws the playground with a reranker that stands in for a loaded one."""
    judge = Judge()

    @contextmanager
    def lend(choice, on_stage=lambda stage: None):
        yield judge

    resolve = workspace.models.loader.resolve
    loaded = LoadedModel(JUDGE, "reranker", Provenance(JUDGE.id, "1", 1), ("text", "image"), "cpu", 1, 1.0)
    listed = workspace.models.loaded.list
    monkeypatch.setattr(workspace.models, "reranker", lend)
    monkeypatch.setattr(workspace.models.loader, "resolve", lambda one: one if one == JUDGE else resolve(one))
    monkeypatch.setattr(workspace.models.loaded, "is_loaded", lambda one: True)
    monkeypatch.setattr(workspace.models.loaded, "list", lambda: [*listed(), loaded])

    def start(embedders=(POCKET,), rerankers=(JUDGE,)) -> AppTest:
        stage = (workspace, list(embedders), list(rerankers))
        monkeypatch.setattr(playground, "stage", stage, raising=False)
        return AppTest.from_string(SCRIPT, default_timeout=240).run()

    start.judge, start.workspace, start.loaded = judge, workspace, loaded
    return start


def charts(app: AppTest) -> list[dict]:
    assert not app.exception
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def html(app: AppTest) -> str:
    return "\n".join(block.proto.body for block in app.get("html") if "<style>" not in block.proto.body)


def words(app: AppTest) -> str:
    parts = [*app.info, *app.error, *app.warning, *app.caption, *app.text]
    read = [str(part.value).replace("\\", "") for part in parts]
    return "\n".join([*read, *explained_captions(app)])


def size(chart: dict) -> tuple[int, int]:
    layout = chart["layout"]
    return len(layout["yaxis"]["ticktext"]), len(layout["xaxis"]["ticktext"])


def test_it_opens_with_words_against_pictures_by_pocket(play):
    app = play()
    [chart] = charts(app)
    assert size(chart) == (7, 5)
    assert len(chart["layout"]["images"]) == 5
    assert "7 texts against 5 pictures · 35 pairs" in words(app)
    assert "Mean cosines: matching pairs" in words(app)
    assert "of 5</b> texts whose picture is here rank it first." in html(app)
    assert "<b>Cosines</b> · pocket" in html(app)


def test_everything_against_everything(play):
    app = play()
    app.segmented_control(key="play_mode").set_value("Everything").run()
    [chart] = charts(app)
    assert size(chart) == (12, 12)
    assert not chart["layout"].get("images")
    assert "two pictures" in words(app)


def test_the_rerankers_scores_stand_beside_on_their_own_scale(play):
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    cosines, scores = charts(app)
    assert size(scores) == (7, 5)
    assert cosines["data"][0]["colorscale"] != scores["data"][0]["colorscale"]
    assert "own scale" in scores["data"][0]["colorbar"]["title"]["text"]
    assert "share no scale with the cosines" in words(app)


def test_pairs_that_a_reranker_does_not_read_are_named(play):
    play.judge.pairs = ()
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    assert len(charts(app)) == 1
    assert "org/judge does not read a text with a picture: 35 of 35 pairs have no score." in words(app)


def test_nothing_is_computed_again_where_nothing_changed(play):
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    calls = play.judge.calls
    app.run()
    assert play.judge.calls == calls
    app.checkbox(key="play_on_racing-car").uncheck().run()
    assert play.judge.calls == 2 * calls
    assert [size(chart) for chart in charts(app)] == [(7, 4), (7, 4)]
    assert "of 4</b> texts" in html(app)


def test_a_failing_reranker_leaves_the_cosines_standing(play):
    def fail(*arguments):
        raise ModelError("The judge [is](http://evil) ill.")

    play.judge.score = fail
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    assert len(charts(app)) == 1
    assert "The judge [is](http://evil) ill." in words(app)
    assert "[is](" not in app.error[0].value


def test_own_pictures_join_and_bad_files_are_named_one_by_one(play):
    app = play()
    files = [
        ("my <b>cat<b>.jpg", jpeg(1), "image/jpeg"),
        ("broken.png", b"\x89PNG\r\n\x1a\nnothing", "image/png"),
        ("notes.txt", b"words", "text/plain"),
        ("empty.jpg", b"", "image/jpeg"),
    ]
    app.file_uploader(key="play_files").set_value(files).run()
    [chart] = charts(app)
    assert size(chart) == (7, 6)
    assert chart["layout"]["xaxis"]["ticktext"][-1] == "my &lt;b&gt;cat&lt;b&gt;.jpg"
    for name in ("broken.png: The picture cannot be read", "notes.txt: This is text", "empty.jpg: The file"):
        assert name in words(app)
    assert "<b>cat" not in html(app)


def test_a_picture_beyond_the_limit_is_refused(play):
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    app = play()
    app.file_uploader(key="play_files").set_value([("huge.png", out.getvalue(), "image/png")]).run()
    assert "huge.png: The picture of 30,000 × 30,000 has 900 megapixels" in words(app)
    assert len(charts(app)) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Type at least one text."),
        (" \n\t\n\u202e", "Type at least one text."),
        ("\n".join(f"text {n}" for n in range(30)), "the playground compares 24 at most"),
    ],
)
def test_what_cannot_be_compared_is_said(play, typed, said):
    app = play()
    app.text_area(key="play_texts").set_value(typed).run()
    assert charts(app) == []
    assert said in words(app)


def test_all_pictures_off_is_said(play):
    app = play()
    for box in app.checkbox:
        box.uncheck()
    app.run()
    assert "Give at least one picture." in words(app)


def test_hostile_texts_reach_the_page_as_text(play):
    app = play()
    typed = "<img src=x onerror=alert(1)>\n![p](http://evil/p.png)\n/etc/hostname.png\n" + "x" * 5000
    app.text_area(key="play_texts").set_value(typed).run()
    [chart] = charts(app)
    assert size(chart) == (4, 5)
    assert "<img src=x" not in html(app)
    assert "&lt;img src=x onerror=alert(1)&gt;" in html(app)
    assert "<img" not in json.dumps(chart["layout"]["yaxis"])
    assert "none counts as right" in words(app)


def test_a_line_that_is_there_twice_is_compared_once(play):
    app = play()
    app.text_area(key="play_texts").set_value("a bee\na bee \n\na car").run()
    assert size(charts(app)[0]) == (2, 5)


def test_a_model_unloaded_before_its_turn_is_said(play, monkeypatch):
    app = play()
    monkeypatch.setattr(play.workspace.models.loaded, "is_loaded", lambda one: False)
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    assert "org/judge is no longer loaded." in words(app)
    assert len(charts(app)) == 1
    assert play.judge.calls == 0


def test_a_chosen_model_that_is_gone_is_said_and_replaced(play, monkeypatch):
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    monkeypatch.setattr(playground, "stage", (play.workspace, [POCKET], []))
    app.run()
    assert "org/judge was unloaded; another choice took its place." in words(app)
    assert app.selectbox(key="play_reranker").value == "none"
    app.run()
    assert "was unloaded" not in words(app)


def test_a_slow_comparison_waits_for_a_yes(play, monkeypatch):
    slow = {"seconds_per_item": {"text": 0.1, "image": 2.0}}
    listed = [LoadedModel(**{**vars(play.loaded), **slow})]
    monkeypatch.setattr(play.workspace.models.loaded, "list", lambda: listed)
    app = play()
    app.selectbox(key="play_reranker").set_value(JUDGE.id).run()
    assert "org/judge needs about 70 seconds" in words(app)
    assert play.judge.calls == 0
    app.button(key="play_go_scores").click().run()
    assert len(charts(app)) == 2
    app.run()
    assert len(charts(app)) == 2
    assert "needs about" not in words(app)


def test_what_was_chosen_survives_a_visit_elsewhere(play):
    app = play()
    app.text_area(key="play_texts").set_value("a bee").run()
    app.checkbox(key="play_on_small-blue-car").uncheck().run()
    app.segmented_control(key="play_mode").set_value("Everything").run()
    app.session_state["away"] = True
    app.run()
    assert not app.text_area
    app.session_state["away"] = False
    app.run()
    assert app.text_area(key="play_texts").value == "a bee"
    assert app.checkbox(key="play_on_small-blue-car").value is False
    assert size(charts(app)[0]) == (5, 5)


def test_two_choices_of_one_model_can_be_told_apart():
    choices = [
        ModelChoice("a/b", revision="1" * 40),
        ModelChoice("a/b", revision="2" * 40, dim=64),
        ModelChoice("/models/clip"),
        ModelChoice("/other/clip"),
    ]
    names = playground._named(choices)
    assert list(names.values()) == choices
    assert list(names) == ["a/b · 111111111111", "a/b · 222222222222 · 64 dimensions", "clip", "clip (4)"]
    assert all("/models" not in name for name in names)
