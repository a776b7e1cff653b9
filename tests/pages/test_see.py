"""The gap in one picture, in Streamlit's own harness: two maps, their numbers, and what cannot be."""

from __future__ import annotations

import pytest

from engine.lessons.pairs import read_pairs
from engine.lessons.picture import gap_numbers
from tests.helpers.data import real_photos
from tests.helpers.pages import page, texts, until_computed, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


def test_two_maps_stand_side_by_side_with_the_numbers_of_the_vectors(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 24))
    app = until_computed(page(LAB, view="See"))
    assert not app.exception and not app.error
    assert len(app.get("plotly_chart")) == 2 and len(app.subheader) == 2
    found = gap_numbers(read_pairs(workspace().folder, "photos"))
    told = texts(app)
    assert f"<b>{found.l2m:.2f}</b>" in told and f"<b>{found.crossing:.2f}</b>" in told
    assert app.subheader[0].value == found.form.capitalize()
    app = page(LAB, view="See", left_collection="gone", right_projection="Mercator")
    assert not app.exception and "no collection 'gone'" in texts(app)


def test_a_view_that_is_none_is_said(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 4))
    assert "no view 'Nothing'" in texts(page(LAB, view="Nothing"))
