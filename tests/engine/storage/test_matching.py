"""Which items fulfil conditions agrees with a plain loop over them, at every version of the collection."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import QueryError
from engine.settings import load_settings
from engine.storage.conditions import read_conditions, value_of
from engine.storage.data_folder import DataFolder
from engine.storage.filter_columns import NumberColumn
from engine.types import Filters, Item, Modality
from tests.helpers.data import MADE_BY, unit_table

N = 60
DAYS = ["2023-12-31", "2024-05-01T10:00:00", "2024-05-31 23:59:59", "2024-06-01", "2025-01-01T00:00:00+02:00"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    opened = DataFolder.open(load_settings(data_dir=tmp_path, min_free_disk_mb=1))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    """Give a data folder with N items, which no test changes."""
    data_dir = tmp_path_factory.mktemp("filled")
    opened = DataFolder.open(load_settings(data_dir=data_dir, min_free_disk_mb=1))
    store(opened, items_with(N))
    yield opened
    opened.close()


def items_with(count: int, modality: Modality = "image", start: int = 0) -> list[Item]:
    """Return items of many shapes: some columns said by a few only, one of mixed types, one with a quote."""
    draw, found = random.Random(start), []
    for row in range(count):
        metadata: dict[str, str | int | float | bool] = {"split": draw.choice(["train", "test", "val"])}
        if row % 3:
            metadata |= {"price": draw.choice([1, 2.5, -3, 10**6]), "taken": draw.choice(DAYS)}
        if row % 2:
            metadata |= {"flag": draw.random() < 0.5, 'a "b"': draw.choice(["x", "y"]), "name": f"said {row}"}
        metadata["mixed"] = draw.choice([3, "three"])
        metadata["id"] = 2**60 + row
        found.append(
            Item(
                f"{start + row:064x}",
                modality,
                f"{row}.jpg",
                draw.choice(["image/jpeg", "image/png"]),
                f"{start + row:064x}",
                labels=tuple(draw.sample(["cat", "dog", "Big cat"], draw.randrange(3))),
                width_px=draw.choice([None, 10, 999, 1000, 4000]),
                added_at=1_717_200_000 + row,
                metadata=tuple(sorted(metadata.items())),
            )
        )
    return found


def store(folder: DataFolder, items: list[Item], name: str = "mine") -> None:
    table = unit_table(len(items), start=int(items[0].id, 16))
    folder.ledger.set_provenance(name, MADE_BY)
    folder.ledger.put(name, items, table)
    folder.store.upsert(name, MADE_BY, items[0].modality, items, table)


def matching(folder: DataFolder, *written: str, modality: Modality = "image", **more: object) -> set[str]:
    conditions = read_conditions(written, folder.matching.kinds("mine"))
    kept, rows = folder.matching.rows("mine", Filters(conditions=conditions, **more))
    return set(kept.parts[modality].ids_of(rows[modality]))


CASES = [
    ("width_px>=1000", lambda said: said("width_px") is not None and said("width_px") >= 1000),
    ("width_px!=1000", lambda said: said("width_px") != 1000),
    ("width_px=", lambda said: said("width_px") is None),
    ("price<2.5", lambda said: said("price") is not None and said("price") < 2.5),
    ("price=1e6", lambda said: said("price") == 10**6),
    ("split=train", lambda said: said("split") == "train"),
    ("split!=train", lambda said: said("split") != "train"),
    ("split~A", lambda said: "a" in said("split")),
    ("taken>=2024-05", lambda said: (said("taken") or "")[:7] >= "2024-05"),
    ("taken<=2024-05", lambda said: said("taken") is not None and said("taken")[:7] <= "2024-05"),
    ("taken<2024-05-31", lambda said: said("taken") is not None and said("taken")[:10] < "2024-05-31"),
    ("taken>2024", lambda said: (said("taken") or "")[:4] > "2024"),
    ("taken=2024-05-31T23:59", lambda said: (said("taken") or "")[:16] == "2024-05-31 23:59"),
    ("taken!=", lambda said: said("taken") is not None),
    ("flag=True", lambda said: said("flag") is True),
    ("flag!=true", lambda said: said("flag") is not True),
    ("mixed=3", lambda said: said("mixed") == 3),
    ('a "b"=x', lambda said: said('a "b"') == "x"),
    ("meta.name~said 1", lambda said: "said 1" in (said("meta.name") or "")),
    ("name~1", lambda said: "1" in said("name")),
    ("mime=image/png", lambda said: said("mime") == "image/png"),
    (f"id={2**60 + 7}", lambda said: said("id") == 2**60 + 7),
    ("added_at<2024-06-01T00:00:05", lambda said: said("added_at") < 1_717_200_005),
]


@pytest.mark.parametrize("written, holds", CASES, ids=[written for written, _ in CASES])
def test_a_condition_holds_of_what_a_loop_over_all_items_finds(filled, written, holds):
    wanted = {one.id for one in items_with(N) if holds(lambda name, one=one: value_of(one, name))}
    assert matching(filled, written) == wanted and 0 < len(wanted) < N


def test_labels_are_alternatives_and_conditions_hold_together(filled):
    items, folder = items_with(N), filled

    def of(holds) -> set[str]:
        found = {one.id for one in items if holds(one)}
        assert found
        return found

    assert matching(folder, "label=cat") == of(lambda one: "cat" in one.labels)
    assert matching(folder, labels=("cat", "dog")) == of(lambda one: {"cat", "dog"} & {*one.labels})
    assert matching(folder, "label!=cat") == of(lambda one: "cat" not in one.labels)
    assert matching(folder, "label~CAT") == of(lambda one: {"cat", "Big cat"} & {*one.labels})
    assert matching(folder, "label=") == of(lambda one: not one.labels)
    assert matching(folder, "label!=") == of(lambda one: one.labels)
    splits = matching(folder, "split=train", "split=val", "width_px>=1000", labels=("dog",))
    assert splits == of(
        lambda one: (
            value_of(one, "split") in ("train", "val") and (one.width_px or 0) >= 1000 and "dog" in one.labels
        )
    )
    kept, rows = folder.matching.rows("mine", Filters(("text",), ("cat",)))
    assert not rows["image"].size and kept.counts == {"image": N}


def test_what_is_kept_follows_every_write(folder):
    items = items_with(N)
    store(folder, items)
    kept, _ = folder.matching.rows("mine", Filters(labels=("new",)))
    assert matching(folder, labels=("new",)) == set()
    assert folder.matching.rows("mine", Filters())[0] is kept  # nothing was read again
    folder.label_items("mine", [items[3].id], "new")
    assert matching(folder, labels=("new",)) == {items[3].id}
    store(folder, items_with(5, start=900))
    assert len(matching(folder, "split!=")) == N + 5
    folder.ledger.delete("mine", [items[3].id])
    assert matching(folder, labels=("new",)) == set()


def test_a_write_between_two_reads_is_noticed(folder, monkeypatch):
    store(folder, items_with(N))
    read, written = folder.ledger.rows, []

    def rows(query: str, args: tuple[object, ...]):
        found = read(query, args)
        if (
            "json_extract(item, ?)" in query and not written
        ):  # while the column is read, one comes and one goes
            written.append(True)
            folder.ledger.delete("mine", [f"{0:064x}"])
            folder.ledger.put("mine", items_with(1, start=N), unit_table(1, start=N))
        return found

    monkeypatch.setattr(folder.ledger, "rows", rows)
    found = matching(folder, "name~.jpg")
    assert written and found == {f"{row:064x}" for row in range(1, N + 1)}


def test_values_are_counted_over_all_modalities(folder):
    pictures, texts = items_with(20), items_with(10, "text", start=500)
    store(folder, pictures)
    store(folder, texts)
    counts = dict(folder.matching.said("mine", "split"))
    assert sum(counts.values()) == 30
    assert counts["train"] == sum(value_of(one, "split") == "train" for one in (*pictures, *texts))
    widths = [int(value) for value, _ in folder.matching.said("mine", "width_px")]
    assert widths == sorted(widths) and set(widths) == {10, 999, 1000, 4000}
    assert dict(folder.matching.said("mine", "label")).keys() == {"cat", "dog", "Big cat"}


def test_vectors_are_scored_the_same_kept_or_read(folder):
    store(folder, items_with(N))
    kept, _ = folder.matching.rows("mine", Filters())
    part, question = kept.parts["image"], unit_table(1, seed=5).vectors[0]
    rows = np.array([3, 4, 40])
    expected = unit_table(N).vectors[rows] @ question
    assert np.allclose(part.scores(rows, question, keep=False), expected, atol=1e-6)
    assert np.allclose(part.scores(rows, question, keep=True), expected, atol=1e-6)
    unread = folder.matching._read("mine").parts["image"]
    folder.ledger.delete("mine", [f"{4:064x}"])
    found = unread.scores(rows, question, keep=True)  # of the past by now: what is gone is not found
    assert np.isfinite(found).tolist() == [True, False, True]
    assert np.allclose(found[[0, 2]], expected[[0, 2]], atol=1e-6)
    assert unread.vectors([f"{3:064x}", f"{4:064x}"]).ids == (f"{3:064x}",)


def test_what_another_data_folder_put_into_a_shared_store_is_read_from_there(folder, monkeypatch):
    items = items_with(N)
    store(folder, items)
    folder.ledger.delete("mine", [one.id for one in items[:20]])  # this ledger knows 40 of them
    monkeypatch.setattr(type(folder.store), "is_shared", property(lambda self: True))
    wanted = {one.id for one in items if value_of(one, "split") == "train"}
    assert matching(folder, "split=train") == wanted
    assert matching(folder, "label=cat") == {one.id for one in items if "cat" in one.labels}


def test_a_column_there_is_not_is_named(filled):
    with pytest.raises(QueryError, match=r"'nothing'\. There are: name, caption, mime, label, width_px"):
        matching(filled, "nothing=3")
    assert filled.matching.kinds("mine")["taken"] == "date"


def test_whole_numbers_are_compared_to_the_last_digit():
    column = NumberColumn.of([2**60, 2**60 + 1, None])
    [condition] = read_conditions([f"n={2**60 + 1}"], {"n": "number"})
    assert column.passing(condition).tolist() == [False, True, False]
    [condition] = read_conditions([f"n<{10**30}"], {"n": "number"})
    assert column.passing(condition).tolist() == [True, True, False]
