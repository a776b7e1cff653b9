"""What widths and precisions do: the trend on real CLIP, a plain loop, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import l2m, rmg, unit
from engine.errors import GapError
from engine.lessons.widths import AS_IS, Widths, schemes, steps, widths
from engine.progress import CancelledError, Watch
from engine.workspace import Workspace
from tests.helpers.gapped import DIM, store
from tests.helpers.lesson_pairs import clip_pairs, drawn_pairs
from tests.helpers.workspaces import make_settings


def measured(pairs):
    fitted, held = pairs.halves()
    stored = np.concatenate([held.x, held.y]).astype(np.float32)
    found, left_out = schemes(fitted, (held.x, held.y, stored))
    assert left_out == []
    return held, {one.name: one for one in steps(held, found, stored, 1_000, Watch())}


def test_golden_clip_loses_much_by_a_cut_it_was_not_trained_for_little_by_bytes_and_rescoring_helps_bits():
    held, found = measured(clip_pairs())
    assert [one.bytes_per_vector for one in found.values()] == [2_048, 1_024, 512, 256, 512, 64, 576]
    as_is, cut, narrow, int8, bits, rescored = (
        found[name]
        for name in (AS_IS, "cut to 256", "cut to 64", "int8", "binary", "binary, rescored by int8")
    )
    assert (as_is.l2m, as_is.rmg) == pytest.approx((l2m(held.x, held.y), rmg(held.x, held.y)), abs=1e-5)
    for way in ("a_to_b", "b_to_a"):
        r1 = {one.name: getattr(one, way).hits[1].mean for one in found.values()}
        assert r1[AS_IS] > r1[cut.name] > r1[narrow.name]
        assert abs(r1[int8.name] - r1[AS_IS]) < 0.02
        assert r1[bits.name] < r1[rescored.name] <= r1[AS_IS]
        assert getattr(cut, way).changes[1].high < 0 and not getattr(as_is, way).changes
        assert getattr(rescored, way).hits[10].mean == pytest.approx(
            getattr(as_is, way).hits[10].mean, abs=0.02
        )
    assert int8.l2m == pytest.approx(as_is.l2m, abs=0.005)
    signs = [unit(np.where(rows > 0, 1.0, -1.0)) for rows in (held.x, held.y)]
    assert (bits.l2m, bits.rmg) == pytest.approx((l2m(*signs), rmg(*signs)), abs=1e-5)
    assert all(one.ms > 0 and one.megabytes == one.bytes_per_vector / 1_000 for one in found.values())


def test_recall_is_that_of_a_plain_loop_and_changes_are_of_the_same_questions():
    held, found = measured(drawn_pairs(60, noise=1.0))
    step = found["int8"]
    kept = {}
    for name, rows in (("x", held.x), ("y", held.y)):
        fitted, _ = drawn_pairs(60, noise=1.0).halves()
        both = np.concatenate([fitted.x, fitted.y])
        low, high = both.min(0), both.max(0)
        places = np.clip(np.floor((rows - low) / ((high - low) / 255)), 0, 255)
        kept[name] = low + (places + 0.5) * (high - low) / 255
    hits = np.array([np.argmax(held.x @ kept["y"].T, axis=1) == np.arange(30)])[0]
    plain = np.argmax(held.x @ held.y.T, axis=1) == np.arange(30)
    assert step.a_to_b.hits[1].mean == pytest.approx(hits.mean())
    assert step.a_to_b.changes[1].mean == pytest.approx((hits.astype(float) - plain).mean())
    assert 0 < found[AS_IS].a_to_b.hits[1].mean < 1


def test_a_cut_that_leaves_nothing_of_a_vector_is_left_out_with_its_reason():
    pairs = drawn_pairs(8, dim=100)
    pairs.x[0] = np.eye(100)[99]
    found, left_out = schemes(pairs, (pairs.x, pairs.y))
    assert list(found) == [AS_IS, "int8", "binary", "binary, rescored by int8"]
    assert left_out == ["cut to 64: 1 vectors are 0 in all of their first 64 numbers"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, models_dir):
    opened = Workspace.open(make_settings(tmp_path_factory.mktemp("widths"), models_dir))
    store(opened, 30, name="middle")
    store(opened, 3, name="tiny")
    yield opened.folder
    opened.close()


def test_a_collection_is_measured_on_the_half_that_bytes_were_not_calibrated_on(folder):
    found = widths(folder, "middle", watch=Watch())
    assert isinstance(found, Widths)
    assert (found.n, found.fitted, found.there, found.items, found.timed) == (15, 15, 30, 60, 60)
    assert found.dim == DIM and found.trained_widths == ()
    assert [one.name for one in found.steps] == [AS_IS, "int8", "binary", "binary, rescored by int8"]
    assert found.steps[0].megabytes == pytest.approx(60 * DIM * 4 / 1e6)
    assert found.steps[0].a_to_b.hits[1].n == 15


def test_what_cannot_be_measured_is_said_and_a_cancel_is_heard(folder):
    with pytest.raises(GapError, match="has 3 pairs"):
        widths(folder, "tiny", watch=Watch())
    with pytest.raises(CancelledError):
        widths(folder, "middle", watch=Watch(cancelled=lambda: True))
