"""The view Change in Streamlit's own harness: slide, edit, ask; and what cannot be, in words."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.data import real_photos
from tests.helpers.pages import page, put, texts, words, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


def change(**query: str):
    app = page(LAB, view="Change", **query)
    assert not app.exception
    return app


def said(app) -> str:
    return " ".join(one.value for one in (*app.error, *app.warning)).replace("\\", "")


def the_numbers_are_the_engines():
    """Hold what the page says after an edit against the engine's readings."""
    from engine.lessons.readings import readings
    from engine.lessons.split import Change, read_split

    told = texts(change(change_edit="centre"))
    split = read_split(workspace().folder, "photos")
    for one in (readings(split), readings(split, Change("centre"))):
        assert f"{one.l2m:.3f}" in told and f"{one.rmg:.3f}" in told
        assert f"{one.a_to_b.recall(5):.1%}" in told and f"{one.hubs_a:.2f}" in told


@pytest.fixture
def filled(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 24))


@pytest.mark.usefixtures("filled")
def test_slide_edit_ask_and_an_address_that_asks_for_what_cannot_be():
    app = change()
    assert not app.error and len(app.get("plotly_chart")) == 4
    told = texts(app)
    assert "Nothing stored is changed" in told and "ModGap" in told and "change something to compare" in told
    assert "n = 12 pairs of pictures and texts of 24" in told and "fitted on 12 other pairs" in told

    app.slider(key="change_share").set_value(1.0)
    app = app.run()
    assert not app.exception and not app.error
    told = texts(app)
    assert "points" in told and "V-measure</abbr> against" in told

    app.text_input(key="change_q").set_value("a dog")
    app = app.run()
    assert not app.exception and not app.error
    assert texts(app).count("<ol") == 2 and "of all 24 measured items for 'a dog'" in texts(app)

    for edit in ("centre", "standardise", "project-out", "drop-dims"):
        app.segmented_control(key="change_edit").set_value(edit)
        app = app.run()
        assert not app.exception and not app.error and len(app.get("plotly_chart")) == 2

    the_numbers_are_the_engines()

    app = change(change_share="nan", change_dims="99", change_edit="whiten", change_collection="gone")
    warned = said(app)
    assert (
        "change_share 'nan'" in warned and "change_dims '99'" in warned and "change_edit 'whiten'" in warned
    )
    assert "no two kinds of items here" in warned and not app.error


def test_collections_that_lack_something_are_said_in_words():
    chance, same = np.random.default_rng(0), np.tile([[1.0, 2.0, 3.0]], (6, 1))
    put(chance.normal(size=(5, 4)), collection="lonely")
    put(chance.normal(size=(5, 4)), collection="strangers", paired=False)
    put(chance.normal(size=(5, 4)), "text", "strangers", 100, paired=False)
    put(chance.normal(size=(3, 4)), collection="three")
    put(chance.normal(size=(3, 4)), "text", "three", 100)
    put(chance.normal(size=(9, 4)), collection="unequal")
    put(chance.normal(size=(6, 4)), "text", "unequal", 100)
    put(same, collection="same")
    put(same, "text", "same", 100)
    put(same, collection="opposite")
    put(-same, "text", "opposite", 100)
    put(chance.normal(size=(8, 4)), "audio", "unequal", 200)

    app = change(change_collection="lonely")
    assert "no two kinds of items here" in said(app)
    assert "has 0 pairs of pictures and texts" in said(of(app, "strangers"))
    assert "has 3 pairs" in said(of(app, "three"))
    same = of(app, "same")
    assert not same.error and len(same.get("plotly_chart")) == 2  # there is no line to shift along
    same.slider(key="change_share").set_value(1.0)
    assert "no direction" in said(same.run())
    app.segmented_control(key="change_edit").set_value("centre")
    assert "leaves nothing of" in said(of(app, "opposite"))

    app.text_input(key="change_q").set_value("a dog")
    unequal = of(app, "unequal")
    assert "cannot be asked here" in said(unequal) and not unequal.error
    assert "9 pictures and 6 texts make 6 pairs" in words(unequal)
    assert "No item has a label" in words(unequal)
    unequal.selectbox(key="change_between").set_value("pictures and sounds")
    unequal.run()
    assert "n = 4 pairs of pictures and sounds of 8" in words(unequal) and not unequal.error
    unequal.segmented_control(key="change_edit").set_value("drop-dims")
    unequal.run().number_input(key="change_dims").set_value(9)
    assert "cannot be dropped" in said(unequal.run())


def of(app, collection: str):
    """Choose another collection."""
    app.selectbox(key="change_collection").set_value(collection)
    app = app.run()
    assert not app.exception
    return app
