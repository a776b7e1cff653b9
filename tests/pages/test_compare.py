"""The view Compare in Streamlit's own harness: side by side, widths, and what cannot be, in words."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from tests.helpers.data import real_photos
from tests.helpers.pages import page, put, texts, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
LAB = "pages/4_Gap_lab.py"
CHOSEN, KEPT = "compare_collections", "widths_collection"


def compare(**query: str | list[str]):
    app = page(LAB, view="Compare", **query)
    assert not app.exception
    return app


def read(app) -> str:
    """Return all words and tables as one reads them."""
    return unescape(re.sub(r"<[^>]+>", "", texts(app)))


def said(app) -> str:
    return " ".join(one.value for one in (*app.error, *app.warning)).replace("\\", "")


def choose(app, *collections: str):
    app.multiselect(key=CHOSEN).set_value(list(collections))
    app = app.run()
    assert not app.exception
    return app


def of_width(app, collection: str):
    app.selectbox(key=KEPT).set_value(collection)
    app = app.run()
    assert not app.exception
    return app


def same_media(name: str, dim: int, count: int = 20, start: int = 0):
    """Store the same ids in every collection, each with vectors of its own width."""
    chance = np.random.default_rng(dim)
    shared = chance.normal(size=(count, dim))
    for kind, at in (("image", start), ("text", start + 1_000)):
        put(shared + 0.5 * chance.normal(size=shared.shape), kind, name, at)


def projected(source: str, name: str, dim: int) -> None:
    """Store the items of a collection again with vectors of another width, as trained towers are kept."""
    from engine.types import MODALITIES, Provenance, VectorTable

    open_, made_by = workspace(), Provenance(f"towers:{name}", "1", dim, training="trained on 12 pairs")
    heads = np.random.default_rng(0).normal(size=(open_.store.info(source).made_by.dim, dim))
    open_.ledger.set_provenance(name, made_by)
    for modality in MODALITIES:
        items = list(open_.store.all_items(source, modality))
        if items:
            table = open_.store.vectors(source, modality).take(item.id for item in items)
            rows = table.vectors @ heads
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            made = VectorTable(table.ids, rows.astype(np.float32))
            open_.ledger.put(name, items, made)
            open_.store.upsert(name, made_by, modality, items, made)


@pytest.fixture
def filled(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 16))


@pytest.mark.usefixtures("filled")
def test_two_models_of_the_same_photographs_stand_side_by_side_with_the_engines_numbers():
    from engine.lessons.compare import compare as measure
    from engine.lessons.widths import widths
    from engine.progress import Watch
    from pages.ui.gap.widths import trained

    alone = compare()
    assert "takes two collections" in read(alone) and not alone.error
    assert "binary, rescored by int8" in read(alone)  # widths need one only

    projected("photos", "kept", 64)
    app, open_ = compare(), workspace()
    assert not app.error and set(app.multiselect(key=CHOSEN).value) == {"photos", "kept"}
    told = read(app)
    names = app.multiselect(key=CHOSEN).value
    found = measure(open_.folder, names, watch=Watch())
    for one in found.pairs[0].measured:
        assert f"{one.l2m.mean:.3f}" in told and f"{one.rmg.mean:.3f}" in told
        assert f"{one.a_to_b.hits[5].mean:.1%}" in told and f"{one.b_to_a.hits[10].mean:.1%}" in told
    assert f"{100 * found.pairs[0].measured[1].a_to_b.changes[1].mean:+.1f}" in told
    for words_ in (
        "towers:kept",
        "2-76efd34b18",
        "n = 16 shared pairs",
        "Cosines are not comparable",
        "seed 0",
    ):
        assert words_ in told
    assert "may be among these pairs" in said(app) and "not a fair one" in said(app)

    other = compare(compare_seed="7")
    assert "seed 7" in read(other) and not other.error
    redrawn = measure(open_.folder, names, seed=7, watch=Watch()).pairs[0].measured[0].l2m
    assert f"{redrawn.low:.3f}" in read(other)
    refused = compare(compare_seed="1000")
    assert "it can be 0 to 999" in said(refused) and "seed 0" in read(refused)

    kept = widths(open_.folder, "photos", watch=Watch())
    assert len(kept.steps) == 7 and len(app.get("plotly_chart")) == 1
    for step in kept.steps:
        assert step.name in told and f"{step.bytes_per_vector:,}" in told and f"{step.l2m:.3f}" in told
    assert "Nothing known here says that pocket was trained to be cut" in told and "n = 8 pairs" in told

    assert "Matryoshka" not in told
    assert "(Matryoshka): 256, 128. Any other cut" in trained(replace(kept, trained_widths=(256, 128)))

    towers = of_width(app, "kept")
    assert "cut to" not in read(towers) and not towers.error  # 64 dimensions are the least already
    one = choose(app, "photos")
    assert "Choose two or more" in read(one) and not one.error


def test_collections_that_lack_something_are_said_in_words():
    same_media("first", 30)
    same_media("second", 80)
    same_media("three", 12, count=3)
    same_media("other", 12, start=500)
    put(np.random.default_rng(0).normal(size=(5, 4)), collection="lonely")

    app = compare(compare_collections="gone", widths_collection="lonely")
    assert "'gone', which has no two kinds" in said(app) and "'lonely' has no two kinds" in said(app)
    assert not app.error and set(app.multiselect(key=CHOSEN).value) == {"first", "second"}
    assert "n = 20 shared pairs" in read(app) and "cut to 64" in read(app)

    linked = compare(compare_collections=["second", "gone", "three"])
    assert linked.multiselect(key=CHOSEN).value == ["second", "three"]
    assert "'gone'" in said(linked) and "3 shared pairs of 4" in said(linked)

    apart = choose(app, "first", "other")
    assert "No item is in all of first, other" in said(apart)
    few = choose(app, "first", "three")
    assert "3 shared pairs of 4" in said(few)
    assert "has 3 pairs" in said(of_width(few, "three"))
    three = choose(app, "first", "second", "three")
    assert "3 shared pairs of 4" in said(three)

    gone = choose(app, "first", "second")
    workspace().delete_collection("second")
    gone = gone.run()
    assert not gone.exception
    assert "second" not in gone.multiselect(key=CHOSEN).value


def test_collections_of_other_media_are_told_how_to_be_compared():
    same_media("first", 12)
    same_media("other", 12, start=500)
    app = compare()
    assert "No two collections here hold the same media" in read(app) and not app.error
    assert app.multiselect(key=CHOSEN).value == []
    assert "trained to be cut" in read(app)
