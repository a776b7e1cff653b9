"""Lesson 1: who is nearest to a picture, and where its caption stands, by hand and on real samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import GapError
from engine.lessons.four import PREFERRED, NamedPairs, four_things, named_pairs, nearer_than_own
from engine.lessons.pairs import Pairs
from tests.helpers.gapped import rows, store
from tests.helpers.golden import golden


def pairs(x, y):
    ids = tuple(f"{n}" for n in range(len(x)))
    return Pairs("c", "m", "image", "text", ids, tuple(f"t{one}" for one in ids), x, y, len(x), 0)


X = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0, 0, 1.0]])
Y = np.array([[0.6, 0, 0.8], [0, 0.6, 0.8], [0, 0.8, 0.6], [0, 0, 1.0]])


def test_a_picture_may_be_nearest_to_another_picture_and_its_caption_the_first_of_captions():
    found = four_things(pairs(X, Y), 0, 1)
    assert found.cosines[0] == pytest.approx([1, 0.6, 0.8, 0]) and found.cosines[1, 3] == pytest.approx(0.64)
    assert np.allclose(found.cosines, found.cosines.T)
    assert found.nearest == "other picture" and (found.rank, found.among) == (1, 4)
    assert (found.mixed_rank, found.mixed_among) == (2, 7)


def test_the_own_or_the_other_caption_may_be_nearest_and_ties_share_their_places():
    assert four_things(pairs(X, Y), 0, 2).nearest == "own"
    swapped = Y[[1, 0, 2, 3]]
    assert four_things(pairs(X, swapped), 0, 1).nearest == "other picture"
    other = four_things(pairs(X, Y[[3, 1, 0, 2]]), 0, 2)
    assert other.nearest == "other caption" and other.rank == 3  # 0.6 before three that are equal at 0


def test_how_often_another_picture_is_nearer_than_the_own_caption():
    found = [X[n] @ X[m] > X[n] @ Y[n] for n in range(4) for m in range(4) if m != n]
    assert nearer_than_own(pairs(X, Y)) == pytest.approx(np.mean(found)) and 0 < np.mean(found) < 1
    assert nearer_than_own(pairs(*golden("features_clip.npy"))) > 0.9


def test_one_picture_twice_is_refused():
    with pytest.raises(GapError, match="the same one"):
        four_things(pairs(X, Y), 2, 2)


def test_of_clip_no_caption_is_nearer_than_any_picture_and_half_are_first_among_captions():
    x, y = golden("features_clip.npy")
    found = [four_things(pairs(x, y), row, (row + 1) % 500) for row in range(500)]
    assert np.mean([one.rank <= 1 for one in found]) == pytest.approx(0.552, abs=1e-3)
    assert all(one.mixed_rank > 100 for one in found)
    assert np.mean([one.nearest == "other picture" for one in found]) > 0.9


def test_named_pairs_of_samples_begin_with_two_of_a_kind_or_with_two_drawn(shared, workspace):
    named = named_pairs(shared.folder, "photos")
    assert len(set(named.names)) == len(named.pairs) == 24
    rows_of = {item.id: item for item in shared.store.all_items("photos", "image")}
    assert named.names[3] == rows_of[named.pairs.ids_x[3]].name
    assert named.captions[3] == rows_of[named.pairs.ids_x[3]].caption
    first, second = named.preset()
    assert first != second and {first, second} <= set(range(24))
    berries = NamedPairs(
        named.pairs, ("a.jpg", f"x/{PREFERRED[1]}.jpg", f"{PREFERRED[0]}.jpg"), ("",) * 3, 0.0
    )
    assert berries.preset() == (2, 1)


def test_names_that_occur_twice_carry_their_id(workspace):
    tables = store(workspace, 6)
    for modality, table in tables.items():
        items = workspace.ledger.get("gapped", modality, table.ids)[0]
        workspace.ledger.put("gapped", [replace(one, name="same") for one in items], table)
    named = named_pairs(workspace.folder, "gapped")
    assert len(set(named.names)) == 6 and all(name.startswith("same (") for name in named.names)
    assert named.pairs.x == pytest.approx(rows("image", 6), abs=1e-6)
