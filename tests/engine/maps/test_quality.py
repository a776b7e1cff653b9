"""Map quality equals scikit-learn's and slow counting, and is None or says so where it cannot be computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness

import engine.maps.quality as quality_module
from engine.maps.projection import ProjectionSettings, fit
from engine.maps.quality import MapQuality, quality
from engine.progress import CancelledError
from engine.types import Projection, VectorTable
from tests.helpers.data import unit_table
from tests.helpers.golden import clip

few = settings(max_examples=25, deadline=None)
NUMBERS = ("trustworthiness", "continuity", "overlap", "cross_modal_original", "cross_modal_map")


def a_map(ids: tuple[str, ...], places: np.ndarray) -> Projection:
    return Projection(ids, places.astype(np.float32), np.zeros(len(ids), bool), "pca")


def drawn(n: int, seed: int = 0, dims: int = 2) -> tuple[VectorTable, Projection, dict[str, str]]:
    """Return vectors, a map that shows their first numbers badly, and two modalities."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(n, 6)).astype(np.float32)
    ids = tuple(f"{row}" for row in range(n))
    places = rows[:, :dims] + 0.3 * chance.normal(size=(n, dims))
    names = {id_: ("image", "text")[int(chance.integers(2))] for id_ in ids}
    return VectorTable(ids, rows), a_map(ids, places), names


def slow_neighbours(distances: np.ndarray) -> np.ndarray:
    """Return every row's others, nearest first."""
    return np.array([[j for j in np.argsort(row) if j != i] for i, row in enumerate(distances)])


def slow(table: VectorTable, projection: Projection, names: dict[str, str], k: int) -> dict[str, object]:
    """Count everything once more, from full matrices and one pair at a time."""
    x = table.vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = projection.places.astype(np.float64)
    first, second = slow_neighbours(1 - x @ x.T), slow_neighbours(((y[:, None] - y) ** 2).sum(2))
    kind = np.array([names[id_] for id_ in table.ids])
    kept = np.array([len(set(a[:k]) & set(b[:k])) / k for a, b in zip(first, second, strict=True)])
    return {
        "overlap": kept.mean(),
        "overlap_by_modality": {name: kept[kind == name].mean() for name in set(kind)},
        "cross_modal_original": np.mean([(kind[row[:k]] != kind[i]).mean() for i, row in enumerate(first)]),
        "cross_modal_map": np.mean([(kind[row[:k]] != kind[i]).mean() for i, row in enumerate(second)]),
    }


@few
@given(st.integers(3, 60), st.integers(1, 29), st.integers(0, 1000), st.sampled_from([2, 3]))
def test_it_equals_scikit_learn_and_slow_counting(n, k, seed, dims):
    table, projection, names = drawn(n, seed, dims)
    found = quality(table, projection, names, k=k, seed=seed)
    assert found.k == min(k, (n - 1) // 2) and bool(found.note) == (found.k < k)
    x, y = table.vectors.astype(np.float64), projection.places.astype(np.float64)
    expected = trustworthiness(x, y, n_neighbors=found.k, metric="cosine")
    assert found.trustworthiness == pytest.approx(expected, abs=1e-9)
    # Continuity is the same with the roles of the spaces swapped: unit vectors as the map, Euclidean.
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert found.continuity == pytest.approx(trustworthiness(y, x, n_neighbors=found.k), abs=1e-9)
    again = slow(table, projection, names, found.k)
    assert found.overlap == pytest.approx(again["overlap"])
    assert found.overlap_by_modality == pytest.approx(again["overlap_by_modality"])
    if len(set(names.values())) > 1:
        for name in ("cross_modal_original", "cross_modal_map"):
            assert getattr(found, name) == pytest.approx(again[name])


def test_real_clip_has_no_neighbours_across_and_its_map_equals_scikit_learn():
    table, names = clip()
    projection = fit(table, names, ProjectionSettings(method="pca"))
    found = quality(table, projection, dict(zip(table.ids, names, strict=True)))
    x = table.vectors.astype(np.float64)
    assert found.trustworthiness == pytest.approx(
        trustworthiness(x, projection.places.astype(np.float64), n_neighbors=15, metric="cosine"), abs=1e-9
    )
    assert found.cross_modal_original == 0 and found.cross_modal_chance == pytest.approx(500 / 999)
    assert (found.n, found.sample, found.pool, found.note) == (1000, 1000, 1000, "")
    assert found.sample_by_modality == {"text": 500, "image": 500}


def test_a_map_that_keeps_everything_scores_one_and_a_random_one_near_a_half():
    angles = np.sort(np.random.default_rng(0).uniform(0, 1, 200))
    circle = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    ids = tuple(f"{row}" for row in range(200))
    names = dict.fromkeys(ids, "image")
    kept = quality(VectorTable(ids, circle), a_map(ids, circle), names, k=10)
    assert kept.trustworthiness == kept.continuity == kept.overlap == 1
    shuffled = a_map(ids, np.random.default_rng(1).permutation(circle))
    lost = quality(VectorTable(ids, circle), shuffled, names, k=10)
    assert 0.4 < lost.trustworthiness < 0.6 and lost.overlap < 0.12
    assert lost.cross_modal_map is None and lost.cross_modal_chance is None


@pytest.mark.parametrize(("n", "k"), [(30, 3), (61, 15)])
def test_the_level_of_chance_is_the_mean_over_places_at_random(n, k):
    table, _, names = drawn(n)
    found = []
    for seed in range(60):
        places = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
        found.append(quality(table, a_map(table.ids, places), names, k=k))
    for name, chance in (
        ("trustworthiness", found[0].intrusion_chance),
        ("continuity", found[0].intrusion_chance),
        ("overlap", found[0].overlap_chance),
    ):
        values = [getattr(one, name) for one in found]
        assert np.mean(values) == pytest.approx(chance, abs=4 * np.std(values) / len(values) ** 0.5)


def test_the_mean_over_samples_is_the_number_over_everything():
    table, projection, names = drawn(300)
    whole = quality(table, projection, names)
    parts = [quality(table, projection, names, sample=60, seed=seed) for seed in range(40)]
    assert {(part.n, part.sample, part.pool) for part in parts} == {(300, 60, 300)}
    for name in NUMBERS:
        assert np.mean([getattr(part, name) for part in parts]) == pytest.approx(
            getattr(whole, name), abs=0.01
        )
    assert quality(table, projection, names, sample=60, seed=3) == parts[3]


def test_small_blocks_and_a_small_pool_change_nothing_but_the_pool(monkeypatch):
    table, projection, names = drawn(120)
    whole = quality(table, projection, names)
    monkeypatch.setattr(quality_module, "_BLOCK_NUMBERS", 700)
    assert quality(table, projection, names) == whole
    monkeypatch.setattr(quality_module, "_POOL_NUMBERS", 60 * 6)
    some = quality(table, projection, names, sample=50)
    assert (some.n, some.sample, some.pool) == (120, 50, 60)
    assert some.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.1)


@pytest.mark.parametrize("n", range(6))
def test_few_items_have_a_number_or_none(n):
    table, projection, names = drawn(n) if n else (unit_table(0), a_map((), np.zeros((0, 2))), {})
    found = quality(table, projection, names)
    assert found.k == max(0, (n - 1) // 2) and found.note and (found.n, found.pool) == (n, n)
    assert (found.trustworthiness is None) == (found.overlap is None) == (n < 3)


def test_vectors_that_are_all_the_same_hold_nothing_against_a_map():
    ids = tuple(f"{row}" for row in range(40))
    table = VectorTable(ids, np.full((40, 5), 0.3, np.float32))
    names = {id_: "image" if int(id_) < 20 else "text" for id_ in ids}
    spread = a_map(ids, np.random.default_rng(0).normal(size=(40, 2)))
    assert quality(table, spread, names).trustworthiness == 1 == quality(table, spread, names).overlap
    heap = quality(table, a_map(ids, np.zeros((40, 2))), names)
    assert heap.trustworthiness == heap.continuity == 1
    # Which of the equally near ones are the nearest is chance, and not the order of the modalities.
    assert heap.cross_modal_original == pytest.approx(heap.cross_modal_chance, abs=0.1)


def test_items_on_one_side_only_are_left_out_and_the_order_does_not_matter():
    table, projection, names = drawn(50)
    whole = quality(table.take(table.ids[:40]), projection, names)
    turned = quality(table.take(table.ids[:40]), projection.take(projection.ids[::-1]), names)
    assert whole.n == turned.n == 40
    for name in NUMBERS:
        assert getattr(whole, name) == pytest.approx(getattr(turned, name))


def test_what_cannot_be_measured_is_refused_and_a_cancel_is_heard():
    table, projection, names = drawn(20)
    for wrong in ({"k": 0}, {"sample": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            quality(table, projection, names, **wrong)
    with pytest.raises(ValueError, match="modality of"):
        quality(table, projection, {**names, "3": "smell"})
    with pytest.raises(ValueError, match="zero"):
        quality(VectorTable(table.ids, table.vectors * 0), projection, names)
    with pytest.raises(CancelledError):
        quality(table, projection, names, cancelled=lambda: True)
    seen: list[float] = []
    assert isinstance(quality(table, projection, names, on_progress=seen.append), MapQuality)
    assert seen[-1] == 1
