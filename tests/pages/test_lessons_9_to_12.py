"""Lessons 9 to 12: what their controls change, and addresses that ask for what is not there."""

from __future__ import annotations

import json

import pytest

from tests.helpers.data import real_photos
from tests.helpers.pages import page, texts, until_computed
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"


def revealed(number: int, slug: str, **address: str):
    app = page(LAB, view="Lessons", lesson=str(number), **address)
    return until_computed(app.button(key=f"{slug}_reveal").click().run())


def said(app) -> str:
    return " ".join(one.value for one in app.warning).replace("\\", "")


def test_controls_come_from_the_address_and_what_it_cannot_be_is_said(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 24))
    refused = page(LAB, view="Lessons", lesson="11", rerank_k="7")
    assert "rerank_k '7'; it can be 5, 10, 20, 50, 100." in said(refused)
    perfect = revealed(11, "rerank", rerank_quality="perfect")
    assert "after the perfect one" in texts(perfect) and "0 lost" in texts(perfect)
    beyond = revealed(9, "mixed", mixed_question="99")
    assert not beyond.exception and "no question 99; there are 12 here" in said(beyond)
    lists = [one.value for one in beyond.dataframe if "seen" in one.value.columns]
    assert len(lists) == 4
    for one in lists:
        [mode] = [name for name in one.columns if name != "seen"]
        for seen, words in zip(one["seen"], one[mode], strict=True):
            assert str(seen).startswith("data:image/webp") == words.startswith("●")
    none = revealed(10, "many", many_least="200")
    assert not none.exception and "there is no dot" in texts(none)
    gaps, firsts = (json.loads(chart.proto.spec) for chart in none.get("plotly_chart"))
    [row] = (one.value for one in none.dataframe if "R@1, the first asks" in one.value.columns)
    [l2m], [first] = ([grid["data"][0]["z"][0][1]] for grid in (gaps, firsts))
    assert row["L2M"][0].startswith(f"{l2m:.3f} (") and row["R@1, the first asks"][0].startswith(
        f"{first:.3f}"
    )
    assert gaps["data"][0]["z"][0][0] is None and "Model pocket, seed 0" in texts(none)
