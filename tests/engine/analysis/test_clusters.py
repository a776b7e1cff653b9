"""Clusters equal scikit-learn's HDBSCAN on the vectors; noise stays noise, and odd inputs are no errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

import engine.analysis.clusters as clusters
from engine.analysis.clusters import NOISE, Clusters, cluster
from engine.progress import CancelledError, Watch
from engine.types import VectorTable
from engine.vectors import normalise
from tests.helpers.data import unit_table
from tests.helpers.golden import clip

few = settings(max_examples=15, deadline=None)


def blobs(n: int, dim: int = 8, count: int = 4, *, seed: int = 0, spread: float = 0.1) -> VectorTable:
    """Return directions around a few centres, row i around centre i % count, the last tenth anywhere."""
    chance = np.random.default_rng(seed)
    centres = np.linalg.qr(chance.normal(size=(dim, dim)))[0][:count]
    rows = centres[np.arange(n) % count] + spread * chance.normal(size=(n, dim)) / dim**0.5
    rows[n - n // 10 :] = chance.normal(size=(n // 10, dim))
    return VectorTable(tuple(f"{row:05}" for row in range(n)), (rows * 3).astype(np.float32))


def unit(table: VectorTable) -> np.ndarray:
    rows = table.vectors.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@few
@given(st.integers(20, 250), st.integers(2, 12), st.integers(0, 1000), st.sampled_from([0.1, 0.5, 1.0]))
def test_labels_equal_scikit_learn_s_where_no_two_edges_are_as_long(n, least, seed, spread):
    points = unit(blobs(n, seed=seed, spread=spread))
    watch = Watch()
    # With one neighbour that makes a place dense no reachability occurs twice, and the tree is the only one.
    found = clusters._hdbscan(points, clusters._nearest(points, 1, watch), least, watch)
    theirs = HDBSCAN(min_cluster_size=least, min_samples=2, copy=True).fit_predict(points)
    assert adjusted_rand_score(theirs, found) == pytest.approx(1)
    assert ((theirs == NOISE) == (found == NOISE)).all()


def test_labels_agree_with_scikit_learn_as_well_as_it_agrees_with_itself():
    """Equally long edges go by the order of rows there: rows in another order give it other labels too."""
    ours, itself = [], []
    for seed in range(30):
        table = blobs(150, seed=seed, spread=0.5)
        turned = np.random.default_rng(seed).permutation(150)
        model = HDBSCAN(min_cluster_size=8, copy=True)
        theirs = model.fit_predict(unit(table))
        itself.append(adjusted_rand_score(theirs[turned], model.fit_predict(unit(table)[turned])))
        ours.append(adjusted_rand_score(theirs, cluster(table, {}, min_cluster_size=8).labels))
    assert np.mean(ours) > np.mean(itself) - 0.02 > 0.9


@few
@given(st.integers(20, 250), st.integers(0, 1000))
def test_the_order_of_the_rows_does_not_matter(n, seed):
    table = blobs(n, seed=seed, spread=0.5)
    turned = table.take(np.array(table.ids)[np.random.default_rng(seed).permutation(n)].tolist())
    one, other = (cluster(some, {}, min_cluster_size=5) for some in (table, turned))
    labels = dict(zip(other.ids, other.labels, strict=True))
    assert [labels[id_] for id_ in one.ids] == one.labels.tolist() and one.sizes == other.sizes


def test_the_tree_is_a_minimum_spanning_tree_of_scipy_s_length():
    points = np.random.default_rng(0).normal(size=(80, 5))
    every = np.linalg.norm(points[:, None] - points, axis=2)
    core = np.sort(every, axis=1)[:, 5]
    reach = np.maximum(np.maximum(every, core), core[:, None])
    np.fill_diagonal(reach, 0)
    edges = clusters._tree(points, core, Watch())
    assert len(edges) == 79 and len(np.unique(edges)) == 80
    assert reach[edges[:, 0], edges[:, 1]].sum() == pytest.approx(minimum_spanning_tree(reach).sum())


def test_clusters_are_found_named_and_numbered_by_size():
    table = blobs(400)
    words = ("dog beach", "cat sofa", "red car", "")
    texts = {id_: f"a photo of {words[row % 4]}" for row, id_ in enumerate(table.ids[:360]) if row % 4 < 3}
    found = cluster(table, texts, min_cluster_size=12)
    assert found.ids == table.ids and found.labels.dtype == np.int32
    assert len(found.names) == len(found.sizes) == 4 and list(found.sizes) == sorted(
        found.sizes, reverse=True
    )
    assert sum(found.sizes) + found.noise == len(found) == 400 and 10 < found.noise < 60
    for row in range(360):
        if found.labels[row] != NOISE:
            name = found.names[found.labels[row]]
            assert set(words[row % 4].split()) <= set(name.split(", ")) if row % 4 < 3 else "cluster" in name
    again = cluster(table, texts, min_cluster_size=12)
    assert (again.labels == found.labels).all() and again.names == found.names


def test_real_clip_is_its_two_modalities_unless_each_is_clustered_by_itself():
    table, kinds = clip()
    together = cluster(table, {})
    assert together.sizes == (500, 500) and together.modalities == ()
    alone = cluster(table, {}, modalities=dict(zip(table.ids, kinds, strict=True)))
    assert alone.modalities == ("text", "image") and len(alone.sizes) > 4
    for label in range(len(alone.sizes)):
        assert len({kinds[row] for row in np.flatnonzero(alone.labels == label)}) == 1


def test_a_sample_gives_the_others_its_clusters_and_leaves_far_ones_noise(monkeypatch):
    table = blobs(1500, spread=0.3)
    whole = cluster(table, {}, min_cluster_size=20)
    monkeypatch.setattr(clusters, "SAMPLE", 500)
    some = cluster(table, {}, min_cluster_size=20)
    assert some.sample == 500 and whole.sample == 1500 and len(some.sizes) == len(whole.sizes) == 4
    inside = slice(0, 1350)
    both = (whole.labels[inside] != NOISE) & (some.labels[inside] != NOISE)
    assert (
        adjusted_rand_score(whole.labels[inside][both], some.labels[inside][both]) == 1 and both.mean() > 0.8
    )
    anywhere = (some.labels[1350:] == NOISE).mean(), (whole.labels[1350:] == NOISE).mean()
    assert anywhere[0] > 0.8 and anywhere[0] > anywhere[1] - 0.1
    assert (cluster(table, {}, min_cluster_size=20).labels == some.labels).all()


@pytest.mark.parametrize("least", [2, 3, 10, 1000])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 19])
@pytest.mark.parametrize("dim", [1, 3, 70])
def test_few_items_never_fail(n, least, dim):
    table = unit_table(n, dim)
    found = cluster(table, {}, min_cluster_size=least)
    heaps = dim == 1  # of one number all unit vectors are copies of two
    assert len(found) == n and (n >= 2 * least or heaps or found.noise == n)
    kinds = {id_: ("image", "text")[row % 2] for row, id_ in enumerate(table.ids)}
    assert len(cluster(table, {}, min_cluster_size=least, modalities=kinds)) == n


def of_all_rows(table: VectorTable, k: int, least: int) -> np.ndarray:
    """Return scikit-learn's labels by all distances between all rows, as `clusters.py` says what those are.

    Two different vectors: their distance, or the larger core distance, to the kth different vector. Copies:
    their core distance, and a little less, as they go first.
    """
    points = unit(table)
    different, of = np.unique(points, axis=0, return_inverse=True)
    core = NearestNeighbors(n_neighbors=k).fit(different).kneighbors()[0][:, -1][of]
    reach = np.maximum(np.linalg.norm(points[:, None] - points, axis=2), np.maximum(core[:, None], core))
    reach[of[:, None] == of] *= 1 - 1e-12
    np.fill_diagonal(reach, 0)
    return HDBSCAN(min_cluster_size=least, min_samples=1, metric="precomputed", copy=True).fit_predict(reach)


def repeated(table: VectorTable, rows: np.ndarray) -> VectorTable:
    return VectorTable(tuple(f"{place:05}" for place in range(len(rows))), table.vectors[rows])


@few
@given(st.integers(20, 90), st.integers(2, 12), st.integers(0, 1000), st.sampled_from([0.1, 0.5, 1.0]))
def test_copies_count_in_sizes_and_not_in_densities(n, least, seed, spread):
    times = np.random.default_rng(seed).geometric(0.5, size=n)
    table = repeated(blobs(n, seed=seed, spread=spread), np.repeat(np.arange(n), times))
    points = unit(blobs(n, seed=seed, spread=spread))
    watch = Watch()
    found = clusters._hdbscan(points, clusters._nearest(points, 1, watch), least, watch, times)
    theirs = of_all_rows(table, 1, least)
    assert adjusted_rand_score(theirs, np.repeat(found, times)) == pytest.approx(1)
    assert ((theirs == NOISE) == (np.repeat(found, times) == NOISE)).all()


def test_without_copies_the_clusters_are_those_of_all_rows():
    table = blobs(300, spread=0.5)
    points, watch = normalise(table.vectors).astype(np.float64), Watch()
    alone = clusters._hdbscan(points, clusters._nearest(points, 7, watch), 8, watch)
    same, _ = clusters._largest_first(alone, np.arange(300))
    assert np.array_equal(cluster(table, {}, min_cluster_size=8).labels, same)


def test_enough_copies_are_never_noise_and_fewer_are_treated_alike():
    anywhere = np.random.default_rng(3).normal(size=(200, 8)).astype(np.float32)
    rows = np.concatenate([np.arange(200), np.repeat([5, 9], [49, 3])])
    table = repeated(VectorTable(tuple(f"{row:05}" for row in range(200)), anywhere), rows)
    found = cluster(table, {})
    heap = found.labels[rows == 5]
    assert len(set(heap)) == 1 and heap[0] != NOISE and found.sizes[heap[0]] >= 50
    assert len(set(found.labels[rows == 9])) == 1
    few_copies = cluster(table.take(table.ids[200:]), {})  # fewer than two clusters could be made of
    assert few_copies.sizes == (49,) and few_copies.noise == 3


def test_copies_do_not_tear_the_cluster_that_they_lie_in():
    table = blobs(400, spread=0.3)
    before = cluster(table, {})
    for row in (0, 1, 100):
        found = cluster(repeated(table, np.concatenate([np.arange(400), np.full(15, row)])), {})
        assert len(set(found.labels[400:])) == 1 and found.labels[400] == found.labels[row]
        assert adjusted_rand_score(before.labels, found.labels[:400]) > 0.9


def test_copies_of_what_a_sample_lacks_are_treated_alike(monkeypatch):
    rows = np.repeat(np.arange(900), np.where(np.arange(900) % 9, 1, 3))
    monkeypatch.setattr(clusters, "SAMPLE", 300)
    found = cluster(repeated(blobs(900, spread=0.3), rows), {})
    assert len(found.sizes) == 4 and all(len(set(found.labels[rows == row])) == 1 for row in range(0, 900, 9))


@pytest.mark.parametrize("dim", [3, 70])
def test_vectors_that_are_all_the_same_are_a_cluster_and_two_heaps_are_two(dim):
    same = np.tile(np.random.default_rng(0).normal(size=(1, dim)), (60, 1)).astype(np.float32)
    same *= np.random.default_rng(1).uniform(0.5, 2, size=(60, 1)).astype(np.float32)
    ids = tuple(f"{n:02}" for n in range(60))
    for rows, size in ((60, 60), (12, 12), (9, 0)):
        found = cluster(VectorTable(ids[:rows], same[:rows]), {})
        assert sum(found.sizes) == size and found.noise == rows - size
    other = np.random.default_rng(2).normal(size=(1, dim)).astype(np.float32)
    heaps = VectorTable(ids, np.concatenate([same[:30], np.tile(other, (30, 1))]))
    found = cluster(heaps, {})
    assert found.sizes == (30, 30) and found.noise == 0 and found.labels.tolist() == [0] * 30 + [1] * 30


def test_scikit_learn_does_not_build_its_own_tree_which_would_stop_every_thread(monkeypatch):
    def held(*arguments: object) -> None:
        raise AssertionError("this loop holds Python's lock until it is done")

    for name in ("mst_from_data_matrix", "mst_from_mutual_reachability"):
        monkeypatch.setattr(f"sklearn.cluster._hdbscan.hdbscan.{name}", held)
    assert len(cluster(blobs(200), {}).sizes) == 4


def test_bad_input_is_refused_and_a_cancel_is_heard():
    table = blobs(300)
    with pytest.raises(ValueError, match="2 or more"):
        cluster(table, {}, min_cluster_size=1)
    with pytest.raises(ValueError, match="modality of"):
        cluster(table, {}, modalities=dict.fromkeys(table.ids[1:], "image"))
    with pytest.raises(ValueError, match="zero"):
        cluster(VectorTable(("a", "b"), np.zeros((2, 3), np.float32)), {})
    seen: list[float] = []
    with pytest.raises(CancelledError):
        cluster(table, {}, on_progress=seen.append, cancelled=lambda: bool(seen) and seen[-1] >= 0.3)
    assert 0.3 <= seen[-1] < 0.8
    cluster(table, {}, on_progress=seen.append, modalities=dict.fromkeys(table.ids, "image"))
    assert seen[-1] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": np.array([0, 0], np.int64)},
        {"labels": np.array([0], np.int32)},
        {"sizes": (1,)},
        {"names": ("a", "b"), "sizes": (2, 0, 0)},
        {"names": ("a", "a"), "sizes": (2, 0)},
        {"labels": np.array([0, -2], np.int32), "sizes": (1,)},
        {"ids": ("x", "x")},
    ],
)
def test_clusters_whose_parts_disagree_are_refused(wrong):
    right = {"ids": ("x", "y"), "labels": np.zeros(2, np.int32), "names": ("a",), "sizes": (2,)}
    facts = {"min_cluster_size": 2, "sample": 2, "seed": 0}
    assert Clusters(**right, **facts).noise == 0
    with pytest.raises(ValueError):
        Clusters(**{**right, **wrong}, **facts)
