"""The Map page in Streamlit's own harness: from nothing to two modalities, and whatever an address says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.jobs.run import Job
from engine.jobs.spec import FitMap
from engine.maps import umap_kernels
from engine.progress import Progress
from tests.helpers.data import real_photos
from tests.helpers.pages import page, put, shown, texts, until_fitted, words, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")


def test_a_full_collection_is_fitted_drawn_and_judged(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 20))
    app = shown(colour="label", lines="all")
    assert not app.error
    told = texts(app)
    assert "40 items" in told and "UMAP 2D, n_neighbors 15, min_dist 0.1, cosine, seed 42" in told
    assert "close in the vectors" in told and "k = 15, n = 40, seed 0" in told
    assert "high is good · 0.55 for places at random" in told
    assert "by their vectors" in told or "by its vector alone" in told
    assert "neither good nor bad · 0.50 by guessing" in told
    assert "Distances on the map are not the gap" in told
    gap = next(one.value for one in app.dataframe if "L2M" in one.value.columns)
    assert gap["n"].tolist() == ["20 + 20"] and gap["pairs"].tolist() == ["20"]
    number, bounds = gap["separability"][0].split(" ", 1)
    assert float(number) > 0.5 and f"({float(bounds[1:6]):.3f} to " in bounds
    assert "Model pocket, k = 15" in told and "the gap on n = 20 texts and 20 pictures" in told


@pytest.mark.parametrize(
    "colour", ["modality", "label", "cluster", "similarity", "media type", "column size in bytes", "column x"]
)
def test_every_colour_shows(colour, app_folder):
    fill(app_folder, real_photos(app_folder / "real", 16))
    app = shown(colour=colour, q="a bird", method="pca")
    assert not app.error
    assert "The cross is where 'a bird' lands" in texts(app)


def test_a_plain_plot_shows_the_same_by_plotly(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 16))
    app = shown(plain="true", q="a bird", method="pca", lines="all")
    assert not app.error
    [chart] = app.get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    lines, points, question = figure["data"]
    assert len(points["x"]) == 32 and len(lines["x"]) == 3 * 16 and question["text"] == ["a bird"]


@pytest.mark.parametrize(
    "query",
    [
        {"method": "nonsense"},
        {"method": "gap"},
        {"method": "UMAP 3D"},
        {"n_neighbors": "9999999"},
        {"n_neighbors": "-1"},
        {"min_dist": "nan"},
        {"min_dist": "7"},
        {"seed": "-5"},
        {"seed": "99999999999999999999"},
        {"fit_on": "video"},
        {"fit_on": "image"},
        {"collection": "missing"},
        {"collection": "../../etc"},
        {"colour": "<script>"},
        {"lines": "\x00"},
        {"beside": "collection missing"},
        {"beside": "another seed", "method": "PCA 2D"},
        {"item": "../../etc/passwd"},
        {"q": "\x00\x07"},
        {"q": "x" * 5000},
        {"min_cluster_size": "-3", "colour": "cluster"},
    ],
)
def test_hostile_addresses_never_show_an_exception(query):
    put(np.random.default_rng(0).normal(size=(4, 8)))
    put(np.random.default_rng(1).normal(size=(4, 8)), "text", start=1000)
    app = shown(**query)
    assert "unexpected" not in words(app)
    assert "8 items" in words(app)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_few_items_and_one_modality_are_a_map(count):
    put(np.random.default_rng(0).normal(size=(count, 8)))
    for method in ("UMAP 2D", "PCA along the gap"):
        app = shown(method=method, colour="cluster")
        assert not app.error
        told = texts(app)
        assert ("1 item ·" if count == 1 else f"{count} items ·") in told
        assert "One modality alone has no gap" in told


@pytest.mark.parametrize("count", [3, 20])
def test_vectors_that_are_all_the_same_are_a_map(count):
    put(np.ones((count, 8)))
    put(np.ones((count, 8)), "text", start=1000)
    for method in ("UMAP 2D", "PCA 2D", "PCA along the gap"):
        app = shown(method=method)
        assert "unexpected" not in words(app)
        if method != "PCA along the gap":
            assert not app.error
    assert "same place" in words(app)


def test_two_modalities_of_which_one_has_a_single_item():
    put(np.random.default_rng(0).normal(size=(20, 8)))
    put(np.random.default_rng(1).normal(size=(1, 8)), "text", start=1000)
    app = shown(method="gap")
    assert not app.error
    gap = next(one.value for one in app.dataframe if "L2M" in one.value.columns)
    assert gap["L2M unbiased"].tolist() == ["–"]


def test_of_so_many_items_that_only_a_part_is_measured_the_page_says_so(monkeypatch):
    monkeypatch.setattr("engine.evaluation.gap_matrix.MOST_ROWS", 15)
    put(np.random.default_rng(0).normal(size=(20, 8)))
    put(np.random.default_rng(1).normal(size=(10, 8)), "text", start=1000)
    app = shown(method="gap")
    assert "measured on 15 of 20 image items, drawn by the seed" in texts(app)
    gap = next(one.value for one in app.dataframe if "L2M" in one.value.columns)
    assert gap["n"].tolist() == ["10 + 15"]


def test_new_items_are_placed_and_a_refit_is_offered():
    put(np.random.default_rng(0).normal(size=(30, 8)))
    assert "placed" not in words(shown())
    put(np.random.default_rng(1).normal(size=(5, 8)), start=1000)
    app = shown()
    assert "35 items" in words(app) and "5 new items were placed" in words(app)
    app.button(key="map_refit_a").click().run()
    app = until_fitted(app)
    assert not app.exception and "placed" not in words(app)


def test_deleting_everything_says_so():
    put(np.random.default_rng(0).normal(size=(20, 8)))
    shown()
    workspace().delete_items("mine", [f"{n:064x}" for n in range(20)])
    app = page("pages/3_Map.py")
    assert not app.exception and "nothing to draw" in words(app)


def test_a_question_to_imported_vectors_says_why_and_the_map_stays():
    put(np.random.default_rng(0).normal(size=(20, 8)))
    app = shown(q="a dog", colour="similarity")
    assert len(app.error) == 1 and "20 items" in words(app)


def test_a_cancelled_fit_can_be_begun_again(monkeypatch):
    from engine.progress import CancelledError

    put(np.random.default_rng(0).normal(size=(20, 8)))

    def cancelled(*args, **more):
        raise CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("engine.maps.kept.fit", cancelled)
        app = shown()
        assert "The fit was cancelled" in words(app)
    app.button(key="map_fit_a").click().run()
    assert "20 items" in words(until_fitted(app))


def test_a_fit_that_waits_for_umap_s_compiling_says_so(monkeypatch):
    from engine.maps.projection import ProjectionSettings
    from pages.ui.jobs import progress_line

    def line(method: str) -> str:
        spec = FitMap(id="1", title="Map", collection="mine", settings=ProjectionSettings(method=method))
        job = Job(title=spec.title, spec=spec)
        job.progress = Progress("Fitting", 0, 100, unit="%")
        return progress_line(job)

    assert line("umap") == "Fitting · 0 %"
    monkeypatch.setattr(umap_kernels, "compiling", lambda: True)
    assert line("umap") == "Compiling UMAP, once per installation" and line("pca") == "Fitting · 0 %"


def test_a_selection_shows_its_items_and_can_be_labelled_and_deleted(app_folder):
    from pages.ui.map.selected import Chosen

    fill(app_folder, real_photos(app_folder / "real", 16))
    app = shown()
    images = [id_ for some in workspace().store.id_pages("photos", "image") for id_ in some]
    chosen = app.session_state["map_chosen"]
    assert isinstance(chosen, Chosen)
    chosen.select((images[2], images[5], "gone"))
    app.run()
    assert [one.value for one in app.subheader] == ["2 selected"]
    assert sum('class="gs-card"' in block.proto.body for block in app.get("html")) == 2
    app.text_input(key="map_label").set_value("my find").run()
    app.button(key="map_label_save").click().run()
    assert not app.exception and not app.error
    items, _ = workspace().ledger.get("photos", "image", images)
    assert {item.id for item in items if "my find" in item.labels} == {images[2], images[5]}
    assert [one.value for one in app.subheader] == ["2 selected"]  # a label is no other map
    app.checkbox(key=f"map_delete_sure_{app.session_state['map_chosen'].turn}").check().run()
    app.button(key="map_delete").click().run()
    assert not app.exception and workspace().store.info("photos").counts["image"] == 14
    assert "30 items" in words(app) and not app.subheader


def test_another_collection_of_the_same_files_can_stand_beside_it(app_folder):
    photos = real_photos(app_folder / "real", 16)
    fill(app_folder, photos)
    fill(app_folder, photos, "twin")
    app = shown(collection="photos", beside="collection twin", q="a bird")
    assert not app.error and words(app).count("32 items · UMAP 2D") == 2
    assert "on both maps" not in words(app)
