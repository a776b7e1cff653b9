"""A filtered search finds what brute force does, whichever way it takes, and never fewer than there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.search import filtered
from engine.search.search import Query
from engine.settings import load_settings
from engine.types import Condition, Filters, Item, Provenance, SearchTrace, VectorTable
from engine.workspace import Workspace

N, DIM = 6_000, 16
MADE_BY = Provenance.of_import("test", DIM)
SHARES = (0.001, 0.1, 0.9)


@pytest.fixture(scope="module")
def table() -> VectorTable:
    vectors = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return VectorTable(tuple(f"{row:064x}" for row in range(N)), vectors)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, table: VectorTable) -> Iterator[Workspace]:
    """Open a data folder whose items say a number drawn by chance, and how near they are to row 0."""
    workspace = Workspace.open(load_settings(data_dir=tmp_path_factory.mktemp("many"), min_free_disk_mb=1))
    draw, near = np.random.default_rng(1).random(N), table.vectors @ table.vectors[0]
    items = [
        Item(id_, "image", f"{row}.jpg", "", id_, metadata=(("draw", draw[row]), ("near", float(near[row]))))
        for row, id_ in enumerate(table.ids)
    ]
    workspace.ledger.set_provenance("many", MADE_BY)
    for start in range(0, N, 2_000):
        rows = slice(start, start + 2_000)
        some = VectorTable(table.ids[rows], table.vectors[rows])
        workspace.ledger.put("many", items[rows], some)
        workspace.store.upsert("many", MADE_BY, "image", items[rows], some)
    yield workspace
    workspace.close()


def ask(workspace: Workspace, like: str, k: int, *conditions: Condition) -> SearchTrace:
    filters = Filters(conditions=conditions)
    return workspace.search(Query(like=like), collection="many", k=k, filters=filters)


def expected(table: VectorTable, row: int, passes: np.ndarray, k: int) -> list[str]:
    cosines = np.where(passes, table.vectors @ table.vectors[row], -2)
    cosines[row] = -2
    return [table.ids[other] for other in np.argsort(-cosines)[: min(k, int(passes.sum() - passes[row]))]]


@pytest.mark.parametrize("limits", [{}, {"_SCORED": 1_000}, {"_SCORED": 100, "_MOST_ASKED": 5_000}])
@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("share", SHARES)
def test_recall_against_brute_force_is_whole(opened, table, monkeypatch, share, k, limits):
    for name, limit in limits.items():  # so that every way is taken at this size too
        monkeypatch.setattr(filtered, name, limit)
    passes, found = np.random.default_rng(1).random(N) < share, []
    for row in range(0, N, N // 20):
        trace = ask(opened, table.ids[row], k, Condition("draw", "<", f"{share}"))
        wanted = expected(table, row, passes, k)
        assert len(trace.results) == len(wanted)
        assert trace.searched == {"image": int(passes.sum())}
        found.append(len({hit.item.id for hit in trace.results} & {*wanted}) / len(wanted))
        assert all(dict(hit.item.metadata)["draw"] < share for hit in trace.results)
    assert np.mean(found) == 1.0 if not limits or share < 0.01 else np.mean(found) >= 0.98


def test_k_are_found_where_all_that_matches_is_far_away(opened, table, monkeypatch):
    """What matches lies on the other side, so that nothing near the question is among it."""
    monkeypatch.setattr(filtered, "_SCORED", 100)
    monkeypatch.setattr(filtered, "_MOST_ASKED", 5_000)
    far = np.sort(table.vectors @ table.vectors[0])[3_000]
    trace = ask(opened, table.ids[0], 200, Condition("near", "<", f"{far}"))
    passes = (table.vectors @ table.vectors[0]).astype(float) < float(f"{far}")
    assert [hit.item.id for hit in trace.results] == expected(table, 0, passes, 200)


def test_both_ways_score_alike(opened, table, monkeypatch):
    asked = Condition("draw", "<", "0.9")
    scored = ask(opened, table.ids[7], 20, asked)
    monkeypatch.setattr(filtered, "_SCORED", 100)
    monkeypatch.setattr(opened.folder.store, "query", lambda *args: pytest.fail("unfiltered"))
    by_chroma = ask(opened, table.ids[7], 20, asked)
    assert [hit.item.id for hit in by_chroma.results] == [hit.item.id for hit in scored.results]
    scores = [[hit.score for hit in trace.results] for trace in (by_chroma, scored)]
    assert np.allclose(*scores, atol=1e-5)


def test_nothing_matches(opened, table):
    trace = ask(opened, table.ids[7], 20, Condition("draw", ">", "2"))
    assert trace.results == () and trace.searched == {}


def test_what_is_deleted_is_not_found(opened, table):
    found = ask(opened, table.ids[7], 2, Condition("draw", "<", "0.9"))
    gone = found.results[0].item.id
    opened.delete_items("many", [gone])
    again = ask(opened, table.ids[7], 2, Condition("draw", "<", "0.9"))
    assert again.results[0].item.id == found.results[1].item.id
