"""Near duplicates equal brute force over every pair, stay within a modality, and name one to keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

import engine.analysis.near_duplicates as near_duplicates
from engine.analysis.near_duplicates import Duplicates, Group
from engine.progress import CancelledError
from engine.types import Item, VectorTable
from tests.helpers.data import plain_items, unit_table

few = settings(max_examples=40, deadline=None)


def find(table: VectorTable, items, **more) -> Duplicates:
    """Call `near_duplicates.find` with the items at hand."""
    known = {item.id: item for item in items}
    modalities = {id_: item.modality for id_, item in known.items()}
    return near_duplicates.find(table, modalities, lambda ids: [known[id_] for id_ in ids], **more)


def mixed(table: VectorTable, names: list[str]) -> list[Item]:
    return [Item(id_, name, id_, "x/y", id_) for id_, name in zip(table.ids, names, strict=True)]


def heaps(n: int, seed: int, spread: float) -> VectorTable:
    """Return rows around a few places, at lengths of their own."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(max(1, n // 4), 5))
    rows = centres[chance.integers(len(centres), size=n)] + spread * chance.normal(size=(n, 5))
    rows *= chance.uniform(0.1, 10, size=(n, 1))
    return VectorTable(tuple(f"{row:03}" for row in range(n)), rows.astype(np.float32))


def cosines(table: VectorTable) -> np.ndarray:
    rows = table.vectors.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def sets(found: Duplicates) -> set[frozenset[str]]:
    return {frozenset(group.ids) for group in found.groups}


def brute(table: VectorTable, names: list[str], threshold: float) -> set[frozenset[str]]:
    """Walk from item to item of the same modality over every pair that is close enough."""
    close, left, found = cosines(table) >= threshold, set(range(len(table))), set()
    while left:
        waiting, seen = [left.pop()], set()
        while waiting:
            row = waiting.pop()
            seen.add(row)
            waiting += [o for o in left if close[row, o] and names[o] == names[row] and o not in seen]
            left -= set(waiting)
        if len(seen) > 1:
            found.add(frozenset(table.ids[row] for row in seen))
    return found


@few
@given(
    st.integers(0, 60),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.05, 0.2, 0.6]),
    st.sampled_from([0.5, 0.9, 0.97, 0.999]),
    st.sampled_from([1, 7, 2048]),
)
def test_it_equals_brute_force_over_every_pair(n, seed, spread, threshold, tile):
    table = heaps(n, seed, spread)
    names = np.random.default_rng(seed).choice(["image", "text", "audio"], n).tolist()
    every = cosines(table)
    assume(
        not ((every > threshold - 3e-6) & (every < threshold + 1e-6)).any()
    )  # float32 may decide either way
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_TILE", tile)
        found = find(table, mixed(table, names), threshold=threshold)
    assert sets(found) == brute(table, names, threshold)
    assert found.compared == sum(names.count(m) * (names.count(m) - 1) // 2 for m in set(names))
    place = {id_: row for row, id_ in enumerate(table.ids)}
    for group in found.groups:
        rows = [place[id_] for id_ in group.ids]
        pairs = every[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        assert group.similarity_min == pytest.approx(min(1, pairs.min()), abs=1e-6)
        assert group.similarity_max == pytest.approx(min(1, pairs.max()), abs=1e-6)
        assert group.keep == group.ids[0] and -1 <= group.similarity_min <= group.similarity_max <= 1
    assert found.surplus == sum(len(group.ids) - 1 for group in found.groups)
    assert [len(group.ids) for group in found.groups] == sorted(
        (len(group.ids) for group in found.groups), reverse=True
    )


@few
@given(st.integers(0, 1000), st.sampled_from([0.02, 0.2, 0.5, 1.0]), st.sampled_from([0.5, 0.8, 0.97, 1.0]))
def test_ruling_pairs_out_by_their_first_components_loses_none(seed, spread, threshold):
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(6, 200))[chance.integers(6, size=150)] + spread * chance.normal(
        size=(150, 200)
    )
    rows[100:120] = rows[:20] * 3
    rows[120:140] = rows[20:40] + 1e-3 * chance.normal(size=(20, 200))
    unit = near_duplicates._unit(rows.astype(np.float32))
    sieve, every = near_duplicates._sieve(unit), unit.astype(np.float64) @ unit.T
    assert sieve.shape == (150, near_duplicates._HEAD + 1)
    assert (sieve @ sieve.T >= every - near_duplicates._SLACK).all()
    both = slice(0, 150)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_CROWDED", 2.0)  # never a full product
        found = set(zip(*near_duplicates._close(unit, sieve, both, both, threshold), strict=True))
    sure, possible = every >= threshold + 1e-6, every >= threshold - 3e-6
    for pairs in (sure, possible):
        np.fill_diagonal(pairs, False)
    assert set(zip(*np.nonzero(sure), strict=True)) <= found <= set(zip(*np.nonzero(possible), strict=True))


def test_single_linkage_of_scipy_finds_the_same_groups():
    table = heaps(300, 1, 0.15)
    found = find(table, plain_items(table), threshold=0.98)
    rows = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)
    labels = fcluster(linkage(rows, "single", "cosine"), 0.02, "distance")
    expected = {frozenset(np.array(table.ids)[labels == label]) for label in set(labels)}
    assert sets(found) == {group for group in expected if len(group) > 1}


def test_copies_reach_a_threshold_of_one_whatever_their_length():
    rows = np.random.default_rng(0).normal(size=(40, 384)).astype(np.float32)
    table = VectorTable(tuple(f"{n:02}" for n in range(80)), np.concatenate([rows, rows * 3]))
    found = find(table, plain_items(table), threshold=1)
    assert sets(found) == {frozenset({f"{n:02}", f"{n + 40:02}"}) for n in range(40)}


def test_everything_the_same_is_one_group_per_modality():
    table = VectorTable(tuple(f"{n:04}" for n in range(3000)), np.full((3000, 4), 0.5, np.float32))
    names = ["image"] * 2500 + ["text"] * 500
    found = find(table, mixed(table, names))
    assert [len(group.ids) for group in found.groups] == [2500, 500] and found.surplus == 2998


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_items_and_one_of_a_modality_have_no_duplicates(n):
    table = unit_table(n)
    assert find(table, plain_items(table)) == Duplicates((), 0.97, n * (n - 1) // 2)
    same = VectorTable(("a", "b"), np.ones((2, 3), np.float32))
    assert find(same, mixed(same, ["image", "text"])).groups == ()


def test_a_chain_shows_that_its_ends_are_no_duplicates():
    angles = np.array([0, 10, 20, 90]) * np.pi / 180
    table = VectorTable(
        ("a", "b", "c", "d"), np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    )
    (group,) = find(table, plain_items(table), threshold=0.98).groups
    assert set(group.ids) == {"a", "b", "c"}
    assert group.similarity_min == pytest.approx(np.cos(np.pi / 9), abs=1e-6) and group.similarity_min < 0.98
    assert group.similarity_max == pytest.approx(np.cos(np.pi / 18), abs=1e-6)


def test_a_chain_is_told_and_rounding_makes_none():
    of = Duplicates((), 0.97, 0)
    assert of.is_chain(Group(("a", "b"), "a", 0.96, 0.99))
    assert not of.is_chain(Group(("a", "b"), "a", 0.97 - 5e-7, 0.99))


def test_without_one_group_s_others_it_is_what_a_new_search_would_find():
    table = heaps(80, 5, 0.1)
    items = plain_items(table)
    found = find(table, items, threshold=0.99)
    group = found.groups[0]
    gone = set(group.ids) - {group.keep}
    again = find(table.take(id_ for id_ in table.ids if id_ not in gone), items, threshold=0.99)
    assert found.without(gone).groups == again.groups and len(again.groups) == len(found.groups) - 1
    assert found.without([]) == found and found.without(["of none"]) == found
    assert len(group.ids) > 2 and found.without(group.ids[:1]) is None


def test_an_item_that_is_gone_meanwhile_is_in_no_group():
    table = VectorTable(tuple("abc"), np.ones((3, 4), np.float32))
    known = {item.id: item for item in plain_items(table) if item.id != "a"}
    found = near_duplicates.find(
        table, dict.fromkeys("abc", "image"), lambda ids: [known[id_] for id_ in ids if id_ in known]
    )
    assert [group.ids for group in found.groups] == [("b", "c")]


def test_the_largest_then_the_best_described_then_the_oldest_is_kept():
    table = VectorTable(tuple("abcdef"), np.ones((6, 3), np.float32))
    facts = [
        {"width_px": 100, "height_px": 100, "caption": "a long caption", "added_at": 1},
        {"width_px": 50, "height_px": 300, "caption": "short", "added_at": 9},
        {"width_px": 50, "height_px": 300, "caption": "longer", "added_at": 5},
        {"width_px": 300, "height_px": 50, "caption": "longer", "added_at": 4},
        {"width_px": 50, "height_px": 300, "caption": "longer", "added_at": 4},
        {"caption": "of unknown size", "added_at": 0},
    ]
    items = [
        Item(id_, "image", id_, "image/png", id_, **fact) for id_, fact in zip(table.ids, facts, strict=True)
    ]
    (group,) = find(table, reversed(items)).groups
    assert group.ids == tuple("decbaf") and group.keep == "d"


def test_the_order_of_the_rows_does_not_matter():
    table = heaps(80, 3, 0.1)
    items = plain_items(table)
    turned = find(table.take(table.ids[::-1]), items, threshold=0.99)
    assert sets(turned) == sets(find(table, items, threshold=0.99))
    assert [g.ids for g in turned.groups] == [g.ids for g in find(table, items, threshold=0.99).groups]


def test_bad_input_is_refused_and_a_cancel_is_heard(monkeypatch):
    table = unit_table(50)
    items = plain_items(table)
    for threshold in (0, -1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            find(table, items, threshold=threshold)
    with pytest.raises(ValueError, match="modality of"):
        find(table, items[1:])
    with pytest.raises(ValueError, match="zero"):
        find(
            VectorTable(("a",), np.zeros((1, 3), np.float32)),
            mixed(VectorTable(("a",), np.ones((1, 3), np.float32)), ["text"]),
        )
    monkeypatch.setattr(near_duplicates, "_TILE", 8)
    seen: list[float] = []
    with pytest.raises(CancelledError):
        find(table, items, on_progress=seen.append, cancelled=lambda: len(seen) > 3)
    assert len(seen) == 4
    find(table, items, on_progress=seen.append)
    assert seen[4:] == sorted(seen[4:]) and seen[-1] == 1
