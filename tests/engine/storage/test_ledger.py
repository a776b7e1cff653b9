"""The ledger keeps items with their vectors, and tells which media nothing refers to any more."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import FolderError
from engine.storage.ledger import Ledger, item_from_json, item_to_json
from engine.storage.staging import Stagings
from engine.types import Item, Provenance
from tests.helpers.data import MADE_BY, plain_items, unit_table


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


def test_nothing_is_put_into_what_was_deleted_or_made_again_meanwhile(ledger: Ledger):
    table, newer = unit_table(2), Provenance("tester", "2", 8)
    assert not ledger.put("photos", plain_items(table), table, made_by=MADE_BY)
    ledger.set_provenance("photos", newer)
    assert not ledger.put("photos", plain_items(table), table, made_by=MADE_BY)
    assert ledger.counts() == {}
    assert ledger.put("photos", plain_items(table), table, made_by=newer)
    assert ledger.counts() == {("photos", "image"): 2}


def test_known_ids(ledger: Ledger):
    table = unit_table(1200)
    ledger.put("photos", plain_items(table), table)
    assert ledger.known("photos", "image", [*table.ids, "f" * 64]) == set(table.ids)
    assert ledger.known("photos", "text", table.ids) == ledger.known("other", "image", table.ids) == set()
    assert sorted(ledger.ids("photos", "image")) == sorted(table.ids) and ledger.ids("photos", "text") == []


def swap_in(ledger: Ledger, target: str, source: str) -> None:
    """Make `target` of the vectors that another model has for the items of `source`."""
    stagings = Stagings(ledger)
    staging = stagings.begin(target, source, Provenance("tester", "2", 8))
    items = stagings.missing(staging, after=("", ""), limit=100)
    ledger.put(staging.name, items, unit_table(1, seed=9))
    assert stagings.swap(staging, MADE_BY)


def test_every_write_into_a_collection_changes_its_version_and_no_other(ledger: Ledger):
    """Newest first: SQLite gives a row's number again after the newest row was deleted."""
    table = unit_table(1)
    [item] = plain_items(table)
    for name in ("some", "other"):
        ledger.set_provenance(name, MADE_BY)
        ledger.put(name, [item], table)
    writes = {
        "put again": lambda: ledger.put("some", [item], table),
        "labelled": lambda: ledger.put("some", [replace(item, labels=("new",))], table),
        "deleted": lambda: ledger.delete("some", [item.id]),
        "came back": lambda: ledger.put("some", [item], table),
        "re-embedded": lambda: swap_in(ledger, "some", "some"),
        "made by another model": lambda: ledger.set_provenance("some", Provenance("tester", "3", 8)),
        "copied into": lambda: swap_in(ledger, "some", "other"),
        "forgotten": lambda: ledger.forget("some"),
        "made again": lambda: ledger.set_provenance("some", MADE_BY),
    }
    other, seen = ledger.version("other"), [ledger.version("some")]
    for what, write in writes.items():
        write()
        assert ledger.version("some") not in seen and ledger.version("other") == other, what
        seen.append(ledger.version("some"))
    ledger.put("some", [], unit_table(0))
    ledger.set_provenance("some", MADE_BY)
    assert ledger.version("some") == seen[-1], "nothing was written"
    assert {name for name, _ in ledger.states("version of ")} == {"some", "other"}


def test_states_are_found_by_how_their_keys_begin(ledger: Ledger):
    for key in ("swap one", "swap_two", "swap %", "SWAP three", "other"):
        ledger.set_state(key, key.upper())
    assert ledger.states("swap ") == [("%", "SWAP %"), ("one", "SWAP ONE")]
    ledger.drop_state("swap one")
    ledger.drop_state("never set")
    assert ledger.states("swap ") == [("%", "SWAP %")]


def test_a_transaction_is_whole_or_not_at_all(ledger: Ledger):
    with pytest.raises(ZeroDivisionError), ledger.transaction() as db:
        db.execute("INSERT INTO state VALUES ('key', 'value')")
        raise ZeroDivisionError
    assert ledger.get_state("key") is None
    with ledger.transaction() as db:
        db.execute("INSERT INTO state VALUES ('key', 'value')")
    assert ledger.get_state("key") == "value"


def test_a_ledger_of_version_0_1_opens(tmp_path: Path):
    """Its collections had no column for dtype, prompts and limits."""
    table = unit_table(2)
    [first, _] = plain_items(table, caption="kept")
    db = sqlite3.connect(tmp_path / "ledger.sqlite3")
    db.executescript(
        """
        CREATE TABLE items (
            collection TEXT NOT NULL, modality TEXT NOT NULL, id TEXT NOT NULL,
            media TEXT, item TEXT NOT NULL, vector BLOB NOT NULL,
            PRIMARY KEY (collection, modality, id)
        );
        CREATE INDEX items_media ON items (media);
        CREATE TABLE collections (
            name TEXT PRIMARY KEY, model TEXT NOT NULL, revision TEXT NOT NULL, dim INTEGER NOT NULL
        );
        CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO collections VALUES ('photos', 'tester', '1', 8);
        INSERT INTO state VALUES ('samples', 'done');
        """
    )
    row = ("photos", "image", first.id, None, item_to_json(first), table.vectors[0].tobytes())
    db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", row)
    db.commit()
    db.close()
    for _ in range(2):
        ledger = Ledger(tmp_path / "ledger.sqlite3")
        assert ledger.provenance("photos") == MADE_BY and ledger.get_state("samples") == "done"
        items, kept = ledger.get("photos", "image", table.ids)
        assert items == [first] and (kept.vectors == table.vectors[:1]).all()
        assert ledger.version("photos") == ""
        ledger.set_provenance("photos", MADE_BY)  # the same: nothing is dropped
        assert ledger.counts() == {("photos", "image"): 1}
        ledger.close()
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    prompted = Provenance("hub/model", "abc", 8, "bfloat16", "query: ", "", None, 4096, "torch 2")
    ledger.set_provenance("photos", prompted)
    kept = ledger.provenance("photos")
    assert kept == prompted and kept.libraries == "torch 2" and ledger.counts() == {}
    assert ledger.version("photos")
    ledger.close()
