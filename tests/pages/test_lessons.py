"""The lessons in Streamlit's own harness: predict, reveal, change, reset, and addresses that cannot be."""

from __future__ import annotations

import pytest

from pages.ui.gap.lessons.catalog import LESSONS
from tests.helpers.data import real_photos
from tests.helpers.pages import page, texts, until_computed, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


@pytest.fixture
def filled(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 24))


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_every_lesson_asks_first_answers_when_asked_and_begins_again():
    for lesson in LESSONS:
        walked(lesson)


def walked(lesson):
    """Predict, reveal and reset one lesson."""
    app = page(LAB, view="Lessons", lesson=str(lesson.number))
    assert not app.exception and lesson.why[0] not in texts(app)
    app.segmented_control(key=f"{lesson.slug}_expected").set_value(lesson.choices[0])
    app = app.button(key=f"{lesson.slug}_reveal").click().run()
    app = until_computed(app)
    assert not app.exception and not app.error, lesson.slug
    told = texts(app)
    assert "expected" in told and "Trap: " in told
    app = app.button(key="lesson_reset").click().run()
    assert app.segmented_control(key=f"{lesson.slug}_expected").value is None and "Trap: " not in texts(app)


def test_lessons_are_numbered_in_their_order_and_their_keys_do_not_mix():
    assert [one.number for one in LESSONS] == sorted({one.number for one in LESSONS})
    assert len({one.slug for one in LESSONS}) == len(LESSONS)
    assert not [one.slug for one in LESSONS if "_" in one.slug]


@pytest.mark.usefixtures("filled")
def test_a_lesson_that_is_none_is_said():
    app = page(LAB, lesson="99")
    said = " ".join(one.value for one in app.warning).replace("\\", "")
    assert not app.exception and "no lesson '99'" in said


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("revealed", [True, False])
@pytest.mark.parametrize("way", ["lesson_reset", "lesson_next"])
def test_settings_leave_the_address_with_a_reset_and_with_the_lesson(way, revealed):
    app = page(LAB, lesson="4", cone_depth="3")
    if revealed:
        app = until_computed(app.button(key="cone_reveal").click().run())
        app = until_computed(app.slider(key="cone_depth").set_value(7).run())
    app = app.button(key=way).click().run()
    assert not app.exception and "cone_depth" not in app.query_params
    if way == "lesson_reset":
        again = until_computed(app.button(key="cone_reveal").click().run())
        assert again.slider(key="cone_depth").value == 5
    else:
        assert app.query_params["lesson"] == "5"


def test_a_collection_deleted_under_a_lesson_is_said_and_another_takes_its_place(app_folder):
    photos = real_photos(app_folder / "real", 24)
    fill(app_folder, photos, "mine")
    fill(app_folder, photos, "other")
    app = page(LAB, lesson="2", histograms_collection="mine")
    app = until_computed(app.button(key="histograms_reveal").click().run())
    assert "collection mine" in texts(app)
    workspace().delete_collection("mine")
    left = until_computed(app.run())
    assert not left.exception and "collection other" in texts(left)
    again = page(LAB, lesson="2", histograms_collection="mine")
    assert "in this address has no pictures with texts" in again.warning[0].value
    workspace().delete_collection("other")
    none = left.run()
    assert not none.exception and "there are none yet" in " ".join(one.value for one in none.info)
