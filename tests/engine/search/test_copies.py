"""Copies are hidden behind the best of them and counted, and what is shown has no two that are as near."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryError
from engine.search.copies import EXACT, copy_cosine, hide_copies, note
from engine.search.search import Query
from engine.search.sorting import sort_hits
from engine.settings import load_settings
from engine.types import Filters, Hit, Item, Provenance, VectorTable
from engine.workspace import Workspace

MADE_BY = Provenance.of_import("test", 8)


def item(row: int, modality: str = "image", **fields: object) -> Item:
    return Item(f"{row:064x}", modality, f"{row}.jpg", "", f"{row:064x}", **fields)


def hits_of(items: list[Item]) -> tuple[Hit, ...]:
    return tuple(Hit(rank, one, 1 - rank / 100, rank) for rank, one in enumerate(items, 1))


def table_of(items: list[Item], vectors: np.ndarray) -> VectorTable:
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return VectorTable(tuple(one.id for one in items), rows.astype(np.float32))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=25), st.sampled_from([EXACT, 0.95, 0.8]))
def test_what_is_shown_are_no_copies_and_nothing_is_lost(places, cosine):
    angles = np.array(places) * 0.25  # cosines of 1, .97, .88, .73 …
    items = [item(row) for row in range(len(places))]
    table = table_of(items, np.stack([np.cos(angles), np.sin(angles)], axis=1))
    shown, copies = hide_copies(hits_of(items), {"image": table}, cosine)
    place = {one.item.id: row for row, one in enumerate(hits_of(items))}
    kept = table.take(hit.item.id for hit in shown).vectors
    between = kept @ kept.T
    assert (between[np.triu_indices(len(kept), 1)] < cosine).all()
    assert [hit.rank for hit in shown] == list(range(1, len(shown) + 1))
    rank = {hit.item.id: hit.rank for hit in shown}
    hidden = [(better, copy) for better, some in copies.items() for copy in some]
    assert len(hidden) + len(shown) == len(items)
    for better, copy in hidden:
        assert place[better] < place[copy.item.id] and copy.rank == rank[better]
        pair = table.take([better, copy.item.id]).vectors
        assert pair[0] @ pair[1] >= cosine


def test_another_modality_is_no_copy_nor_what_has_no_vector():
    items = [item(0), item(1, "text"), item(2)]
    table = table_of(items[:1], np.ones((1, 8)))
    shown, copies = hide_copies(
        hits_of(items), {"image": table, "text": table_of(items[1:2], np.ones((1, 8)))}, EXACT
    )
    assert len(shown) == 3 and copies == {}
    assert note(copies, EXACT) == ""


@pytest.fixture
def tenfold(tmp_path) -> Iterator[Workspace]:
    """Open a collection of ten pictures of which each was stored four times, under other ids."""
    opened = Workspace.open(load_settings(data_dir=tmp_path, min_free_disk_mb=1))
    vectors = np.repeat(np.random.default_rng(0).normal(size=(10, 8)), 4, axis=0)
    items = [item(row, metadata=(("of", row // 4),)) for row in range(40)]
    opened.ledger.set_provenance("ten", MADE_BY)
    table = table_of(items, vectors)
    opened.ledger.put("ten", items, table)
    opened.store.upsert("ten", MADE_BY, "image", items, table)
    yield opened
    opened.close()


@pytest.mark.parametrize("filters", [Filters(), Filters(labels=()), None])
def test_others_take_the_places_of_what_is_hidden(tenfold, filters):
    trace = tenfold.search(Query(like=f"{0:064x}"), collection="ten", k=10, filters=filters, copies=EXACT)
    assert {dict(hit.item.metadata)["of"] for hit in trace.results} == set(range(10))
    assert [hit.rank for hit in trace.results] == list(range(1, 11))
    assert sum(map(len, trace.copies.values())) == 29  # of 39: it asks with one of them
    assert trace.notes == ("29 copies of better hits hidden (equal vectors).",)
    for better, copies in trace.copies.items():
        assert {dict(copy.item.metadata)["of"] for copy in copies} == {int(better, 16) // 4}


def test_only_copies_of_what_is_shown_are_counted(tenfold):
    asked = {"collection": "ten", "filters": Filters(), "copies": EXACT}
    trace = tenfold.search(Query(like=f"{0:064x}"), k=2, **asked)
    assert len(trace.results) == 2 and set(trace.copies) <= {hit.item.id for hit in trace.results}
    plain = tenfold.search(Query(like=f"{0:064x}"), collection="ten", k=10)
    assert plain.copies == {} and plain.notes == ()


@pytest.mark.parametrize(
    ("written", "cosine"), [("exact", EXACT), ("Exact", EXACT), ("0.95", 0.95), ("1", EXACT), (".5", 0.5)]
)
def test_the_cosine_is_read(written, cosine):
    assert copy_cosine(written) == cosine


@pytest.mark.parametrize("written", ["", "yes", "0.3", "1.5", "nan", "-1"])
def test_another_cosine_is_refused(written):
    with pytest.raises(QueryError, match=r"'exact', or by a cosine from 0\.5 to 1"):
        copy_cosine(written)


def test_hits_are_sorted_by_a_column_and_keep_their_ranks():
    said = [("b", 2), ("A", 10), (None, None), ("a", "three"), ("c", -1)]
    items = [
        item(row, metadata=tuple((key, value) for key, value in (("n", n), ("t", t)) if value is not None))
        for row, (t, n) in enumerate(said)
    ]
    hits = hits_of(items)

    def order(column: str, **more: bool) -> list[int]:
        return [hit.rank - 1 for hit in sort_hits(hits, column, **more)]

    assert order("n") == [4, 0, 1, 3, 2]  # numbers, then texts, then what says nothing
    assert order("n", descending=True) == [3, 1, 0, 4, 2]
    assert order("t") == [1, 3, 0, 4, 2]
    assert order("name", descending=True) == [4, 3, 2, 1, 0]
    assert order("width_px") == [0, 1, 2, 3, 4]
