"""All measures of every two modalities: golden values of real CLIP, what is left out and why, bad input."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from engine.analysis.gap import l2m, rmg, unit
from engine.errors import GapError
from engine.evaluation import gap_matrix
from engine.evaluation.gap_edits import edited_gaps
from engine.evaluation.gap_matrix import gaps
from engine.progress import CancelledError
from engine.types import VectorTable
from tests.helpers.data import unit_table
from tests.helpers.golden import golden


def table(rows: np.ndarray, name: str) -> VectorTable:
    return VectorTable(tuple(f"{name}{n}" for n in range(len(rows))), rows.astype(np.float32))


def paired(x: np.ndarray, y: np.ndarray):
    """Return pictures and texts as tables, row i with row i, and what their ids belong to."""
    return {"image": table(x, "i"), "text": table(y, "t")}, {
        f"{m}{n}": n for m in "it" for n in range(len(x))
    }


def related(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    shared = chance.normal(size=(n, 12))
    return tuple(unit(shared + 0.5 * chance.normal(size=(n, 12)) + side) for side in (0.6, -0.6))


def numbers(document: object) -> list[float]:
    """Return every number of a document."""
    if isinstance(document, dict):
        return [one for value in document.values() for one in numbers(value)]
    if isinstance(document, list | tuple):
        return [one for value in document for one in numbers(value)]
    return [document] if isinstance(document, int | float) else []


def test_p26_golden_values_of_clip():
    [found] = gaps(*paired(*golden("features_clip.npy")))
    pairs = found.of_pairs
    measured = {
        "l2m": (found.l2m, 0.8514),
        "unbiased": (found.l2m_unbiased, 0.850),
        "rmg": (found.rmg, 0.5915),
        "l2i": (pairs.l2i, 1.1745),
        "alignment": (pairs.alignment, 1.380),
        "uniformity of images": (found.uniformity_a, -1.794),
        "uniformity of texts": (found.uniformity_b, -1.841),
        "uniformity across": (pairs.uniformity_across, -3.334),
        "cone of images": (found.cone_a, 0.5315),
        "cone of texts": (found.cone_b, 0.5152),
        "separability": (found.separability, 1),
        "purity": (found.purity, 1),
        "purity if mixed": (found.purity_baseline, 499 / 999),
        "crowding by images": (pairs.crowding_a, 0.992),
        "crowding by texts": (pairs.crowding_b, 0.964),
        "first dimension": (found.top_dims["1"], 0.346),
        "three dimensions": (found.top_dims["3"], 0.714),
        "ten dimensions": (found.top_dims["10"], 0.802),
        "first component": (found.pc1_agreement, 0.9998),
        "loss": (pairs.loss, 0.566),
        "cosine of pairs": (pairs.cosine_paired, 0.3099),
        "cosine of no pairs": (pairs.cosine_unpaired, 0.1616),
    }
    for name, (value, wanted) in measured.items():
        assert value == pytest.approx(wanted, abs=1e-3), name
    assert found.l2m_squared_unbiased == pytest.approx(found.l2m_unbiased**2)
    assert (pairs.rmg_shuffled, found.null_purity.mean) == pytest.approx((0.637, 499 / 999), abs=2e-3)
    nulls = (found.null, found.null_swap, found.null_purity, pairs.null_partners)
    assert {one.p for one in nulls} == {1 / 201} and found.null_separability.p < 1e-9
    assert set(found.intervals) == {
        *("l2m", "l2m_unbiased", "l2m_squared_unbiased", "rmg", "l2i", "alignment", "cone_a", "cone_b"),
        *(
            "cosine_across",
            "cosine_unpaired",
            "cosine_paired",
            "uniformity_a",
            "uniformity_b",
            "separability",
        ),
        *(
            "uniformity_across",
            "purity",
            "crowding_a",
            "crowding_b",
            "rank_distance",
            "neighbour_overlap",
            "loss",
        ),
    }
    for name, (low, high) in found.intervals.items():
        value = getattr(found, name) if hasattr(found, name) else getattr(pairs, name)
        assert low <= value <= high, name
    assert (found.pairs, found.absent, found.notes) == (500, {}, ())


def test_every_two_modalities_get_their_numbers():
    tables = {
        "text": unit_table(12, seed=1),
        "image": unit_table(20, seed=2, start=100),
        "audio": unit_table(1, seed=3, start=900),
        "video": VectorTable((), np.zeros((0, 8), np.float32)),
    }
    pair_of = {f"{row:064x}": f"{row + 100:064x}" for row in range(12)}
    found = {(one.a, one.b): one for one in gaps(tables, pair_of, k=5)}
    assert set(found) == {("text", "image"), ("text", "audio"), ("image", "audio")}
    words = found["text", "image"]
    assert (words.n_a, words.n_b, words.pairs, words.k) == (12, 20, 12, 5)
    assert words.rmg == pytest.approx(
        rmg(unit(tables["text"].vectors), unit(tables["image"].vectors[:12])), abs=1e-12
    )
    assert (words.of_pairs.a_to_b.candidates, words.of_pairs.b_to_a.questions) == (20, 12)
    alone = found["image", "audio"]
    assert (alone.rmg, alone.l2m_unbiased, alone.null, alone.purity) == (None, None, None, None)
    assert alone.separability is None and alone.l2m > 0 and alone.intervals == {}
    assert "there is one audio" in alone.absent["cone_b"] and "cone_a" not in alone.absent


def test_a_large_modality_is_sampled_and_says_so():
    x, y = related(400)
    tables, pair_of = paired(x, y)
    [found] = gaps(tables, pair_of, sample=100)
    assert (found.n_a, found.n_b, found.sample_a, found.sample_b) == (400, 400, 100, 100)
    assert (found.of_pairs.sample, found.pairs) == (100, 400)
    assert found.l2m == pytest.approx(l2m(x, y), abs=1e-6)


def test_of_a_very_large_modality_a_part_is_measured_with_its_pairs_and_that_is_said(monkeypatch):
    monkeypatch.setattr(gap_matrix, "MOST_ROWS", 150)
    x, y = related(400)
    tables, pair_of = paired(x, y[:160])
    [found] = gaps(tables, pair_of, seed=1)
    assert (found.n_a, found.n_b, found.rows_a, found.rows_b) == (400, 160, 150, 150)
    assert found.notes[0] == "Everything is measured on 150 of 400 image items, drawn by the seed."
    assert len(found.notes) == 2 and found.l2m == pytest.approx(l2m(x, y), abs=0.1)
    together, same = paired(x, y)
    [whole] = gaps(together, same, seed=1)
    assert (whole.pairs, whole.rows_a) == (150, 150)
    few = gap_matrix.drawn_tables(together, same, seed=1)
    assert [id_[1:] for id_ in few["image"].ids] == [id_[1:] for id_ in few["text"].ids]
    assert few["text"].vectors[0] == pytest.approx(y[int(few["text"].ids[0][1:])], abs=1e-6)
    [change] = edited_gaps(together, same, "centre", seed=1)
    assert change.fitted_a + change.before.n_a == 150


def test_without_pairs_what_needs_them_is_left_out_in_words():
    tables, _ = paired(*related(40))
    [found] = gaps(tables, {})
    assert (found.pairs, found.rmg, found.null_swap, found.of_pairs) == (0, None, None, None)
    assert set(found.absent) == {"rmg", "null_swap", "of_pairs"}
    assert "no pairs" in found.absent["of_pairs"]
    assert set(found.intervals) == {
        *(
            "l2m",
            "l2m_unbiased",
            "l2m_squared_unbiased",
            "cone_a",
            "cone_b",
            "cosine_across",
            "cosine_unpaired",
        ),
        *("separability", "purity", "uniformity_a", "uniformity_b"),
    }
    assert found.purity is not None and found.hubs_a_to_b.skew is not None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_few_items_give_what_they_can_and_say_the_rest(count):
    x, y = related(count)
    [found] = gaps(*paired(x, y))
    assert found.l2m == pytest.approx(l2m(x, y), abs=1e-6)
    assert all(math.isfinite(one) for one in numbers(asdict(found)))
    for name in (
        *("rmg", "null", "null_swap", "separability", "null_separability", "purity", "null_purity"),
        *("cone_a", "uniformity_b", "of_pairs"),
    ):
        assert (getattr(found, name) is None) == (name in found.absent), name
    assert ("intervals" in found.absent) == (not found.intervals) == (count < 5)


@pytest.mark.parametrize("same", [1, 2, 3, 30])
def test_all_vectors_the_same_are_no_gap(same):
    rows = np.ones((same, 4))
    [found] = gaps(*paired(rows, rows))
    assert found.l2m == 0 and found.rmg in (0, None)
    assert "no direction" in found.absent["pc1_agreement"]
    assert all(math.isfinite(one) for one in numbers(asdict(found)))
    if same == 30:
        assert (found.null.p, found.null_swap.p) == (1, 1)
        assert found.of_pairs.a_to_b.hits["1"].mean == 0 and found.of_pairs.crowding_a == 0.5


def test_vectors_of_other_lengths_are_normalised_and_that_is_said():
    x, y = related(30)
    tables, pair_of = paired(x * np.linspace(1, 9, 30)[:, None], y)
    [long], [own] = gaps(tables, pair_of), gaps(*paired(x, y))
    assert long.notes == ("29 of 30 image vectors were not of unit length (1 to 9) and were normalised.",)
    assert (long.l2m, long.rmg) == pytest.approx((own.l2m, own.rmg), abs=1e-6)


def test_rows_without_a_direction_and_a_temperature_of_nothing_are_refused_in_words():
    x, y = related(10)
    x[3] = 0
    with pytest.raises(GapError, match=r"1 of 10 image vectors are zero .*\(i3 is the first\)"):
        gaps(*paired(x, y))
    for temperature in (0, -1, math.nan):
        with pytest.raises(GapError, match="more than 0"):
            gaps(*paired(y, y), temperature=temperature)
    with pytest.raises(ValueError, match="finite"):  # NaN cannot even be put into a table
        table(np.full((2, 3), np.nan), "i")


def test_a_cancel_is_heard_and_progress_told():
    told: list[float] = []
    gaps(*paired(*related(20)), on_progress=told.append)
    assert told == sorted(told) and told[-1] == 1
    with pytest.raises(CancelledError):
        gaps(*paired(*related(20)), cancelled=lambda: True)


def test_an_edit_is_fitted_on_some_items_and_measured_on_others():
    x, y = related(60)
    tables, pair_of = paired(x, y)
    [found] = edited_gaps(tables, pair_of, "centre", seed=3)
    assert (found.fitted_a, found.fitted_b, found.before.n_a, found.before.pairs) == (30, 30, 30, 30)
    assert found.after.l2m < found.before.l2m / 2 and found.after.pairs == 30
    [shifted] = edited_gaps(tables, pair_of, "shift", delta=-0.5, seed=3)
    assert shifted.before == found.before and shifted.after.l2m > found.before.l2m


def test_an_edit_of_too_few_or_of_vectors_that_vanish_is_refused_in_words():
    with pytest.raises(GapError, match="too few to fit"):
        edited_gaps(*paired(*related(3)), "centre")
    rows = np.ones((20, 4))
    with pytest.raises(GapError, match="leaves nothing of 10 of 10"):
        edited_gaps(*paired(rows, rows), "centre")
    assert edited_gaps({"image": table(np.eye(3), "i")}, {}, "centre") == []
