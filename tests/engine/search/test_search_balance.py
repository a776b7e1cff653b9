"""Treatments in a whole search over Chroma: the orders, what is said, and that nothing stored changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.analysis.crowding import centre
from engine.errors import CollectionError
from engine.search.search import Balancing, Query, search
from engine.settings import load_settings
from engine.storage.calibration import calibration
from engine.types import BALANCES, Filters
from engine.workspace import Workspace
from tests.helpers.gapped import rows, store

ASKS, PARTNER = f"{1_000:064x}", f"{0:064x}"  # the first text, and its picture


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    opened = Workspace.open(load_settings(data_dir=tmp_path_factory.mktemp("gapped"), min_free_disk_mb=1))
    store(opened)
    store(opened, 20, name="small")
    store(opened, name="texts", modalities=("text",))
    yield opened
    opened.close()


def ask(workspace, balance, collection="gapped", k=10, **more):
    return workspace.search(Query(like=ASKS), collection=collection, k=k, balance=balance, **more)


def place(trace, id_=PARTNER):
    return next((hit.rank for hit in trace.retrieval if hit.item.id == id_), None)


def test_raw_shows_one_modality_and_the_treatments_both(gapped):
    traces = {mode: ask(gapped, mode) for mode in BALANCES}
    shares = {mode: trace.crowding.share["image"] for mode, trace in traces.items()}
    assert (
        shares["raw"] == 0
        and shares["interleaved"] == 0.5
        and min(shares["centred"], shares["standardised"]) > 0
    )
    assert place(traces["raw"]) is None and place(traces["interleaved"]) == 1
    assert all(place(traces[mode]) for mode in ("centred", "standardised"))
    for mode, trace in traces.items():
        assert trace.balance == mode and trace.searched == {"text": 60, "image": 60}
        assert [hit.rank for hit in trace.results] == list(range(1, 11))
        assert ASKS not in {hit.item.id for hit in trace.results}
        assert (
            any(f"Not the raw order: {mode}" in note or mode == "standardised" for note in trace.notes)
            or mode == "raw"
        )
    assert "60 texts and 60 pictures" in traces["centred"].notes[0]
    meter = traces["raw"].crowding
    assert meter.k == 10 and meter.exposure == {"text": 2.0, "image": 0.0} and meter.outranked["image"] > 0.9
    assert traces["centred"].crowding.outranked["image"] < meter.outranked["image"]


def test_without_a_treatment_nothing_is_calibrated(gapped):
    gapped.ledger.drop_state("calibration of gapped")
    trace = ask(gapped, None)
    assert trace.balance == "raw" and trace.notes == () and trace.crowding.outranked == {}
    assert gapped.ledger.states("calibration of gapped") == []
    raw = ask(gapped, "raw")
    assert [hit.item.id for hit in raw.results] == [hit.item.id for hit in trace.results]


@pytest.mark.parametrize("k", [1, 5, 60])
def test_centred_is_the_exact_order_of_centred_vectors(gapped, k):
    trace = ask(gapped, "centred", k=k)
    text, image = rows("text"), rows("image")
    question = centre(text[:1], text.mean(0))[0]
    scores = {
        f"{1_000 + n:064x}": score for n, score in enumerate(centre(text, text.mean(0)) @ question) if n
    }
    scores |= {f"{n:064x}": score for n, score in enumerate(centre(image, image.mean(0)) @ question)}
    wanted = sorted(scores, key=lambda id_: -scores[id_])[:k]
    assert [hit.item.id for hit in trace.results] == wanted
    assert [hit.balanced for hit in trace.results] == pytest.approx([scores[id_] for id_ in wanted], abs=1e-5)
    for hit in trace.results:
        own = (
            text[int(hit.item.id, 16) - 1_000] if hit.item.modality == "text" else image[int(hit.item.id, 16)]
        )
        assert hit.score == pytest.approx(float(own @ text[0]), abs=1e-5)  # still the cosine
    for hits in trace.retrieved.values():
        assert [hit.retrieval_rank for hit in hits] == list(range(1, len(hits) + 1))


def test_no_stored_vector_changes(gapped):
    before = gapped.store.vectors("gapped", "image")
    version = gapped.ledger.version("gapped")
    for mode in BALANCES:
        ask(gapped, mode)
    after = gapped.store.vectors("gapped", "image").take(before.ids)
    assert np.array_equal(after.vectors, before.vectors) and gapped.ledger.version("gapped") == version


@pytest.mark.parametrize("mode", ["centred", "standardised"])
def test_too_few_to_calibrate_is_said_and_raw(gapped, mode):
    trace = ask(gapped, mode, "small")
    assert trace.balance == "raw" and f"The order is raw, not {mode}" in trace.notes[0]
    assert "20 texts" in trace.notes[0] and "takes 50" in trace.notes[0]
    assert [hit.score for hit in trace.results] == sorted((hit.score for hit in trace.results), reverse=True)
    assert ask(gapped, "interleaved", "small").balance == "interleaved"  # needs no calibration


@pytest.mark.parametrize("mode", BALANCES)
def test_one_modality_is_said_and_raw(gapped, mode):
    for trace in (ask(gapped, mode, "texts"), ask(gapped, mode, filters=Filters(("image",)))):
        assert trace.balance == "raw" and trace.crowding is None
        assert [f"not {mode}" in note for note in trace.notes] == ([] if mode == "raw" else [True])


def test_a_collection_of_another_width_by_now_is_said(gapped):
    known = calibration(gapped.folder, "gapped")
    narrow = replace(known, means={one: mean[:4] for one, mean in known.means.items()})
    with pytest.raises(CollectionError, match="re-embedded while you searched"):
        search(
            Query(like=ASKS),
            collection="gapped",
            folder=gapped.folder,
            embedder=lambda: None,
            balancing=Balancing("centred", lambda info: narrow),
        )


def test_an_empty_answer_has_no_meter(gapped):
    trace = ask(gapped, "centred", filters=Filters(labels=("nothing has this",)))
    assert trace.results == () and trace.crowding is None
