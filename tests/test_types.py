"""Proves that a table refuses what does not belong together, and derived numbers at their edges."""

import dataclasses

import numpy as np
import pytest

from engine.types import (
    MODALITIES,
    Failure,
    Filters,
    Hit,
    IngestReport,
    Item,
    Progress,
    Provenance,
    VectorTable,
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
    "kind", [Item, Hit, Failure, Progress, Provenance, VectorTable, Filters, IngestReport]
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
    assert (progress.share, progress.files_per_second, progress.seconds_left) == (0.4, 2.0, 3.0)
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
