"""The order of a mixed list: what each treatment does, what none may do, and the crowding meter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.crowding import Calibration, Outranked, Spread
from engine.errors import QueryError
from engine.search.balance import balance, check_balance, crowding, crowding_words, lacks
from engine.types import BALANCES, Hit, Item

MODALITIES = ("text", "image")


def hit(modality: str, number: int, score: float, rank: int) -> Hit:
    item = Item(f"{modality} {number}", modality, f"{number}", "", f"pair {number}")
    return Hit(rank=rank, item=item, score=score, retrieval_rank=rank)


def listed(modality: str, scores) -> tuple[Hit, ...]:
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    return tuple(hit(modality, int(n), float(scores[n]), rank) for rank, n in enumerate(order, start=1))


TEXT, IMAGE = Spread(0.5, 0.1, 9), Spread(0.1, 0.05, 9)


def known(text: Spread = TEXT, image: Spread = IMAGE, rows: int = 500) -> Calibration:
    means = {one: np.zeros(3, np.float32) for one in MODALITIES}
    spreads = {asks: {"text": text, "image": image} for asks in MODALITIES}
    return Calibration(dict.fromkeys(MODALITIES, rows), means, spreads, {}, {})


quick = settings(max_examples=40)
scores = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12)


@quick
@given(scores, scores, st.sampled_from(BALANCES), st.integers(1, 30))
def test_p18_p20_merging_keeps_the_order_within_a_modality(texts, pictures, mode, k):
    retrieved = {"text": listed("text", texts), "image": listed("image", pictures)}
    merged = balance(retrieved, mode, asks="text", k=k, calibration=known())
    assert [one.rank for one in merged] == list(range(1, min(k, len(texts) + len(pictures)) + 1))
    for one, hits in retrieved.items():
        ids = [at.item.id for at in merged if at.item.modality == one]
        assert ids == [at.item.id for at in hits][: len(ids)]
    searched = {"text": len(texts), "image": len(pictures)}
    meter = crowding(merged, searched, mode, asks="text", calibration=known())
    assert sum(meter.share.values()) == pytest.approx(1) and sum(meter.of_all.values()) == pytest.approx(1)
    if k >= len(texts) + len(pictures):
        assert list(meter.exposure.values()) == pytest.approx([1, 1])


@quick
@given(scores, scores, st.integers(1, 12), st.lists(st.floats(-5, 5), min_size=2, max_size=5))
def test_p19_pictures_rise_with_the_offset_that_standardising_gives_them(texts, pictures, k, offsets):
    def share(offset: float) -> float:
        retrieved = {"text": listed("text", texts), "image": listed("image", pictures)}
        given_offset = known(Spread(0.0, 1.0, 9), Spread(-offset, 1.0, 9))
        merged = balance(retrieved, "standardised", asks="text", k=k, calibration=given_offset)
        return sum(one.item.modality == "image" for one in merged) / len(merged)

    found = [share(offset) for offset in sorted(offsets)]
    assert found == sorted(found)
    if len(texts) >= k:
        assert share(-100) == 0
    if len(pictures) >= k:
        assert share(100) == 1


def test_interleaved_deals_in_turn_and_goes_on_where_one_ends():
    retrieved = {"image": listed("image", [0.1, 0.2, 0.3]), "text": listed("text", [0.9])}
    merged = balance(retrieved, "interleaved", asks="text", k=10)
    assert [one.item.id for one in merged] == ["image 2", "text 0", "image 1", "image 0"]
    assert all(one.balanced is None for one in merged)


def test_scores_stay_cosines_beside_what_ordered_them():
    merged = balance({"text": listed("text", [0.6])}, "standardised", asks="text", k=1, calibration=known())
    assert merged[0].score == 0.6 and merged[0].balanced == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["", "RAW", "centered", "raw ", "x" * 1000, "\x00"])
def test_an_unknown_treatment_is_refused_with_those_there_are(name):
    with pytest.raises(QueryError, match="raw, centred, standardised, interleaved") as error:
        check_balance(name)
    assert len(str(error.value)) < 150


def test_what_is_lacking_is_said():
    assert lacks("raw", "text", ("text",), None) == ""
    assert lacks("interleaved", "text", ("text", "image"), None) == ""
    assert "only texts" in lacks("interleaved", "text", ("text",), None)
    assert "49 texts" in lacks("centred", "text", MODALITIES, known(rows=49))
    assert lacks("centred", "text", MODALITIES, known(rows=50)) == ""
    assert "0 sounds" in lacks("standardised", "audio", MODALITIES, known())
    assert "no spread" in lacks("standardised", "text", MODALITIES, known(image=Spread(1.0, 0.0, 9)))
    assert lacks("centred", "text", MODALITIES, known(image=Spread(1.0, 0.0, 9))) == ""


def test_the_meter_says_what_crowds():
    pairs = {"text": {"image": Outranked({"raw": 0.96}, 20)}}
    calibration = Calibration({}, {}, {}, pairs, {})
    hits = [*listed("text", [0.9, 0.8, 0.7]), *listed("image", [0.1])]
    meter = crowding(hits, {"text": 25, "image": 75}, "raw", asks="text", calibration=calibration)
    assert meter.share == {"text": 0.75, "image": 0.25} and meter.exposure["text"] == pytest.approx(3)
    said = crowding_words(meter, "text")
    assert "texts 75 % of the first 4 and 25 % of what was searched (exposure 3.00" in said
    assert "outranks the true one of the pictures with probability 0.96 (20 pairs)" in said
    assert (
        crowding(hits, {"text": 25, "image": 75}, "centred", asks="text", calibration=calibration).outranked
        == {}
    )
    assert crowding([], {"text": 25, "image": 75}, "raw", asks="text", calibration=None) is None
    assert crowding(hits, {"text": 25}, "raw", asks="text", calibration=None) is None
