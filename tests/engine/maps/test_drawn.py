"""A map to draw finds its rows by id and its ids by row, and its version tells it from every other."""

from __future__ import annotations

import numpy as np
import pytest

from engine.maps.drawn import DrawnMap
from engine.maps.kept import Map
from engine.maps.projection import ProjectionSettings
from engine.storage.columns import Category, Columns
from engine.types import Projection, Provenance


def drawn(ids="abc", offset=0.0) -> DrawnMap:
    n = len(ids)
    places = np.arange(2 * n, dtype=np.float32).reshape(-1, 2) + offset
    projection = Projection(tuple(ids), places, np.zeros(n, bool), "pca")
    modality = dict.fromkeys(ids, "image")
    found = Map("c", Provenance("m", "1", 8), ProjectionSettings(), projection, modality, 0)
    modality, mime, labels = (Category.of([one] * n) for one in ("image", "", ()))
    return DrawnMap.of(found, Columns(tuple(ids), modality, mime, np.arange(n), labels))


def test_rows_and_ids_are_each_others_inverse_and_unknown_ids_have_none():
    one = drawn()
    assert one.rows(["c", "gone", "a"]).tolist() == [2, 0]
    assert one.ids([2, 0]) == ("c", "a")


def test_another_place_or_item_is_another_version():
    versions = {drawn().version, drawn("abd").version, drawn("cba").version, drawn(offset=1).version}
    assert len(versions) == 4 and drawn().version == drawn().version


def test_columns_of_other_items_are_refused():
    with pytest.raises(KeyError):
        DrawnMap.of(drawn().map, drawn("xyz").columns)


def test_columns_are_put_in_the_order_of_the_map():
    found = DrawnMap.of(drawn("cab").map, drawn("abcd").columns)
    assert found.columns.ids == ("c", "a", "b") and found.columns.pair.tolist() == [2, 0, 1]
