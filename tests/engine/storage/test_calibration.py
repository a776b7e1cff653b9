"""The calibration of a collection: a bounded sample with its pairs, kept until something is written."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import CollectionNotFoundError, FolderError
from engine.storage import calibration as calibrations
from engine.storage.calibration import calibration
from engine.types import Item, VectorTable
from tests.helpers.gapped import rows, store


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Count how often a sample is computed with."""
    times: list[int] = []
    calibrate = calibrations.calibrate

    def counting(tables, pair_of):
        times.append(len(pair_of))
        return calibrate(tables, pair_of)

    monkeypatch.setattr(calibrations, "calibrate", counting)
    return times


def test_it_is_made_of_all_rows_and_kept(workspace, counted):
    store(workspace)
    found = calibration(workspace.folder, "gapped")
    assert found.rows == {"text": 60, "image": 60}
    for modality in ("text", "image"):
        assert found.means[modality] == pytest.approx(rows(modality).mean(0), abs=1e-6)
    cosines = rows("text") @ rows("image").T
    spread = found.spreads["text"]["image"]
    assert spread.mean == pytest.approx(cosines[~np.eye(60, dtype=bool)].mean(), abs=1e-6)
    assert found.outranked["text"]["image"].pairs == 60
    again = calibration(workspace.folder, "gapped")
    assert counted == [120] and again.rows == found.rows and again.spreads == found.spreads
    assert again.outranked == found.outranked
    assert all(np.array_equal(again.means[one], found.means[one]) for one in found.means)


def test_a_write_into_this_collection_makes_it_anew_and_into_another_one_does_not(workspace, counted):
    store(workspace)
    calibration(workspace.folder, "gapped")
    store(workspace, name="other")
    calibration(workspace.folder, "gapped")
    assert len(counted) == 1
    workspace.delete_items("gapped", [f"{3:064x}"])
    assert calibration(workspace.folder, "gapped").rows == {"text": 60, "image": 59} and len(counted) == 2


def test_a_large_collection_is_sampled_pair_by_pair_and_the_same_each_time(workspace, counted, monkeypatch):
    monkeypatch.setattr(calibrations, "ROWS", 20)
    store(workspace)
    first = calibration(workspace.folder, "gapped")
    assert first.rows == {"text": 20, "image": 20} and first.outranked["text"]["image"].pairs == 20
    workspace.ledger.drop_state("calibration of gapped")
    assert np.array_equal(calibration(workspace.folder, "gapped").means["text"], first.means["text"])
    assert counted == [40, 40]


def test_what_the_store_holds_and_this_ledger_does_not_counts_too(workspace):
    tables = store(workspace)
    made_by = workspace.store.info("gapped").made_by
    item = Item("f" * 64, "image", "another", "", "pair 60")
    workspace.store.upsert(
        "gapped", made_by, "image", [item], VectorTable((item.id,), tables["image"].vectors[:1])
    )
    assert calibration(workspace.folder, "gapped").rows == {"text": 60, "image": 61}


def test_it_goes_with_its_collection(workspace):
    store(workspace)
    calibration(workspace.folder, "gapped")
    workspace.delete_collection("gapped")
    assert workspace.ledger.states("calibration of") == []
    with pytest.raises(CollectionNotFoundError):
        calibration(workspace.folder, "gapped")


def test_a_full_disk_costs_only_the_keeping(workspace, counted, monkeypatch):
    store(workspace)

    def full(key, value):
        raise FolderError(workspace.settings.data_dir, "is full.", "Free some space.")

    monkeypatch.setattr(workspace.ledger, "set_state", full)
    assert [calibration(workspace.folder, "gapped").rows["text"] for _ in range(2)] == [60, 60]
    assert len(counted) == 2
