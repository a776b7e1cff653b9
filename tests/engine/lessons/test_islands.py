"""Lesson 3: the PCA keeps the distance of centroids, and the ratios of real CLIP are those that are known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import knn_purity, l2m, unit
from engine.errors import ProjectionError
from engine.lessons.islands import BINS, distance_over_spread, islands, umap
from engine.lessons.pairs import Pairs
from tests.helpers.golden import golden


def pairs(x, y):
    ids = tuple(f"{n}" for n in range(len(x)))
    return Pairs("c", "m", "image", "text", ids, tuple(f"t{one}" for one in ids), x, y, len(x), 0)


def clip(n=500):
    x, y = golden("features_clip.npy")
    return pairs(x[:n], y[:n])


def test_of_clip_the_islands_are_real_and_farther_apart_on_the_plane_than_they_are():
    found = islands(clip())
    assert found.l2m == pytest.approx(0.8514, abs=1e-3)
    assert found.ratio == pytest.approx(1.23, abs=0.01)
    assert found.pca.ratio == pytest.approx(4.25, abs=0.05)
    assert found.crossing == 0 and found.mixed == pytest.approx(500 / 999)


def test_the_first_axis_is_the_line_of_centroids_and_counts_every_item():
    x, y = (unit(np.random.default_rng(seed).normal(size=(30, 6)) + seed) for seed in (0, 2))
    found = islands(pairs(x, y))
    along = (x.mean(0) - y.mean(0)) / l2m(x, y)
    middle = np.concatenate([x, y]).mean(0)
    assert found.pca.x[:, 0] == pytest.approx((x - middle) @ along, abs=1e-5)
    assert np.linalg.norm(found.pca.x.mean(0) - found.pca.y.mean(0)) == pytest.approx(found.l2m, abs=1e-5)
    assert found.counts_x.sum() == found.counts_y.sum() == 30 and found.counts_x.shape == (BINS,)
    assert found.edges[0] == -found.edges[-1]
    own = [np.linalg.norm(rows - rows.mean(0), axis=1) ** 2 for rows in (x, y)]
    assert found.ratio == pytest.approx(found.l2m / np.sqrt(np.mean(own)))
    flat = [np.linalg.norm(rows - rows.mean(0), axis=1) ** 2 for rows in (found.pca.x, found.pca.y)]
    assert found.shown == pytest.approx(np.mean(flat) / np.mean(own), abs=1e-4)
    assert found.crossing == pytest.approx(1 - knn_purity(x, y, k=15))


def test_few_items_have_no_more_neighbours_than_their_modality_has_others():
    away = 9 * np.eye(8)[0]
    x, y = (unit(np.random.default_rng(n).normal(size=(4, 8)) + side * away) for n, side in ((0, 1), (1, -1)))
    found = islands(pairs(x, y))
    assert found.k == 3 and found.crossing == 0


def test_one_point_has_no_ratio_and_centroids_in_one_place_are_refused():
    same = np.tile(unit(np.array([[1.0, 2.0]])), (5, 1))
    assert distance_over_spread(same, same) is None
    with pytest.raises(ProjectionError, match="centroids are in the same place"):
        islands(pairs(same, same))


def test_umap_tears_clip_apart_farther_than_it_is_and_every_seed_does_it_otherwise():
    given = clip(60)
    one, other = (umap(given, n_neighbors=15, seed=seed) for seed in (0, 1))
    assert one.x.shape == one.y.shape == (60, 2)
    assert np.concatenate([one.x, one.y]).mean(0) == pytest.approx([0, 0], abs=1e-5)
    truth = distance_over_spread(given.x, given.y)
    assert one.ratio > 2 * truth and other.ratio > 2 * truth and one.ratio != pytest.approx(other.ratio)
