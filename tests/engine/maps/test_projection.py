"""Maps are the same twice, stay honest on small and odd inputs, and hold the islands of real CLIP."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from engine.analysis.gap import l2m
from engine.errors import ProjectionError
from engine.maps.pca import pca
from engine.maps.placing import directions, place
from engine.maps.projection import ProjectionSettings, _umap, fit
from engine.progress import CancelledError
from engine.types import Projection, VectorTable
from tests.helpers.data import unit_table
from tests.helpers.golden import clip, golden

UMAP, PCA_2 = ProjectionSettings(), ProjectionSettings(method="pca")
UMAP_SMALL = ProjectionSettings(n_neighbors=5)


def islands(places: np.ndarray) -> float:
    """Return how far two halves lie apart, in their own spread."""
    half = len(places) // 2
    parts = places[:half], places[half:]
    spread = np.mean([np.linalg.norm(part - part.mean(0), axis=1).mean() for part in parts])
    return float(np.linalg.norm(parts[0].mean(0) - parts[1].mean(0)) / spread)


def test_the_same_settings_give_the_same_map_and_another_seed_another():
    table = unit_table(120, 16)
    names = ["image"] * 120
    one, again = fit(table, names, UMAP), fit(table, names, UMAP)
    other = fit(table, names, ProjectionSettings(seed=1))
    assert one.ids == table.ids and one.places.shape == (120, 2) and not one.placed.any()
    assert (one.places == again.places).all() and not np.allclose(one.places, other.places)


def test_real_clip_falls_into_two_islands_that_keep_their_neighbours():
    table, names = clip()
    seen: list[float] = []
    found = fit(table, names, UMAP, on_progress=seen.append)
    assert islands(found.places) > 2
    assert trustworthiness(table.vectors, found.places, n_neighbors=15, metric="cosine") > 0.85
    assert seen[-1] == 1 and seen == sorted(seen) and len(seen) > 2


def test_pca_agrees_with_scikit_learn():
    table = unit_table(300, 20)
    ours = fit(table, ["image"] * 300, ProjectionSettings(method="pca", dims=3)).places
    theirs = PCA(3, svd_solver="full").fit_transform(table.vectors.astype(np.float64))
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-4)


def test_p24_a_pca_shows_no_more_than_the_gap_and_along_its_axis_all_of_it():
    table, names = clip()
    x, y = golden("features_clip.npy")
    for dims in (2, 3):
        places = fit(table, names, ProjectionSettings(method="pca", dims=dims)).places
        assert np.linalg.norm(places[:500].mean(0) - places[500:].mean(0)) <= l2m(x, y) + 1e-6
    along = fit(table, names, ProjectionSettings(method="pca", gap_axis=("image", "text"))).places
    gap = along[:500].mean(0) - along[500:].mean(0)
    assert gap == pytest.approx([l2m(x, y), 0], abs=1e-4)


def test_p24_more_components_show_more_of_the_gap_and_all_of_them_all():
    x, y = golden("features_clip.npy")
    rows = np.concatenate([x, y])
    for k in (1, 2, 10, 100):
        places = pca(rows, k, None)
        shown = [np.linalg.norm((places[:500] - places[500:]).mean(0)[:part]) for part in range(1, k + 1)]
        assert shown == sorted(shown) and shown[-1] <= l2m(x, y) + 1e-9
    every = pca(rows, 512, None)
    assert l2m(every[:500], every[500:]) == pytest.approx(l2m(x, y), abs=1e-9)


@pytest.mark.parametrize("settings", [UMAP, PCA_2, ProjectionSettings(dims=3)])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 15, 16])
def test_few_items_make_a_map_too(settings, count):
    found = fit(unit_table(count), ["image"] * count, settings)
    assert found.places.shape == (count, settings.dims)
    assert (found.method == "pca") == (settings.method == "pca" or count < 15)
    assert bool(found.note) == (settings.method != found.method)


@pytest.mark.parametrize("settings", [UMAP, PCA_2])
def test_vectors_that_are_all_the_same_make_a_map_of_one_place(settings):
    table = VectorTable(tuple(map(str, range(40))), np.ones((40, 6), np.float32))
    found = fit(table, ["image"] * 40, settings)
    assert found.places.shape == (40, 2) and len(np.unique(found.places, axis=0)) == 1
    assert "40 identical vectors share a place." in found.notes
    assert (found.note == "PCA in place of UMAP, which needs 15 different vectors or more.") == (
        settings == UMAP
    )


def with_copies(table: VectorTable, *heaps: tuple[int, int]) -> VectorTable:
    """Return a table with further rows before and behind it: so many copies of the vector of a row."""
    more = [table.vectors[[row] * count] for row, count in heaps]
    rows = np.concatenate([more[0], table.vectors, *more[1:]])
    return VectorTable(tuple(f"row {row}" for row in range(len(rows))), rows)


@pytest.mark.parametrize("settings", [UMAP_SMALL, PCA_2, replace(UMAP_SMALL, fit_on="image")])
def test_copies_share_a_place(settings):
    table = with_copies(unit_table(60), (3, 40), (7, 5))
    kinds = ["text"] * 10 + ["image"] * 95
    found = fit(table, kinds, settings)
    heaps = np.flatnonzero((table.vectors == table.vectors[0]).all(1)), np.array([47, *range(100, 105)])
    assert len(heaps[0]) == 41
    for heap in heaps:
        assert (found.places[heap] == found.places[heap[0]]).all()
        assert len(set(found.shared[heap])) == 1 and found.shared[heap[0]] >= 0
    assert len(np.unique(found.places, axis=0)) == 60 and (found.shared >= 0).sum() == 47
    assert found.notes[-1] == "47 identical vectors share 2 places."
    rest = found.take(id_ for row, id_ in enumerate(found.ids) if row not in set(heaps[1][1:]))
    assert rest.notes[-1] == "41 identical vectors share a place."


def test_copies_neither_move_a_umap_nor_vanish_from_a_pca():
    table = unit_table(60)
    heap = with_copies(table, (0, 1), (3, 40))
    one, other = fit(table, ["image"] * 60, UMAP_SMALL), fit(heap, ["image"] * 101, UMAP_SMALL)
    assert np.array_equal(one.places, other.places[1:61]) and one.notes == ()
    theirs = PCA(2, svd_solver="full").fit_transform(heap.vectors.astype(np.float64))
    assert np.abs(fit(heap, ["image"] * 101, PCA_2).places) == pytest.approx(np.abs(theirs), abs=1e-4)


def test_without_copies_a_map_is_that_of_all_rows_to_the_last_bit():
    table, hooks = unit_table(80, 16), (lambda share: None, lambda: False)
    found = fit(table, ["image"] * 80, UMAP)
    assert np.array_equal(found.places, _umap(directions(table.vectors), UMAP, *hooks))
    rows = directions(table.vectors)
    assert np.array_equal(fit(table, ["image"] * 80, PCA_2).places, pca(rows, 2, None))


def test_copies_that_come_later_lie_where_the_fitted_one_does():
    table = with_copies(unit_table(60), (3, 4))
    fitted = fit(table, ["image"] * 64, UMAP_SMALL)
    fresh = unit_table(3, seed=9).vectors
    rows = np.concatenate([table.vectors[[0, 20]], fresh, fresh[:1]])
    new = VectorTable(tuple("abcdef"), rows)
    grown = place(fitted, table, new, added=True)
    where = dict(zip(grown.ids, grown.places.tolist(), strict=True))
    assert where["a"] == where["row 0"] and where["b"] == where["row 20"] and where["f"] == where["c"]
    shared = dict(zip(grown.ids, grown.shared.tolist(), strict=True))
    assert shared["a"] == shared["row 0"] == shared["row 3"] and shared["b"] == shared["row 20"]
    assert shared["c"] == shared["f"] and shared["d"] == shared["e"] == -1
    assert len({shared[one] for one in "abc"}) == 3 and grown.notes == (
        "10 identical vectors share 3 places.",
    )
    again = place(grown, table, VectorTable(("g",), fresh[:1] * 0 + table.vectors[20]))
    assert again.shared[-1] == shared["b"]
    heap = with_copies(unit_table(60), (3, 20))
    near = VectorTable(("near",), heap.vectors[:1] + 0.001)
    known = fit(heap, ["image"] * 80, UMAP_SMALL)
    alone = place(known.take(known.ids[19:]), heap, near)
    assert np.array_equal(place(known, heap, near).places[-1], alone.places[-1])


def test_more_neighbours_than_items_are_cut():
    table = unit_table(20)
    assert len(fit(table, ["image"] * 20, ProjectionSettings(n_neighbors=500))) == 20


def test_nothing_and_no_direction_are_refused():
    with pytest.raises(ProjectionError, match="nothing to project"):
        fit(VectorTable((), np.zeros((0, 4), np.float32)), [], UMAP)
    with pytest.raises(ProjectionError, match="cannot be projected"):
        fit(VectorTable(("a", "b"), np.zeros((2, 4), np.float32)), ["image"] * 2, PCA_2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "tsne"}, "umap or pca"),
        ({"dims": 4}, "2 or 3"),
        ({"n_neighbors": 1}, "n_neighbors is 1; it must be 2 to 500"),
        ({"min_dist": -0.1}, "0 to 1"),
        ({"metric": "jaccard"}, "cosine or euclidean"),
        ({"seed": -1}, "seed is -1"),
        ({"fit_on": "smell"}, "fit_on is 'smell'"),
        ({"gap_axis": ("image", "text")}, "Only a PCA"),
        ({"method": "pca", "gap_axis": ("image", "image")}, "between two of"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(ProjectionError, match=says):
        ProjectionSettings(**wrong)


def test_a_gap_axis_needs_both_modalities_and_a_gap():
    settings = ProjectionSettings(method="pca", gap_axis=("image", "text"))
    with pytest.raises(ProjectionError, match="one has no items"):
        fit(unit_table(5), ["image"] * 5, settings)
    twice = np.repeat(unit_table(3).vectors, 2, axis=0)
    with pytest.raises(ProjectionError, match="no gap axis"):
        fit(VectorTable(tuple("abcdef"), twice), ["image", "text"] * 3, settings)


def test_the_neighbours_tell_how_far_they_are_and_hear_a_cancel(monkeypatch):
    monkeypatch.setattr("engine.maps.neighbours._PAIRS", 200 * 20)
    table, shares = unit_table(200, 16), []
    with pytest.raises(CancelledError):
        fit(
            table,
            ["image"] * 200,
            UMAP,
            on_progress=shares.append,
            cancelled=lambda: bool(shares) and shares[-1] > 0.1,
        )
    assert shares == sorted(shares) and 0.1 < shares[-1] < 0.2


@pytest.mark.slow
def test_exact_neighbours_make_a_map_as_good_as_umap_s_own_search(monkeypatch):
    """Over three seeds, as one seed's map may be luckier than another's."""
    table, kinds = two_islands(400), ["image"] * 400
    scores: dict[int, float] = {}
    for most in (400, 0):  # by exact neighbours, and by NN-descent's
        monkeypatch.setattr("engine.maps.projection._EXACT_KNN", most)
        maps = [fit(table, kinds, ProjectionSettings(seed=seed)).places for seed in range(3)]
        scores[most] = np.mean([trustworthiness(table.vectors, one, n_neighbors=15) for one in maps])
    assert scores[400] > scores[0] - 0.02


def test_a_fit_can_be_cancelled_and_the_next_one_works():
    table, calls = unit_table(200, 16), []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(CancelledError):
        fit(table, ["image"] * 200, UMAP, cancelled=cancelled)
    assert len(fit(table, ["image"] * 200, UMAP)) == 200


@pytest.mark.parametrize("heard", range(1, 7))
def test_a_fit_that_is_cancelled_anywhere_keeps_no_other_progress_bar_waiting(heard):
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) >= heard

    with pytest.raises(CancelledError):
        fit(unit_table(200, 16), ["image"] * 200, UMAP, cancelled=cancelled)
    # In a thread of its own, as Sentence Transformers makes one for every question.
    other = threading.Thread(target=lambda: list(tqdm(range(1), disable=True)), daemon=True)
    other.start()
    other.join(60)
    assert not other.is_alive()


def test_new_items_are_placed_among_their_neighbours_and_marked():
    table, names = clip()
    rows = np.random.default_rng(0).permutation(1000)
    old, new = (table.take([table.ids[row] for row in part]) for part in (rows[100:], rows[:100]))
    fitted = fit(old, [names[row] for row in rows[100:]], UMAP)
    grown = place(fitted, table, new)
    assert grown.ids == (*fitted.ids, *new.ids) and grown.placed.sum() == 100 and not grown.placed[:900].any()
    assert (grown.places[:900] == fitted.places).all()
    ordered = grown.take(table.ids)
    assert islands(ordered.places) > 2
    score = trustworthiness(table.vectors, ordered.places, n_neighbors=15, metric="cosine")
    assert score > trustworthiness(table.vectors, fit(table, names, UMAP).places, n_neighbors=15) - 0.1
    with pytest.raises(ValueError, match="on the map already"):
        place(grown, table, new)


def test_fitted_on_one_modality_the_others_are_placed_in_the_order_of_the_table():
    table, names = clip()
    found = fit(table, names, ProjectionSettings(fit_on="image"))
    assert found.ids == table.ids and found.placed.tolist() == [False] * 500 + [True] * 500
    with pytest.raises(ProjectionError, match="no audio to fit"):
        fit(table, names, ProjectionSettings(fit_on="audio"))


def test_a_projection_checks_itself():
    good = Projection(("a", "b"), np.zeros((2, 2), np.float32), np.zeros(2, bool), "pca")
    assert good.take(["b"]).ids == ("b",)
    for wrong in (
        {"ids": ("a",)},
        {"ids": ("a", "a")},
        {"places": np.zeros((2, 4), np.float32)},
        {"places": np.zeros((2, 2))},
        {"places": np.full((2, 2), np.nan, np.float32)},
        {"placed": np.zeros(2)},
        {"placed": np.zeros(3, bool)},
    ):
        with pytest.raises(ValueError):
            Projection(
                **{"ids": good.ids, "places": good.places, "placed": good.placed, "method": "pca", **wrong}
            )


def test_of_too_many_a_sample_is_fitted_and_the_others_are_placed_in_it():
    table = two_islands(300)
    kinds = ["image"] * 280 + ["text"] * 20
    shares: list[float] = []
    found = fit(table, kinds, UMAP_SMALL, most=100, on_progress=shares.append)
    assert found.ids == table.ids and not found.added.any()
    fitted = np.flatnonzero(~found.placed)
    assert 95 <= len(fitted) <= 110 and 7 <= (fitted >= 280).sum() <= 12
    assert f"fitted on {len(fitted)} of 300 items" in found.note
    assert shares == sorted(shares) and shares[-1] <= 1
    again = fit(table, kinds, UMAP_SMALL, most=100)
    assert (again.places == found.places).all() and (again.placed == found.placed).all()
    other = fit(table, kinds, replace(UMAP_SMALL, seed=7), most=100)
    assert (other.placed != found.placed).any()


def test_what_is_placed_lies_in_its_own_island():
    """A few fitted items may land anywhere, on some processors: the median of ten is not moved by them."""
    table, odd = two_islands(300), np.arange(300) % 2
    found = fit(table, ["image"] * 300, UMAP_SMALL, most=100)
    fitted = ~found.placed
    middles = np.stack([np.median(found.places[fitted & (odd == side)], axis=0) for side in (0, 1)])
    own = np.linalg.norm(found.places[:, None] - middles, axis=2).argmin(1) == odd
    assert own[found.placed].all() and own[fitted].mean() > 0.9


@pytest.mark.parametrize("settings", [PCA_2, UMAP_SMALL, replace(UMAP_SMALL, dims=3)])
def test_what_is_placed_lies_at_the_median_of_its_nearest_fitted_neighbours(settings):
    table = two_islands(300)
    old, new = table.take(table.ids[:200]), table.take(table.ids[200:])
    fitted = fit(old, ["image"] * 200, settings)
    placed = place(fitted, old, new).take(new.ids).places
    near = NearestNeighbors(n_neighbors=10, metric="cosine").fit(old.vectors)
    rows = near.kneighbors(new.vectors, return_distance=False)
    assert placed == pytest.approx(np.median(fitted.places[rows], axis=1), abs=1e-5)


def test_a_modality_fitted_alone_is_sampled_too():
    table = two_islands(300)
    kinds = ["image"] * 250 + ["text"] * 50
    found = fit(table, kinds, replace(UMAP_SMALL, fit_on="image"), most=100)
    assert found.placed[250:].all() and (~found.placed[:250]).sum() == 100


def test_placing_can_be_cancelled():
    table = two_islands(300)
    shares: list[float] = []
    with pytest.raises(CancelledError):
        fit(
            table,
            ["image"] * 300,
            UMAP_SMALL,
            most=100,
            on_progress=shares.append,
            cancelled=lambda: bool(shares) and shares[-1] >= 0.5,
        )


def test_anchors_are_drawn_where_asking_all_of_them_takes_too_long(monkeypatch):
    table = two_islands(400)
    fitted = fit(table.take(table.ids[:300]), ["image"] * 300, ProjectionSettings("pca"))
    rest = table.take(table.ids[300:])
    all_of_them = place(fitted, table, rest)
    monkeypatch.setattr("engine.maps.placing._PLACE_PAIRS", 100 * 50)
    monkeypatch.setattr("engine.maps.placing._LEAST", 20)
    some = place(fitted, table, rest)
    assert (some.places != all_of_them.places).any()
    assert np.linalg.norm(some.places - all_of_them.places, axis=1).max() < 1.0


def test_a_pca_in_blocks_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr("engine.maps.pca._BLOCK", 37)
    table = two_islands(200)
    found = fit(table, ["image"] * 200, ProjectionSettings("pca"))
    expected = PCA(2).fit_transform(table.vectors.astype(np.float64))
    assert np.abs(np.abs(found.places) - np.abs(expected)).max() < 1e-4


def two_islands(count: int) -> VectorTable:
    """Return unit vectors round two directions, even rows round the one and odd rows round the other."""
    rng = np.random.default_rng(5)
    middle = np.where((np.arange(count) % 2)[:, None], 1.0, -1.0) * np.eye(16)[0] * 3
    rows = (middle + rng.normal(size=(count, 16))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return VectorTable(tuple(f"{row:064x}" for row in range(count)), rows)
