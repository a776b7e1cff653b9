"""Maps come back as they were, follow the collection, and are fitted anew only where that is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import MADE_BY, plain_items, unit_table

from engine.errors import CollectionNotFoundError, ProjectionError
from engine.maps import Maps
from engine.projection import FitCancelledError, ProjectionSettings
from engine.store import Store

PCA = ProjectionSettings(method="pca")


@pytest.fixture
def store(tmp_path):
    opened = Store.open_embedded(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def maps(tmp_path) -> Maps:
    return Maps(tmp_path / "data")


def put(store: Store, name: str, modality: str, count: int, *, start: int = 0) -> None:
    table = unit_table(count, seed=start, start=start)
    store.upsert(name, MADE_BY, modality, plain_items(table, modality), table)


@pytest.fixture
def filled(store) -> Store:
    put(store, "some", "image", 30)
    put(store, "some", "text", 10, start=1000)
    return store


def test_a_map_is_kept_and_comes_back_the_same(filled, maps):
    assert maps.open(filled, "some", PCA) is None
    made = maps.fit(filled, "some", PCA)
    again = maps.open(filled, "some", PCA)
    assert again.projection.ids == made.projection.ids and again.fitted_at == made.fitted_at
    assert (again.projection.places == made.projection.places).all()
    assert again.modality == made.modality and set(made.modality.values()) == {"image", "text"}
    assert again.placed == 0 and not again.wants_refit


def test_other_settings_other_vectors_and_other_collections_have_maps_of_their_own(filled, maps):
    maps.fit(filled, "some", PCA)
    assert maps.open(filled, "some", replace(PCA, dims=3)) is None
    put(filled, "other", "image", 20)
    assert maps.open(filled, "other", PCA) is None
    table = unit_table(20)
    filled.delete_collection("some")
    filled.upsert("some", replace(MADE_BY, revision="2"), "image", plain_items(table), table)
    assert maps.open(filled, "some", PCA) is None


def test_new_items_are_placed_and_stay_where_they_were_put(filled, maps):
    made = maps.fit(filled, "some", PCA)
    put(filled, "some", "image", 3, start=5000)
    grown = maps.open(filled, "some", PCA)
    assert (len(grown.projection), grown.placed, grown.wants_refit) == (43, 3, False)
    assert (grown.projection.take(made.projection.ids).places == made.projection.places).all()
    again = maps.open(filled, "some", PCA)
    assert (again.projection.places == grown.projection.places).all() and again.placed == 3
    put(filled, "some", "text", 10, start=7000)
    assert maps.open(filled, "some", PCA).wants_refit
    assert maps.fit(filled, "some", PCA).placed == 0


def test_deleted_items_are_gone_from_the_map(filled, maps):
    made = maps.fit(filled, "some", PCA)
    gone = made.projection.ids[:5]
    filled.delete_items("some", gone)
    left = maps.open(filled, "some", PCA)
    assert set(left.projection.ids) == set(made.projection.ids[5:]) == set(left.modality)


def test_when_all_that_was_fitted_is_gone_the_map_is(filled, maps):
    made = maps.fit(filled, "some", PCA)
    put(filled, "some", "image", 3, start=5000)
    filled.delete_items("some", made.projection.ids)
    assert maps.open(filled, "some", PCA) is None


def test_a_damaged_map_is_fitted_anew(filled, maps, tmp_path):
    maps.fit(filled, "some", PCA)
    [path] = (tmp_path / "data" / "maps").glob("*.npz")
    for damage in (b"", b"nothing", path.read_bytes()[:200]):
        path.write_bytes(damage)
        assert maps.open(filled, "some", PCA) is None
    np.savez(path, ids=np.array(["a"]))
    assert maps.open(filled, "some", PCA) is None


def test_nothing_there_is_said(store, maps):
    with pytest.raises(CollectionNotFoundError):
        maps.open(store, "nothing", PCA)
    put(store, "emptied", "image", 2)
    store.delete_items("emptied", unit_table(2).ids)
    with pytest.raises(ProjectionError, match="'emptied' is empty"):
        maps.fit(store, "emptied", PCA)


def test_a_cancelled_fit_leaves_the_old_map(filled, maps):
    settings = ProjectionSettings(n_neighbors=5)
    made = maps.fit(filled, "some", settings)
    with pytest.raises(FitCancelledError):
        maps.fit(filled, "some", settings, cancelled=lambda: True)
    assert maps.open(filled, "some", settings).fitted_at == made.fitted_at


def test_a_collections_maps_can_be_forgotten(filled, maps):
    put(filled, "other", "image", 20)
    for name in ("some", "other"):
        maps.fit(filled, name, PCA)
    maps.forget("some")
    assert maps.open(filled, "some", PCA) is None and maps.open(filled, "other", PCA)
