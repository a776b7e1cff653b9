"""Lesson 10: dots of gap and retrieval at one n over a data folder, their trend, and what is left out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine.analysis import gap
from engine.lessons.many import (
    LEAST_DOTS,
    dot,
    dots,
    first_grid,
    gap_grid,
    matrix,
    modalities_of,
    to_csv,
    trend,
)
from engine.progress import CancelledError, Watch
from engine.workspace import Workspace
from tests.helpers.gapped import store
from tests.helpers.lesson_pairs import clip_pairs, drawn_pairs
from tests.helpers.workspaces import make_settings

HEARD = Watch()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, models_dir):
    opened = Workspace.open(make_settings(tmp_path_factory.mktemp("many"), models_dir))
    store(opened, 60, name="large")
    store(opened, 30, name="middle", modalities=("text", "image", "audio"))
    store(opened, 8, name="small")
    store(opened, 3, name="tiny")
    store(opened, 40, name="words", modalities=("text",))
    yield opened.folder
    opened.close()


def test_all_dots_are_on_as_many_pairs_and_what_has_none_is_named_with_its_reason(folder):
    found = dots(folder, least=20, watch=HEARD)
    assert [(one.collection, one.a, one.b, one.there) for one in found.dots] == [
        ("large", "image", "text", 60),
        ("middle", "image", "audio", 30),
        ("middle", "image", "text", 30),
        ("middle", "audio", "text", 30),
    ]
    assert found.n == 30 and {one.n for one in found.dots} == {30}
    said = " ".join(found.left_out)
    assert "small, pictures and texts: 8 pairs, and 20 are asked for." in said
    assert "'tiny' has 3 pairs" in said and "words: holds texts only." in said
    fewer = dots(folder, least=4, watch=HEARD)
    assert fewer.n == 8 and len(fewer.dots) == 5


def test_a_dot_is_what_its_own_rows_say():
    pairs = drawn_pairs(50, noise=1.0, seed=4)
    found = dot(pairs, 50)
    assert (found.l2m, found.rmg) == pytest.approx((gap.l2m(pairs.x, pairs.y), gap.rmg(pairs.x, pairs.y)))
    cosines = pairs.x @ pairs.y.T
    both = [(np.argmax(some, axis=1) == np.arange(50)).mean() for some in (cosines, cosines.T)]
    assert found.r1 == pytest.approx(np.mean(both)) and 0 < found.r1 < 1


def test_golden_dot_of_clip():
    found = dot(clip_pairs(), 500)
    assert (found.l2m, found.rmg, found.r1) == pytest.approx((0.8514, 0.5915, (0.552 + 0.506) / 2), abs=1e-3)


def test_the_matrix_has_every_two_modalities(folder):
    found = matrix(folder, "middle", HEARD)
    assert {(one.a, one.b) for one in found} == {("text", "image"), ("text", "audio"), ("image", "audio")}
    assert all(one.pairs == 30 and one.of_pairs for one in found)
    kinds = modalities_of(found)
    gaps, firsts = gap_grid(found, "RMG"), first_grid(found)
    for one in found:
        a, b = kinds.index(one.a), kinds.index(one.b)
        assert gaps[a, b] == gaps[b, a] == np.float32(one.rmg)
        assert gap_grid(found, "L2M")[b, a] == np.float32(one.l2m)
        assert firsts[a, b] == np.float32(one.of_pairs.a_to_b.hits["1"].mean)
        assert firsts[b, a] == np.float32(one.of_pairs.b_to_a.hits["1"].mean)
    assert np.isnan(np.diag(gaps)).all() and np.isnan(np.diag(firsts)).all()
    unpaired = [replace(one, rmg=None, of_pairs=None) for one in found]
    assert np.isnan(gap_grid(unpaired, "RMG")).all() and np.isnan(first_grid(unpaired)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_trend_is_spearmans_with_a_permuted_p(seed):
    chance = np.random.default_rng(seed)
    x, y = chance.integers(0, 6, size=(2, 12)).astype(float)  # with ties
    found, theirs = trend(x, y), spearmanr(x, y)
    assert found.rho == pytest.approx(theirs.statistic) and found.p == pytest.approx(theirs.pvalue, abs=0.05)
    assert found == trend(x**3, y)  # ranks alone count
    assert trend(x, -y).rho == pytest.approx(-found.rho)


def test_few_dots_and_dots_of_one_gap_tell_no_trend():
    line = np.arange(LEAST_DOTS, dtype=float)
    assert trend(line[1:], line[1:]) is None and trend(np.ones(9), np.arange(9.0)) is None
    found = trend(line, -line)
    assert found.rho == pytest.approx(-1) and 1 / 2001 < found.p < 0.05


def test_the_csv_holds_every_dot_and_no_formula(folder):
    found = dots(folder, least=20, watch=HEARD)
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert [row["collection"] for row in rows] == [one.collection for one in found.dots]
    assert float(rows[0]["l2m"]) == pytest.approx(found.dots[0].l2m, abs=1e-6) and rows[0]["n"] == "30"


def test_a_cancel_is_heard_and_an_empty_folder_has_no_dot(folder, tmp_path, models_dir):
    with pytest.raises(CancelledError):
        dots(folder, least=4, watch=Watch(cancelled=lambda: True))
    empty = Workspace.open(make_settings(tmp_path, models_dir))
    assert dots(empty.folder, least=4, watch=HEARD).dots == ()
    empty.close()
