"""Lessons 1, 3, 4 and 8: what their controls change, and what an address may not ask of them."""

from __future__ import annotations

import pytest

from tests.helpers.gapped import store
from tests.helpers.pages import page, texts, until_computed, workspace

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


@pytest.fixture
def filled(app_folder):
    store(workspace(), 24)


def revealed(number, slug, **query):
    app = page(LAB, lesson=str(number), **query)
    return app.button(key=f"{slug}_reveal").click().run()


@pytest.mark.usefixtures("filled")
def test_lesson_1_takes_its_two_pictures_from_the_address_and_compares_others():
    names = revealed(1, "four").selectbox(key="four_first").options
    app = revealed(1, "four", four_first=names[3], four_second=names[5])
    assert not app.exception and not app.warning
    assert app.selectbox(key="four_first").value == names[3] and f"{names[3]} has a " in texts(app)
    app = app.selectbox(key="four_first").set_value(names[7]).run()
    assert f"{names[7]} has a " in texts(app)
    app = app.selectbox(key="four_second").set_value(names[7]).run()
    assert not app.exception and "the same picture: choose two" in texts(app)
    app = revealed(1, "four", four_first="no such picture.jpg")
    assert not app.exception and "no picture 'no such picture.jpg'" in texts(app)
    assert " has a " in texts(app)


@pytest.mark.usefixtures("filled")
def test_lesson_3_fits_a_umap_as_it_is_asked_for():
    app = revealed(3, "islands", islands_seed="77")
    assert "asks for islands_seed '77'" in texts(app)
    app = until_computed(app)
    assert "it looks like" in texts(app)
    app = app.segmented_control(key="islands_neighbors").set_value(5).run()
    app = until_computed(app)
    assert not app.exception and not app.error and len(app.get("plotly_chart")) == 3
    assert "; on this" in texts(app) and "n_neighbors = 5 and seed" in texts(app).replace("\\", "")


@pytest.mark.usefixtures("filled")
def test_lesson_8_measures_another_treatment_and_refuses_one_that_there_is_not():
    app = revealed(8, "closed", closed_edit="project-out")
    assert not app.exception and "With “project-out”" in texts(app)
    app = app.segmented_control(key="closed_edit").set_value("centre").run()
    assert "With “centre”" in texts(app) and "12 pairs" in texts(app)
    app = revealed(8, "closed", closed_edit="whiten")
    assert not app.exception and "asks for closed_edit 'whiten'" in texts(app)


@pytest.mark.usefixtures("filled")
def test_lesson_4_needs_no_collection_and_its_cone_goes_with_depth_and_bias():
    app = revealed(4, "cone", cone_depth="1")
    assert not app.exception and "After 1 layer" in texts(app) and "of 0.32 with ReLU" in texts(app)
    app = app.slider(key="cone_depth").set_value(0).run()
    assert "After no layer" in texts(app) and "of 0.00 with ReLU" in texts(app)
    app = app.toggle(key="cone_bias").set_value(True).run()
    assert "biases of spread 0.5" in texts(app)
    app = revealed(4, "cone", cone_bias="true")
    assert app.toggle(key="cone_bias").value and not app.warning
    app = revealed(4, "cone", cone_depth="99")
    assert not app.exception and "asks for cone_depth '99'" in texts(app)
