"""The Gap lab in Streamlit's own harness: expect, train, look back, compare, keep; and what cannot be."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.gap.address import refused
from pages.ui.gap.settings import ONE_OF, RANGES
from tests.helpers.data import real_photos
from tests.helpers.pages import page, texts, until_computed
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


def trained(app: AppTest) -> AppTest:
    """Press Train, and draw the page once its training has ended."""
    next(one for one in app.button if one.label == "Train").click()
    return until_computed(app.run())


@pytest.fixture
def filled(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 24))


@pytest.mark.usefixtures("filled")
def test_what_is_expected_is_asked_before_and_told_after_and_every_step_can_be_looked_at():
    app = page(LAB, view="Train", temperature="0.01")
    assert not app.error and "Say what you expect" in texts(app)
    app.segmented_control(key="expected").set_value("one mixed cloud")
    app = trained(app)
    assert not app.error and not app.exception
    told = texts(app)
    assert (
        "ou expected" in told
        and "of the other modality" in told
        and "n = 18 trained and 6 held-out pairs, of 24" in told
    )
    assert len(app.get("plotly_chart")) == 3
    slider = app.select_slider[0]
    assert (slider.options[0], slider.value) == ("0", 300)
    app = slider.set_value(0).run()
    assert not app.error and len(app.get("plotly_chart")) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("filled")
def test_a_second_run_stands_beside_the_first_and_the_last_can_be_kept():
    app = trained(page(LAB, view="Train", temperature="0.01", steps="20"))
    app.selectbox(key="temperature").set_value(0.2)
    app = trained(app)
    assert [one.value.split("temperature ")[1][:4] for one in app.subheader] == ["0.2,"]
    app = app.toggle(key="towers_both").set_value(True).run()
    assert len(app.subheader) == 2 and len(app.get("plotly_chart")) == 6
    app = app.toggle(key="towers_both").set_value(False).run()
    app = app.button(key="towers_keep").click().run()
    assert not app.error
    from pages.ui import resources

    [job] = [one for one in resources.boot().jobs.list() if one.spec.kind == "train-towers"]
    assert job.ended.wait(120) and job.state == "done"
    app = app.button(key="towers_keep").click().run()
    assert "photos-cone-0.2" in " ".join(one.value for one in app.error)


@pytest.mark.parametrize("view", ["See", "Train", "Lessons"])
def test_an_empty_folder_is_said(view):
    app = page(LAB, view=view)
    assert not app.exception and not app.error and "there are none yet" in texts(app)


@pytest.mark.parametrize("view", ["Change", "Compare"])
def test_what_two_other_kinds_could_do_asks_for_those(view):
    app = page(LAB, view=view)
    assert not app.exception and not app.error and "two kinds of items that belong together" in texts(app)


def test_a_lesson_that_needs_no_collection_plays_in_an_empty_folder():
    app = page(LAB, lesson="4")
    app = until_computed(app.button(key="cone_reveal").click().run())
    assert not app.exception and "Mean cosine of n = 256 inputs" in texts(app)


def test_too_few_pairs_are_said(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 4))
    app = trained(page(LAB, view="Train"))
    assert "too few" in " ".join(one.value for one in app.error)


@pytest.mark.usefixtures("filled")
def test_an_address_that_asks_for_what_cannot_be_is_answered_in_words():
    app = page(LAB, view="Train", temperature="0", steps="-3", seed="x", collection="gone")
    said = " ".join(one.value for one in app.warning).replace("\\", "")
    assert not app.exception
    assert "temperature '0'" in said and "steps '-3'" in said and "seed 'x'" in said
    assert "has no pictures with texts here" in said


def test_what_the_page_itself_writes_into_the_address_is_never_refused():
    written = {"temperature": "0.01", "start": "centred", "steps": "300", "mismatched": "0.5"}
    assert refused(written, RANGES, ONE_OF) == []
    assert len(refused({"temperature": "nan", "held_out": "0.95", "mismatched": "nan"}, RANGES, ONE_OF)) == 3
