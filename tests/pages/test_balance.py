"""The order of kinds on Search, Rerank and Evaluate: chosen by hand or by the address, and always said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.types import Reranked
from tests.helpers.data import generated_photos
from tests.helpers.gapped import store
from tests.helpers.pages import page, words, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
SEARCH, RERANK = "pages/1_Search.py", "pages/2_Rerank.py"


def search(**query: str):
    """Ask the gapped collection with its first text."""
    store(workspace())
    app = page(SEARCH, collection="gapped", like=f"{1_000:064x}", show="All by score", **query)
    assert not app.exception and not app.error
    return app


def test_the_address_chooses_the_order_and_the_page_marks_it():
    app = search(balance="standardised")
    assert app.selectbox(key="balance").value == "standardised"
    said = words(app)
    assert "Not the raw order: scores standardised by kind" in said and "Crowding: texts" in said
    assert "That is the modality gap" not in said
    app.selectbox(key="balance").select("raw").run()
    said = words(app)
    assert "Not the raw order" not in said and "That is the modality gap" in said
    assert "pictures 0 % of the first 24 and 50 % of what was searched (exposure 0.00" in said
    assert "outranks the true one of the pictures with probability" in said
    app.selectbox(key="balance").select("interleaved").run()
    assert "Not the raw order: interleaved" in words(app) and "pictures 50 % of the first 24" in words(app)


@pytest.mark.parametrize("value", ["RAW", "<b>x</b>" * 1_000])
def test_an_order_that_does_not_exist_is_said_and_raw(value):
    app = search(balance=value)
    assert app.selectbox(key="balance").value == "raw"
    assert "is none of raw, centred, standardised, interleaved; showing raw" in words(app)
    assert "Not the raw order" not in words(app)


def test_the_orders_stand_side_by_side():
    app = search(compare="true")
    assert app.toggle(key="compare").value is True
    said = words(app)
    assert all(f"**{order}**" in said for order in ("raw", "centred", "standardised", "interleaved"))
    assert "100 % texts, 0 % pictures" in said and "50 % texts, 50 % pictures" in said
    drawn = [block for block in app.get("html") if 'class="gs-card"' in block.proto.body]
    assert len(drawn) == 40
    app.toggle(key="compare").set_value(False).run()
    assert not app.exception and "**centred**" not in words(app)


def test_an_order_that_cannot_be_had_says_so_in_its_column():
    store(workspace(), 20)
    app = page(SEARCH, collection="gapped", like=f"{1_000:064x}", show="All by score", compare="true")
    assert not app.exception and not app.error
    assert "The order is raw, not centred: the collection has 20 texts" in words(app)
    assert "Not the raw order: interleaved" in words(app)


def test_one_kind_has_no_order_of_kinds():
    store(workspace())
    app = page(SEARCH, collection="gapped", like=f"{1_000:064x}", show="Pictures", balance="centred")
    assert not app.exception and app.selectbox(key="balance").disabled
    assert "Crowding" not in words(app) and "Not the raw order" not in words(app)


@pytest.fixture
def photos(app_folder: Path) -> None:
    fill(app_folder, generated_photos(app_folder / "made", 3), "samples")


def test_rerank_takes_the_order_for_its_first_stage(photos, monkeypatch):
    monkeypatch.setattr(
        "engine.workspace.Workspace.rerank",
        lambda self, query, hits, choice, top: Reranked(choice.id, tuple(hits), 0),
    )
    app = page(RERANK, q="a red picture", show="All", balance="centred", top="10")
    assert not app.exception
    said = words(app)
    assert "The order is raw, not centred: the collection has 3 texts" in said and "Crowding" in said
    assert "can crowd out the other" in said
    monkeypatch.setattr("engine.search.balance.MIN_ROWS", 3)
    app.selectbox(key="balance").select("interleaved").run()
    assert not app.exception and "Not the raw order: interleaved" in words(app)
    assert "can crowd out the other" not in words(app)
    app.selectbox(key="balance").select("centred").run()
    assert not app.exception and "Not the raw order: centred on the mean of each kind" in words(app)


def test_evaluate_measures_a_mixed_list_and_its_result_says_so(app_folder):
    store(workspace())
    app = page("pages/5_Evaluate.py", collection="gapped")
    app.selectbox(key="evaluate_reranker").select("none")
    app.selectbox(key="evaluate_balance").select("interleaved").run()
    app.button(key="evaluate_go").click().run()
    from pages.ui import resources

    job = resources.boot().jobs.list()[0]
    while job.active:
        app.run()
    app = page("pages/5_Evaluate.py", collection="gapped")
    assert not app.exception and not app.error
    assert "120 items of all kinds" in words(app) and "order interleaved" in words(app)
