"""Proves that a table refuses what does not belong together, and derived numbers at their edges."""

import dataclasses

import numpy as np
import pytest

from engine.progress import Progress
from engine.types import (
    MODALITIES,
    Failure,
    Filters,
    Frames,
    Hit,
    IngestReport,
    Item,
    Provenance,
    Sound,
    VectorTable,
    same_fingerprint,
    to_fingerprint,
)


def table(n: int = 3) -> VectorTable:
    return VectorTable(tuple("abcdef"[:n]), np.arange(n * 2, dtype=np.float32).reshape(n, 2))


@pytest.mark.parametrize(
    ("ids", "vectors", "words"),
    [
        (("a",), np.zeros((2, 3), np.float32), "do not fit"),
        (("a", "b"), np.zeros((1, 3), np.float32), "do not fit"),
        (("a",), np.zeros(3, np.float32), "do not fit"),
        (("a",), np.zeros((1, 3, 1), np.float32), "do not fit"),
        (("a",), np.zeros((1, 3)), "float32"),
        (("a", "a"), np.zeros((2, 3), np.float32), "unique"),
        (("a",), np.full((1, 3), np.nan, np.float32), "finite"),
        (("a",), np.full((1, 3), np.inf, np.float32), "finite"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(ids, vectors, words):
    with pytest.raises(ValueError, match=words):
        VectorTable(ids, vectors)


def test_an_empty_table_is_fine():
    assert len(VectorTable((), np.zeros((0, 4), np.float32))) == 0


def test_take_keeps_ids_and_rows_together():
    taken = table().take(["c", "a"])
    assert taken.ids == ("c", "a")
    assert taken.vectors.tolist() == [[4, 5], [0, 1]]
    assert taken.vectors.dtype == np.float32
    assert len(table().take([])) == 0
    with pytest.raises(KeyError):
        table().take(["z"])


@pytest.mark.parametrize(
    "kind", [Item, Hit, Failure, Progress, Provenance, VectorTable, Filters, IngestReport, Sound, Frames]
)
def test_types_are_frozen(kind):
    assert kind.__dataclass_params__.frozen


def test_a_frozen_item_cannot_be_changed():
    item = Item("a" * 64, "image", "x.jpg", "image/jpeg", "a" * 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.name = "y"


def test_filters():
    assert all(Filters().allows(modality) for modality in MODALITIES)
    assert Filters(("image",)).allows("image")
    assert not Filters(("image",)).allows("text")


def test_progress_before_and_after_the_first_file():
    assert Progress("x", 0, 0).share == 0
    assert Progress("x", 0, 10).seconds_left is None
    assert Progress("x", 0, 10, elapsed_seconds=3).seconds_left is None
    assert Progress("x", 5, 10).seconds_left is None
    progress = Progress("x", 4, 10, elapsed_seconds=2)
    assert (progress.share, progress.done_per_second, progress.seconds_left) == (0.4, 2.0, 3.0)
    assert Progress("x", 12, 10).share == 1


def test_the_rate_of_a_report():
    assert IngestReport("c", "m", 6, 2, (), 4.0).per_second == 2.0
    assert IngestReport("c", "m", 0, 0, (), 0.0).per_second == 0.0


def test_a_hit_moves_without_losing_its_scores():
    hit = Hit(3, Item("a" * 64, "image", "x", "image/png", "a" * 64), 0.5, 3, 0.9)
    moved = hit.ranked(1)
    assert (moved.rank, moved.retrieval_rank, moved.score, moved.rerank_score) == (1, 3, 0.5, 0.9)


def test_provenance_in_words():
    assert str(Provenance("pocket", "1-abc", 384)) == "pocket 1-abc (384 dimensions)"


# ── sound and frames ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("samples", "rate_hz", "words"),
    [
        (np.zeros((2, 5), np.float32), 8_000, r"must be \(n,\) float32"),
        (np.zeros(0, np.float32), 8_000, r"must be \(n,\) float32"),
        (np.zeros(5), 8_000, r"must be \(n,\) float32, not \(5,\) float64"),
        (np.array([0, np.nan], np.float32), 8_000, "finite"),
        (np.array([0, np.inf], np.float32), 8_000, "finite"),
        (np.zeros(5, np.float32), 0, "rate must be positive"),
        (np.zeros(5, np.float32), -1, "rate must be positive"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate_hz, words):
    with pytest.raises(ValueError, match=words):
        Sound(samples, rate_hz)


def test_the_length_of_a_sound():
    assert Sound(np.zeros(12_000, np.float32), 8_000).seconds == 1.5


@pytest.mark.parametrize("axis", [0, 1])
def test_the_channels_of_a_sound_are_averaged(axis):
    left, right = np.linspace(-1, 1, 50), np.linspace(0, 1, 50)
    sound = Sound.of(np.stack([left, right], axis), 8_000)
    np.testing.assert_allclose(sound.samples, (left + right) / 2, atol=1e-6)
    assert sound.samples.dtype == np.float32
    assert sound.samples.flags.c_contiguous
    assert Sound.of(left[None], 8_000).samples.shape == (50,)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int8])
def test_whole_numbers_are_scaled_by_their_range(dtype):
    limits = np.iinfo(dtype)
    samples = np.array([limits.min, limits.min // 2, 0, limits.max], dtype)
    np.testing.assert_allclose(Sound.of(samples, 8_000).samples, [-1, -0.5, 0, 1], atol=0.01)
    stereo = np.stack([np.full(9, limits.max, dtype)] * 2)  # a mean in whole numbers would overflow
    np.testing.assert_allclose(Sound.of(stereo, 8_000).samples, 1, atol=0.01)


def test_a_sound_of_floats_is_taken_as_it_is():
    given = np.linspace(-0.5, 0.5, 7)
    for dtype in (np.float16, np.float32, np.float64):
        np.testing.assert_allclose(Sound.of(given.astype(dtype), 8_000).samples, given, atol=1e-3)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([np.nan])])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_become_a_sound_is_refused(samples):
    with pytest.raises(ValueError, match="samples must be"):
        Sound.of(samples, 8_000)


@pytest.mark.parametrize(
    ("pixels", "fps", "words"),
    [
        (np.zeros((4, 4, 3), np.uint8), 1.0, "frames must be"),
        (np.zeros((0, 4, 4, 3), np.uint8), 1.0, "frames must be"),
        (np.zeros((2, 4, 0, 3), np.uint8), 1.0, "frames must be"),
        (np.zeros((2, 3, 4, 4), np.uint8), 1.0, "frames must be"),
        (np.zeros((2, 4, 4, 3), np.float32), 1.0, "uint8, not .* float32"),
        (np.zeros((2, 4, 4, 3), np.uint8), 0.0, "must be positive"),
        (np.zeros((2, 4, 4, 3), np.uint8), float("nan"), "must be positive"),
    ],
)
def test_what_are_no_frames_is_refused(pixels, fps, words):
    with pytest.raises(ValueError, match=words):
        Frames(pixels, fps)


def test_frames_may_be_few_and_slow():
    assert Frames(np.zeros((1, 1, 1, 3), np.uint8), 0.01).fps == 0.01


# ── what made vectors ────────────────────────────────────────────────────────────────────────────

MADE_BY = Provenance("a/model", "c0ffee", 8, query_prompt="q: ", libraries="torch 1", max_pixels=100)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "b/model"}, "model 'a/model', not 'b/model'"),
        ({"revision": "main"}, "revision 'c0ffee', not 'main'"),
        ({"dim": 4}, "dim 8, not 4"),
        ({"dtype": "bfloat16"}, "dtype 'float32', not 'bfloat16'"),
        ({"query_prompt": ""}, "query prompt 'q: ', not ''"),
        ({"document_prompt": "d: "}, "document prompt '', not 'd: '"),
        ({"min_pixels": 5}, "min pixels the model's own, not 5"),
        ({"max_pixels": None}, "max pixels 100, not the model's own"),
    ],
)
def test_what_differs_is_told_in_words(fields, words):
    other = dataclasses.replace(MADE_BY, **fields)
    assert MADE_BY.differences(other) == [words]
    assert not MADE_BY.agrees_with(other)
    assert other != MADE_BY


def test_all_that_differs_is_told():
    assert len(MADE_BY.differences(Provenance("b", "2", 4, "bfloat16"))) == 6


def test_other_releases_that_make_the_same_vectors_agree():
    other = dataclasses.replace(MADE_BY, libraries="torch 2", fingerprint=to_fingerprint(np.arange(1, 9)))
    assert MADE_BY.differences(other) == []
    assert MADE_BY.agrees_with(other)
    assert other == MADE_BY


def test_releases_that_make_other_vectors_are_told_apart():
    rng = np.random.default_rng(0)
    vector, other = rng.normal(size=(2, 512))
    one, same, apart = (
        dataclasses.replace(MADE_BY, libraries=name, fingerprint=to_fingerprint(values))
        for name, values in (("torch 1", vector), ("torch 2", vector + 0.01 * other), ("torch 3", other))
    )
    assert one.agrees_with(same)
    assert one.differences(apart) == ["other vectors of the same things: torch 1, not torch 3"]


def test_a_fingerprint_is_short_and_ignores_the_length_of_a_vector():
    vector = np.random.default_rng(1).normal(size=4_096)
    assert len(to_fingerprint(vector)) <= 344
    assert same_fingerprint(to_fingerprint(vector), to_fingerprint(vector * 7))
    assert not same_fingerprint(to_fingerprint(vector), to_fingerprint(-vector))
    assert not same_fingerprint(to_fingerprint(vector), to_fingerprint(vector[:64]))
    assert same_fingerprint("", to_fingerprint(vector))


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [(np.uint8, [0, 128, 255]), (np.int16, [-32768, 0, 32767]), (np.int32, [-(2**31), 0, 2**31 - 1])],
)
def test_whole_numbers_become_samples_from_minus_one_to_one(dtype, numbers):
    samples = Sound.of(np.array(numbers, dtype), 8_000).samples
    np.testing.assert_allclose(samples, [-1, 0, 1], atol=0.01)
    assert samples.dtype == np.float32 and samples[1] == 0
