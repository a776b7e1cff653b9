"""Mixed pools score as the search does, and reproduce what was measured on real CLIP vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from engine.analysis.crowding import Calibration, calibrate, centre
from engine.evaluation.metrics import ndcg_at, ranks_by_score
from engine.evaluation.pool import Pool
from engine.search.balance import balance, centred_scores, towards
from engine.types import BALANCES, Hit, Item, VectorTable
from tests.helpers.golden import golden


class Halves(NamedTuple):
    """Half of the pairs to calibrate on; tables of the other half, row i of one with row i of the other."""

    calibration: Calibration
    tables: dict[str, VectorTable]


@pytest.fixture(scope="module")
def halves() -> Halves:
    pictures, texts = golden("features_clip.npy")
    order = np.random.default_rng(1).permutation(500)
    both = []
    for half in (order[:250], order[250:]):
        rows = {"text": texts[half], "image": pictures[half]}
        both.append(
            {
                one: VectorTable(tuple(f"{one} {n}" for n in half), some.astype(np.float32))
                for one, some in rows.items()
            }
        )
    pair_of = {id_: int(id_.split()[1]) for table in both[0].values() for id_ in table.ids}
    return Halves(calibrate(both[0], pair_of), both[1])


def ranked(halves: Halves, mode: str) -> tuple[Pool, np.ndarray]:
    """Ask with every caption; none answers itself."""
    pool = Pool(halves.tables, mode, asks="text", calibration=halves.calibration)
    return pool, pool.scores(halves.tables["text"].vectors, [[n] for n in range(250)])


@pytest.mark.parametrize(
    ("mode", "share", "recall", "ndcg"),
    [
        ("raw", 0.0, 0.0, 0.0),
        ("centred", 0.09, 0.480, 0.216),
        ("standardised", 0.63, 0.872, 0.689),
        ("interleaved", 0.50, 0.884, 0.720),
    ],
)
def test_golden_mixed_search_of_clip(halves, mode, share, recall, ndcg):
    """250 captions ask 250 pictures and 249 other captions: GAP_SCIENCE.md, section 3.7."""
    _, scores = ranked(halves, mode)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ranks = [ranks_by_score(row, [250 + n]) for n, row in enumerate(scores)]
    found = (
        (first >= 250).mean(),
        np.mean([one[0] <= 10 for one in ranks]),
        np.mean([ndcg_at(one, 10) for one in ranks]),
    )
    assert found == pytest.approx((share, recall, ndcg), abs=0.02)


@pytest.mark.parametrize("mode", BALANCES)
def test_the_search_merges_in_the_order_of_the_exact_scores(halves, mode):
    pool, scores = ranked(halves, mode)
    for n in (0, 100, 249):
        question, retrieved = halves.tables["text"].vectors[n], {}
        for one, table in halves.tables.items():
            rows = [
                row
                for row in np.argsort(-(table.vectors @ question))
                if table.ids[row] != halves.tables["text"].ids[n]
            ]
            hits = [
                Hit(rank, Item(table.ids[row], one, "", "", ""), float(table.vectors[row] @ question), rank)
                for rank, row in enumerate(rows, start=1)
            ]
            if mode == "centred":
                asking = centre(question[None], halves.calibration.means["text"])[0]
                found = centred_scores(table.vectors[rows], asking, halves.calibration.means[one])
                hits = [replace(hit, balanced=float(score)) for hit, score in zip(hits, found, strict=True)]
            retrieved[one] = tuple(hits)
        merged = balance(retrieved, mode, asks="text", k=20, calibration=halves.calibration)
        order = np.argsort(-scores[n], kind="stable")[:20]
        assert [hit.item.id for hit in merged] == [pool.ids[row] for row in order]


def test_an_interleaved_pool_leaves_no_place_for_what_is_hidden():
    rows = np.eye(4, dtype=np.float32)
    tables = {"text": VectorTable(("a", "b"), rows[:2]), "image": VectorTable(("c", "d"), rows[2:])}
    pool = Pool(tables, "interleaved", asks="text")
    asking = np.array([[0.8, 0.6, 0.0, 0.0]], np.float32)
    assert pool.scores(asking, [[0]]).tolist() == [[-np.inf, -1, 0, -2]]
    assert pool.scores(asking, [[]]).tolist() == [[-1, -3, 0, -2]]


@pytest.mark.parametrize("asks", ["text", "image"])
def test_what_the_index_is_asked_with_finds_the_first_of_the_exact_order(halves, asks):
    """Three times as many as wanted are enough."""
    means, found = halves.calibration.means, []
    asking = centre(halves.tables[asks].vectors, means[asks])
    for one, table in halves.tables.items():
        exact = np.argsort(-(asking @ centre(table.vectors, means[one]).T), axis=1)[:, :10]
        for row, best in zip(asking, exact, strict=True):
            near = towards(row, means[one], halves.calibration.nearest[asks][one])
            assert np.linalg.norm(near) == pytest.approx(1, abs=1e-5)
            fetched = np.argsort(-(table.vectors @ near))[:30]
            found.append(len(set(best.tolist()) & set(fetched.tolist())) / 10)
    assert np.mean(found) > 0.98
