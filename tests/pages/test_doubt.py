"""What an answer that may mean nothing says of itself: one note, in one place of every page that asks."""

from __future__ import annotations

import json

import pytest

from tests.helpers.data import real_photos
from tests.helpers.pages import page, shown, words
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
NEGATED, UNRELATED = "a dog without a leash", "quarterly tax return"


def test_every_page_that_asks_carries_one_note(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 8))
    pages = {
        "Search": page("pages/1_Search.py", q=NEGATED),
        "Compare": page("pages/1_Search.py", q=NEGATED, show="All by score", compare="true"),
        "Rerank": page("pages/2_Rerank.py", q=NEGATED),
        "Map": shown(q=NEGATED, method="pca"),
    }
    for name, app in pages.items():
        assert not app.exception and not app.error, name
        assert words(app).count("do not follow “without”") == 1, name
        assert [one.value for one in app.info if "do not follow" in one.value], name


def test_a_score_that_does_not_stand_out_is_said_and_one_that_does_is_not(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 8))
    app = page("pages/1_Search.py", q=UNRELATED)
    assert words(app).count("nothing to do with this question: the best of the pictures scores") == 1
    row = json.loads((app_folder / "real" / "metadata.jsonl").read_text("utf-8").splitlines()[2])
    assert "nothing to do with" not in words(page("pages/1_Search.py", q=row["caption"]))
