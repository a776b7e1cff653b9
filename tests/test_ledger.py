"""The ledger keeps items with their vectors, and tells which media nothing refers to any more."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import MADE_BY, plain_items, unit_table
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import FolderError
from engine.ledger import Ledger, item_from_json, item_to_json
from engine.types import Item, Provenance


@pytest.fixture
def ledger(tmp_path: Path):
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.builds(
        Item,
        id=st.just("a" * 64),
        modality=st.sampled_from(["text", "image", "audio", "video"]),
        name=TEXT.filter(bool),
        mime=TEXT.filter(bool),
        pair=TEXT.filter(bool),
        caption=TEXT,
        labels=st.lists(TEXT, max_size=3).map(tuple),
        media=st.none() | TEXT.filter(bool),
        width_px=st.none() | st.integers(1, 9),
        start_seconds=st.none() | st.floats(0, 10),
    )
)
def test_an_item_survives_json(item: Item):
    assert item_from_json(item_to_json(item)) == item


def test_get_returns_each_id_with_its_own_vector(ledger: Ledger):
    table = unit_table(1200)
    ledger.put("photos", plain_items(table), table)
    items, got = ledger.get("photos", "image", [*table.ids[::-1], "f" * 64])
    assert set(got.ids) == set(table.ids)
    assert tuple(item.id for item in items) == got.ids
    assert (got.vectors == table.take(got.ids).vectors).all()
    assert len(ledger.get("photos", "text", table.ids)[1]) == 0
    assert len(ledger.get("other", "image", table.ids)[1]) == 0


def test_pages_cover_everything_once(ledger: Ledger):
    table = unit_table(25)
    ledger.put("photos", plain_items(table), table)
    pages = list(ledger.pages("photos", "image", rows=10))
    assert [len(items) for items, _ in pages] == [10, 10, 5]
    assert tuple(id_ for _, part in pages for id_ in part.ids) == table.ids
    assert (np.concatenate([part.vectors for _, part in pages]) == table.vectors).all()


def test_putting_again_replaces(ledger: Ledger):
    for seed in (0, 1):
        table = unit_table(3, seed=seed)
        ledger.put("photos", plain_items(table, caption=str(seed)), table)
    items, got = ledger.get("photos", "image", table.ids)
    assert ledger.counts() == {("photos", "image"): 3}
    assert {item.caption for item in items} == {"1"} and (got.vectors == table.take(got.ids).vectors).all()


def test_ids_in_another_order_are_refused(ledger: Ledger):
    table = unit_table(2)
    with pytest.raises(ValueError, match="same ids"):
        ledger.put("photos", plain_items(table)[::-1], table)
    assert ledger.counts() == {}


def test_media_is_free_only_when_nothing_refers_to_it(ledger: Ledger):
    table = unit_table(1)
    for name in ("one", "two"):
        ledger.put(name, plain_items(table, media="m" * 64), table)
    assert ledger.delete("one", table.ids) == []
    assert ledger.delete("two", ["f" * 64]) == []
    assert ledger.forget("two") == ["m" * 64]
    assert ledger.counts() == {}


def test_rows_of_another_model_are_dropped(ledger: Ledger):
    table = unit_table(2)
    ledger.set_provenance("photos", MADE_BY)
    ledger.put("photos", plain_items(table), table)
    ledger.set_provenance("photos", MADE_BY)
    assert ledger.counts() == {("photos", "image"): 2}
    newer = Provenance("tester", "2", 8)
    ledger.set_provenance("photos", newer)
    assert ledger.counts() == {} and ledger.provenance("photos") == newer
    assert ledger.provenance("nothing") is None


def test_state_is_remembered_over_reopening(tmp_path: Path):
    first = Ledger(tmp_path / "ledger.sqlite3")
    assert first.get_state("key") is None
    first.set_state("key", "one")
    first.set_state("key", "two")
    first.close()
    second = Ledger(tmp_path / "ledger.sqlite3")
    assert second.get_state("key") == "two"
    second.close()


def test_threads_may_share_it(ledger: Ledger):
    def work(number: int) -> None:
        for start in range(0, 50, 10):
            table = unit_table(10, start=number * 100 + start)
            ledger.put("photos", plain_items(table), table)
            ledger.counts()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.counts() == {("photos", "image"): 300}


def test_a_broken_file_is_a_folder_error(tmp_path: Path):
    (tmp_path / "ledger.sqlite3").write_bytes(b"garbage" * 1000)
    with pytest.raises(FolderError, match="not a database"):
        Ledger(tmp_path / "ledger.sqlite3")
