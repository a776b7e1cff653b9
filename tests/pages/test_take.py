"""What can be taken away: figures as pictures and CSV, and views as files that open them again."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st

from pages.ui.figure import file_stem
from tests.helpers.pages import page, put, until_computed, words, workspace

LAB = "pages/4_Gap_lab.py"


def two_kinds(collection: str = "mine", n: int = 24) -> None:
    """Store pairs of pictures and texts with a gap between them."""
    chance = np.random.default_rng(3)
    shared = chance.standard_normal((n, 8))
    for modality, side, start in (("image", 2.0, 0), ("text", -2.0, 100)):
        rows = shared + 0.3 * chance.standard_normal((n, 8))
        rows[:, 0] += side
        put(rows, modality, collection, start)


def test_a_file_of_a_figure_has_a_name_that_tells_and_that_every_system_takes():
    assert file_stem("my pets/2026: after shift") == "gapscope-my-pets-2026-after-shift"
    assert file_stem("../..") == "gapscope" and len(file_stem("x" * 500)) == 80


@pytest.mark.usefixtures("app_folder")
def test_a_figure_is_saved_by_its_camera_in_the_format_that_is_chosen_and_its_data_as_csv():
    page(LAB)
    two_kinds()
    app = page(LAB, view="Lessons", lesson="4")
    app.button(key="cone_reveal").click()
    app = app.run()
    [chart] = app.get("plotly_chart")
    camera = json.loads(chart.proto.config)["toImageButtonOptions"]
    assert camera == {"format": "png", "filename": "gapscope-cones-by-depth", "scale": 2}
    data = next(one for one in app.get("download_button") if one.label == "Data as CSV")
    assert data.proto.deferred_file_id and not data.proto.url  # nothing is computed before it is pressed

    app.segmented_control(key="cone_chart_format").set_value("SVG")
    app = app.run()
    camera = json.loads(app.get("plotly_chart")[0].proto.config)["toImageButtonOptions"]
    assert camera == {"format": "svg", "filename": "gapscope-cones-by-depth"}


@pytest.fixture
def files(monkeypatch):
    """Collect what the download buttons of a page would give, by their keys."""
    given, button = {}, st.download_button

    def collected(label, data, **more):
        given[more["key"]] = data
        return button(label, data, **more)

    monkeypatch.setattr(st, "download_button", collected)
    return given


def opened(app, taken: dict):
    data = json.dumps(taken).encode()
    app.file_uploader(key="take_file").set_value(("view.json", data, "application/json"))
    app = until_computed(app.run())
    assert not app.exception and not app.error
    return app


def until_shown(app):
    assert not app.exception
    return until_computed(app)


VIEWS = [
    ("See", {"left_projection": "PCA along the gap"}, {"left_collection": "other"}),
    ("Change", {"change_share": 0.5, "change_collection": "other"}, {"change_share": 1.5}),
    (
        "Compare",
        {"compare_collections": ["other", "mine"], "widths_collection": "other"},
        {"widths_collection": "mine"},
    ),
]


@pytest.mark.usefixtures("app_folder")
def test_a_view_that_is_taken_away_opens_again_with_the_same_numbers(files):
    page(LAB)
    two_kinds()
    two_kinds("other", 16)
    for view, settings, others in VIEWS:
        app = page(LAB, view=view, right_projection="PCA along the gap")  # UMAP is compiled first
        for change in (settings, {}):
            for key, value in change.items():
                app.session_state[key] = value
            app = until_shown(app.run())
        taken = json.loads(files["take_json"]())
        assert taken["numbers"] and taken["settings"].items() >= settings.items()
        assert taken["collections"][0]["counts"] and taken["seed"] == 0

        for key, value in {**others, "view": view}.items():
            app.session_state[key] = value
        app = until_shown(app.run())
        assert json.loads(files["take_json"]())["settings"] != taken["settings"]
        app = opened(page(LAB, view="Lessons"), taken)
        again = json.loads(files["take_json"]())
        assert {name: again[name] for name in ("settings", "numbers", "collections", "seed")} == {
            name: taken[name] for name in ("settings", "numbers", "collections", "seed")
        }
        assert not app.warning


LESSONS = [
    ("histograms", 2, {"histograms_shown": ["matching pairs"], "histograms_expected": "closer"}),
    ("cone", 4, {"cone_depth": 3, "cone_bias": True}),
    ("many", 10, {"many_gap": "RMG", "many_least": 4}),
]


@pytest.mark.usefixtures("app_folder")
def test_a_lesson_that_is_taken_away_opens_again_with_its_answer(files):
    page(LAB)
    two_kinds()
    for slug, number, settings in LESSONS:
        app = page(LAB, view="Lessons", lesson=str(number))
        app.button(key=f"{slug}_reveal").click()
        app = until_shown(app.run())
        for key, value in settings.items():
            app.session_state[key] = value
        app = until_shown(app.run())
        taken = json.loads(files["take_json"]())
        assert taken["settings"].items() >= {"lesson": number, **settings}.items(), slug
        assert len(taken["numbers"]) > 3, slug

        app = opened(page(LAB, view="See", right_projection="PCA along the gap"), taken)
        again = json.loads(files["take_json"]())
        assert (again["settings"], again["numbers"]) == (taken["settings"], taken["numbers"]), slug


@pytest.mark.usefixtures("app_folder")
def test_a_training_that_is_taken_away_is_trained_again(files):
    from engine.analysis import two_towers
    from engine.jobs.tower_computation import training_of
    from pages.ui import resources

    page(LAB)
    two_kinds()
    settings = two_towers.TowerSettings(temperature=0.2, steps=4, seed=7, held_out=0.0)
    chance = np.random.default_rng(0)
    features = [chance.standard_normal((24, 16)).astype(np.float32) for _ in range(2)]
    snapshots = tuple(two_towers.Training(*features, settings).run(every=2))
    read = SimpleNamespace(unread=0, pairs=24, reason="")
    result = SimpleNamespace(snapshots=snapshots, settings=settings, features=read)
    resources.works().put(training_of(workspace(), "mine", settings), result)
    taken = {
        "product": "gapscope",
        "format": 1,
        "page": "Gap lab",
        "view": "Train",
        "settings": {
            "collection": "mine",
            "temperature": 0.2,
            "start": "cone",
            "mismatched": 0.0,
            "steps": 4,
            "seed": 7,
            "held_out": 0.0,
            "towers_step_a": 2,
        },
        "collections": [],
        "seed": 7,
        "numbers": {},
        "versions": {},
        "created_at": "",
    }
    opened(page(LAB, view="See", right_projection="PCA along the gap"), taken)
    again = json.loads(files["take_json"]())
    assert again["settings"] == taken["settings"] and again["seed"] == 7
    assert again["numbers"]["step"] == 2 and again["numbers"]["l2m"] == result.snapshots[1].l2m


@pytest.mark.usefixtures("app_folder")
def test_a_file_that_cannot_be_opened_or_not_as_it_was_says_so(files):
    page(LAB)
    two_kinds()
    app = page(LAB, view="Change")
    before = json.loads(files["take_json"]())

    def said(**changes) -> str:
        document = json.dumps({**before, **changes}).encode()
        app.file_uploader(key="take_file").set_value(("view.json", document, "application/json"))
        shown = app.run()
        assert not shown.exception
        return words(shown)

    assert "another product" in said(product="other")
    assert "page 'Map'" in said(page="Map")
    assert "a view that is not here" in said(view="Dream")
    assert "a view that is not here" in said(view="Lessons", settings={"lesson": 99})
    odd = {"change_share": 9.5, "change_dims": "3", "change_q": 7, "change_edit": "whiten", "take_json": True}
    told = said(settings=odd)
    for name in ("change_share", "change_dims", "change_q", "change_edit"):
        assert f"The file asks for {name}" in told.replace("\\", "")
    gone = {**before["collections"][0], "name": "gone"}
    other = {**before["collections"][0], "model": "another"}
    assert "'gone' of the file is not here" in said(collections=[gone])
    assert "the numbers may differ" in said(collections=[other])
    chosen = {"compare_collections": ["mine", "gone"], "widths_collection": "gone"}
    assert "'gone' of the file is not here" in said(view="Compare", settings=chosen, collections=[gone])


@pytest.mark.usefixtures("app_folder")
def test_the_report_of_a_collection_is_made_when_it_is_asked_for(files):
    from engine.report.gap_page import to_html
    from engine.report.gap_report import gap_report

    page(LAB)
    two_kinds()
    app = page(LAB, view="Change")
    assert "take_report" not in files
    app.button(key="take_make").click()
    app = until_computed(app.run())
    assert not app.exception and not app.error
    assert files["take_report"]() == to_html(gap_report(workspace().folder, "mine"))
