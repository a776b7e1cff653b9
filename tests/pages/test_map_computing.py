"""What the Map page computes in the background, in Streamlit's own harness: progress, cancel, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from engine.errors import ProjectionError
from engine.progress import CancelledError
from engine.types import VectorTable
from tests.helpers.data import unit_table
from tests.helpers.pages import page, put, shown, texts, until_fitted, words, workspace

pytestmark = pytest.mark.usefixtures("app_folder")
SECONDS = 120
MEASURE = "map_measure"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let four items be so many that somebody must ask before anything is computed."""
    monkeypatch.setattr("engine.jobs.map_computations.AT_ONCE", 3)
    monkeypatch.setattr("engine.jobs.map_computations.PAIRS_AT_ONCE", 3)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], threading.Event]:
    """Return a function that makes one of the engine wait; it goes on once the event is set."""
    events = []

    def hold(name: str) -> threading.Event:
        module, _, function = name.rpartition(".")
        real, go = getattr(__import__(module, fromlist=[function]), function), threading.Event()
        events.append(go)

        def waits(*args, on_progress, cancelled, **more):
            on_progress(0.25)
            while not go.wait(0.01):
                if cancelled():
                    raise CancelledError
            return real(*args, on_progress=on_progress, cancelled=cancelled, **more)

        monkeypatch.setattr(name, waits)
        return go

    yield hold
    for go in events:
        go.set()
    all_ended()


def all_ended() -> None:
    from pages.ui import resources

    for work in list(resources.works()._works.values()):
        assert work.ended.wait(SECONDS)


def bars(app) -> list[str]:
    return [str(bar.proto.text).replace("\\", "") for bar in app.get("progress")]


def pressed(app, key: str):
    app = app.button(key=key).click().run()
    assert not app.exception
    return app


def has(app, key: str) -> bool:
    return any(button.key == key for button in app.button)


def two_kinds(count: int = 20, collection: str = "mine") -> None:
    put(unit_table(count, seed=1).vectors, collection=collection)
    put(unit_table(count, seed=2).vectors, "text", collection, start=1000)


def test_a_large_map_is_measured_when_asked_and_everybody_sees_how_far_it_is(large, held):
    two_kinds()
    go = held("engine.maps.quality.quality")
    app = shown()
    assert has(app, MEASURE) and not bars(app) and "close in the vectors" not in texts(app)
    app = pressed(app, MEASURE)
    assert len(bars(app)) == 1 and "Quality of the map: mine" in bars(app)[0]
    assert not has(app, MEASURE) and has(app, f"{MEASURE}_cancel")
    other = page("pages/3_Map.py")
    assert not has(other, MEASURE) and "Quality of the map: mine" in bars(other)[0]
    go.set()
    all_ended()
    for visitor in (app, other, page("pages/3_Map.py")):
        told = texts(visitor.run())
        assert "close in the vectors" in told and "by guessing" in told
        assert not bars(visitor) and not visitor.error and not visitor.exception


def test_a_cancel_brings_the_button_back_and_it_can_be_begun_again(large, held):
    two_kinds()
    go = held("engine.maps.quality.quality")
    app = pressed(pressed(shown(), MEASURE), f"{MEASURE}_cancel").run()
    assert "It was cancelled" in words(app) and has(app, MEASURE) and not bars(app)
    go.set()
    app = pressed(app, MEASURE)
    all_ended()
    assert "close in the vectors" in texts(app.run())


def test_what_waits_for_its_turn_says_for_what(large, held):
    two_kinds()
    go = held("engine.analysis.clusters.cluster")
    app = pressed(shown(colour="cluster"), _key(shown(colour="cluster"), "map_clusters_"))
    assert "Clusters: mine" in bars(app)[0]
    app = pressed(app, MEASURE)
    assert any("Waiting for 'Clusters: mine'" in bar for bar in bars(app))
    go.set()
    all_ended()
    told = texts(app.run())
    assert "close in the vectors" in told and "HDBSCAN on the vectors" in told and not bars(app)


def _key(app, start: str) -> str:
    return next(button.key for button in app.button if button.key and button.key.startswith(start))


@pytest.mark.parametrize("large_one", [True, False])
def test_an_error_is_shown_until_it_is_tried_again(monkeypatch, large_one, request):
    two_kinds()
    if large_one:
        request.getfixturevalue("large")

    def fails(*args, **more):
        raise ProjectionError("The vectors are *odd*.")

    with monkeypatch.context() as patch:
        patch.setattr("engine.evaluation.gap_matrix.gaps", fails)
        app = shown()
        if large_one:
            app = pressed(app, MEASURE)
            all_ended()
            app.run()
        assert [error.value.replace("\\", "") for error in app.error] == ["The vectors are *odd*."]
        assert not bars(app) and not has(app, MEASURE)
    assert page("pages/3_Map.py").error  # another visitor sees it too
    app = pressed(app, f"{MEASURE}_again")
    all_ended()
    app.run()
    assert not app.error and "by guessing" in texts(app)


def test_an_unexpected_error_is_in_the_log_and_not_on_the_page(monkeypatch):
    told = []
    monkeypatch.setattr("threading.excepthook", lambda args: told.append(args.exc_type))
    two_kinds()
    monkeypatch.setattr("engine.evaluation.gap_matrix.gaps", lambda *args, **more: 1 / 0)
    app = shown()
    assert [error.value for error in app.error] == ["An unexpected error; the server's log has it."]
    assert not app.exception and told == [ZeroDivisionError]


def test_two_maps_of_the_same_vectors_share_clusters_and_gap(large):
    from pages.ui import resources

    two_kinds()
    app = shown(colour="cluster", beside="PCA 2D")
    app = pressed(app, _key(app, "map_clusters_"))
    all_ended()
    app.run()
    assert words(app).count("HDBSCAN on the vectors") == 2
    assert sum("Clusters" in work.title for work in resources.works()._works.values()) == 1


@pytest.mark.parametrize("beside", ["PCA 2D", "collection twin"])
def test_the_same_places_twice_are_no_error(large, beside):
    two_kinds()
    two_kinds(collection="twin")
    app = shown(collection="mine", colour="cluster", method="PCA 2D", beside=beside)
    assert not app.exception and not app.error
    assert ("would be the same" in words(app)) == (beside == "PCA 2D")


def twins(app):
    """Open the section of near duplicates, as a click does."""
    app.session_state["map_duplicates"] = True
    app.run()
    assert not app.exception and not [error.value for error in app.error]
    return app


def with_copies() -> VectorTable:
    """Store 12 pictures: 0 to 2 are copies, 3 to 5 a chain whose ends are no near duplicates."""
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0][:12]
    rows[1] = rows[2] = rows[0]
    angles = np.array([0, 12, 24]) * np.pi / 180
    rows[3:6] = np.cos(angles)[:, None] * rows[3] + np.sin(angles)[:, None] * rows[4]
    return put(rows, paired=False)


def stored() -> set[str]:
    return {id_ for some in workspace().store.id_pages("mine", "image") for id_ in some}


def test_groups_are_shown_and_a_chain_is_told():
    ids = with_copies().ids
    app = twins(shown())
    told = words(app)
    assert "2 groups, 4 items beyond one of each, at cosine 0.970 or more; 66 pairs compared" in told
    assert "3 pictures, cosine 1.000 to 1.000" in told and "3 pictures, cosine 0.914 to 0.978" in told
    assert [one.value for one in app.warning] and told.count("A chain:") == 2  # beside the button, and in it
    assert "0.914, below the 0.970 asked for" in told
    app.slider(key="duplicates_threshold").set_value(0.9).run()
    assert "A chain" not in words(app) and "3 pictures, cosine 0.914" in words(app)
    assert sum('class="gs-card"' in block.proto.body for block in app.get("html")) == 6
    assert set(ids) == stored()


def test_keep_one_deletes_the_others_and_the_map_is_drawn_anew(monkeypatch):
    import engine.analysis.near_duplicates

    with_copies()
    app = twins(shown())
    searched = []
    real = engine.analysis.near_duplicates.find
    monkeypatch.setattr(
        "engine.analysis.near_duplicates.find",
        lambda *args, **more: searched.append(1) or real(*args, **more),
    )
    kept = next(key.removeprefix("keep_go_") for key in _keys(app) if key.startswith("keep_go_"))
    app = until_fitted(pressed(app, f"keep_go_{kept}"))
    assert len(stored()) == 10 and kept in stored()
    assert "10 items" in words(app) and "1 groups" not in words(app)
    assert "1 group, 2 items beyond one of each" in words(app) and not app.error
    assert not searched  # one group less is known without comparing all pairs again


def _keys(app) -> list[str]:
    return [button.key for button in app.button if button.key]


def test_many_items_are_compared_when_asked_and_it_can_be_cancelled(large, held):
    with_copies()
    go = held("engine.analysis.near_duplicates.find")
    app = twins(shown())
    app = pressed(app, "map_duplicates_find")
    assert any("Near duplicates: mine" in bar for bar in bars(app))
    app = pressed(app, "map_duplicates_find_cancel").run()
    assert "It was cancelled" in words(app)
    go.set()
    app = pressed(app, "map_duplicates_find")
    all_ended()
    assert "2 groups" in words(app.run())


def test_an_item_of_another_data_folder_is_in_no_group():
    table = with_copies()
    workspace().ledger.delete("mine", table.ids[:2])  # as if another folder had stored it in a shared store
    app = twins(shown())
    assert "1 group," in words(app) and "cosine 1.000" not in words(app)
