"""The calibration of mixed searches: golden values of real CLIP, and what a treatment may not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.crowding import Spread, calibrate, centre, standardise
from engine.analysis.pairwise import outranks
from engine.types import VectorTable
from tests.helpers.golden import golden

quick = settings(max_examples=40)


def table(rows: np.ndarray, name: str) -> VectorTable:
    return VectorTable(tuple(f"{name} {n}" for n in range(len(rows))), rows.astype(np.float32))


def calibrated(pictures: np.ndarray, texts: np.ndarray):
    tables = {"text": table(texts, "text"), "image": table(pictures, "image")}
    return calibrate(tables, {id_: int(id_.split()[1]) for one in tables.values() for id_ in one.ids})


def test_golden_crowding_of_clip():
    found = calibrated(*golden("features_clip.npy"))
    assert found.rows == {"text": 500, "image": 500}
    spreads = found.spreads["text"]
    assert spreads["image"].mean == pytest.approx(0.1616, abs=1e-3) and spreads["image"].n == 500 * 499
    assert spreads["text"].mean == pytest.approx(0.5152, abs=1e-3)
    crowded = found.outranked["text"]["image"], found.outranked["image"]["text"]
    assert [one.by_mode["raw"] for one in crowded] == pytest.approx([0.964, 0.992], abs=1e-3)
    assert all(one.by_mode["standardised"] < one.by_mode["centred"] < one.by_mode["raw"] for one in crowded)
    assert crowded[0].pairs == 500 and "interleaved" not in crowded[0].by_mode


def test_a_gap_is_centred_away():
    pictures, texts = golden("features_clip.npy")
    means = [centre(rows, rows.mean(0)).mean(0) for rows in (pictures, texts)]
    assert np.linalg.norm(means[0] - means[1]) == pytest.approx(0.028, abs=1e-3)  # L2M was .851


def test_too_few_pairs_give_no_probability_and_copies_no_spread():
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(9, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert calibrated(rows, rows).outranked == {"text": {}, "image": {}}
    copies = np.tile(rows[:1], (12, 1))
    found = calibrated(copies, copies)
    assert found.spreads["text"]["image"].sd == pytest.approx(0, abs=1e-6)
    by_mode = found.outranked["text"]["image"].by_mode
    assert by_mode == {"raw": 0.5, "centred": 0.5}  # all ties, and nothing to divide by


def test_a_row_that_is_the_mean_comes_back_without_a_direction():
    rows = np.eye(3, dtype=np.float32)
    moved = centre(np.vstack([rows, rows.mean(0)]), rows.mean(0))
    assert np.linalg.norm(moved, axis=1) == pytest.approx([1, 1, 1, 0]) and np.isfinite(moved).all()


@quick
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    st.lists(st.integers(-5, 5), min_size=1, max_size=30),
)
def test_outranks_is_the_share_of_all_pairs(unrelated, partners):
    wins = [(one > other) + (one == other) / 2 for one in unrelated for other in partners]
    found = outranks(np.array(unrelated, float), np.array(partners, float))
    assert found == pytest.approx(np.mean(wins)) and 0 <= found <= 1


@quick
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30),
    st.floats(-1, 1),
    st.floats(1e-3, 2),
)
def test_p16_p20_standardising_keeps_the_order_within_a_modality(scores, mean, sd):
    given_scores = np.array(scores)
    found = standardise(given_scores, Spread(mean, sd, 10))
    order = np.argsort(-given_scores, kind="stable")
    assert (np.diff(found[order]) <= 0).all()
