"""The same media under several collections: the same pairs in each, paired changes, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from engine.analysis.gap import l2m, rmg, unit
from engine.errors import CollectionNotFoundError, GapError
from engine.evaluation.gap_retrieval import retrieval
from engine.evaluation.metrics import bootstrap
from engine.lessons.compare import compare, most_shared
from engine.lessons.recalls import RESAMPLES
from engine.progress import CancelledError, Watch
from engine.types import Item, Provenance, VectorTable
from engine.workspace import Workspace
from tests.helpers.workspaces import make_settings

HEARD = Watch()


def put(opened, name: str, numbers, dim: int, *, noise: float = 0.8, kinds=("image", "text"), paired=True):
    """Store the n-th picture and text for each of numbers, under a model of `dim` numbers of its own."""
    chance = np.random.default_rng(dim)
    shared = chance.normal(size=(100, dim))
    made_by = Provenance.of_import(f"model of {dim}", dim)
    opened.ledger.set_provenance(name, made_by)
    found = {}
    for place, kind in enumerate(kinds):
        rows = unit(shared + noise * chance.normal(size=shared.shape) + place)[list(numbers)]
        table = VectorTable(tuple(f"{1_000 * place + n:064x}" for n in numbers), rows.astype(np.float32))
        items = [
            Item(id_, kind, f"{n}", "", f"{n:064x}" if paired else id_)
            for n, id_ in zip(numbers, table.ids, strict=True)
        ]
        opened.ledger.put(name, items, table)
        opened.store.upsert(name, made_by, kind, items, table)
        found[kind] = table
    return found


@pytest.fixture(scope="module")
def tables(tmp_path_factory, models_dir):
    opened = Workspace.open(make_settings(tmp_path_factory.mktemp("compare"), models_dir))
    found = {
        "wide": put(opened, "wide", range(60), 24),
        "narrow": put(opened, "narrow", range(20, 90), 5),
        "all-kinds": put(opened, "all-kinds", range(10, 70), 9, kinds=("image", "text", "audio")),
    }
    put(opened, "elsewhere", range(90, 100), 7)
    put(opened, "few", range(3), 7)
    put(opened, "pictures", range(60), 6, kinds=("image",))
    put(opened, "strangers", range(60), 8, paired=False)
    yield opened.folder, found
    opened.close()


def test_every_collection_is_measured_on_its_own_vectors_of_the_same_pairs(tables):
    folder, stored = tables
    found = compare(folder, ["wide", "narrow"], watch=HEARD)
    assert [(one.dim, one.items, one.unshared) for one in found.chosen] == [(24, 120, 40), (5, 140, 60)]
    assert found.shared == 80 and not found.left_out
    [pairs] = found.pairs
    assert (pairs.a, pairs.b, pairs.n, pairs.there, pairs.questions) == ("image", "text", 40, 40, 40)
    for one in pairs.measured:
        x, y = (
            unit(stored[one.collection][kind].take(f"{base + n:064x}" for n in range(20, 60)).vectors)
            for kind, base in (("image", 0), ("text", 1_000))
        )
        assert (one.l2m.mean, one.rmg.mean) == pytest.approx((l2m(x, y), rmg(x, y)), abs=1e-6)
        assert one.rmg.low <= one.rmg.mean <= one.rmg.high
        for way, asking, among in ((one.a_to_b, x, y), (one.b_to_a, y, x)):
            plain = retrieval(asking, among, range(40), range(40))
            assert {str(k): hit.mean for k, hit in way.hits.items()} == pytest.approx(
                {k: hit.mean for k, hit in plain.hits.items()}
            )


def test_a_change_is_a_paired_bootstrap_against_the_first(tables):
    folder, stored = tables
    [pairs] = compare(folder, ["wide", "narrow"], watch=HEARD).pairs
    wide, narrow = pairs.measured
    hits = {}
    for name in ("wide", "narrow"):
        x, y = (
            stored[name][kind].take(f"{base + n:064x}" for n in range(20, 60)).vectors
            for kind, base in (("image", 0), ("text", 1_000))
        )
        hits[name] = (np.argmax(x @ y.T, axis=1) == np.arange(40)).astype(float)
    assert wide.a_to_b.changes == {}
    assert narrow.a_to_b.changes[1] == bootstrap(hits["narrow"] - hits["wide"], resamples=RESAMPLES)
    assert narrow.a_to_b.changes[1].mean < 0
    same = compare(folder, ["wide", "wide", "narrow"], watch=HEARD)
    assert same.pairs == (pairs,)


def test_pairs_above_the_cap_are_drawn_by_the_seed_and_three_stand_side_by_side(tables):
    folder, _ = tables
    three = compare(folder, ["all-kinds", "wide", "narrow"], most=12, watch=HEARD)
    [pairs] = three.pairs  # no other collection has sounds
    assert (pairs.n, pairs.there) == (12, 40) and len(pairs.measured) == 3
    assert three == compare(folder, ["all-kinds", "wide", "narrow"], most=12, watch=HEARD)
    assert three.pairs != compare(folder, ["all-kinds", "wide", "narrow"], most=12, seed=1, watch=HEARD).pairs


def test_the_two_that_share_most_are_found(tables):
    folder, _ = tables
    assert most_shared(folder, ["elsewhere", "narrow", "wide", "all-kinds"]) == ("narrow", "all-kinds")
    assert most_shared(folder, ["elsewhere", "wide"]) == () == most_shared(folder, ["wide"])


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["wide"], "1 collections cannot be compared"),
        (["wide", "elsewhere"], "No item is in all of wide, elsewhere"),
        (["wide", "few"], "pictures and texts: 3 shared pairs of 4"),
        (["wide", "pictures"], "the 60 that they share are pictures only"),
        (["wide", "strangers"], "pictures and texts: 0 shared pairs of 4"),
    ],
)
def test_what_cannot_be_compared_is_said(tables, names, says):
    with pytest.raises(GapError, match=says):
        compare(tables[0], names, watch=HEARD)


def test_a_collection_that_is_gone_and_a_cancel_are_named(tables):
    with pytest.raises(CollectionNotFoundError):
        compare(tables[0], ["wide", "gone"], watch=HEARD)
    with pytest.raises(CancelledError):
        compare(tables[0], ["wide", "narrow"], watch=Watch(cancelled=lambda: True))
