"""Any other column of a collection: which there are, numbers or groups, and what items without it have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import QueryError
from engine.storage.columns import Category
from engine.storage.extra_columns import MOST_NUMBERED, column_names, in_words, read_column
from tests.helpers.data import MADE_BY, plain_items, unit_table


@pytest.fixture
def filled(workspace):
    """Store 40 items of which 30 have a city, a year and a 'say "when"'; widths differ and heights do not."""
    table = unit_table(40)
    items = [
        replace(item, width_px=100 + row, height_px=50, metadata=metadata(row))
        for row, item in enumerate(plain_items(table))
    ]
    workspace.ledger.set_provenance("some", MADE_BY)
    workspace.ledger.put("some", items, table)
    workspace.store.upsert("some", MADE_BY, "image", items, table)
    return workspace


def metadata(row: int) -> tuple:
    if row >= 30:
        return ()
    return (("city", f"city {row % 3}"), ('say "when"', float(row)), ("year", 2000 + row % 4))


def ids(count=40) -> list[str]:
    return list(unit_table(count).ids)


def test_the_columns_are_what_differs_and_what_somebody_has(filled):
    assert column_names(filled, "some") == ["width in pixels", "city", 'say "when"', "year"]
    assert column_names(filled, "nothing") == []


def test_numbers_are_a_scale_and_few_numbers_are_groups(filled):
    width = read_column(filled, "some", "width in pixels", ids()[::-1])
    assert width.dtype == np.float64 and width.tolist() == list(range(139, 99, -1))
    when = read_column(filled, "some", 'say "when"', ids())
    assert when[:30].tolist() == list(range(30)) and np.isnan(when[30:]).all()
    year = read_column(filled, "some", "year", ids())
    assert isinstance(year, Category) and list(year)[:5] == [2000, 2001, 2002, 2003, 2000]
    assert list(year)[30:] == [""] * 10


def test_words_are_groups_and_those_without_have_none(filled):
    city = read_column(filled, "some", "city", [*ids(31), "gone"])
    assert list(city) == [*(f"city {row % 3}" for row in range(30)), "", ""]


def test_a_column_of_words_and_numbers_is_of_words(filled):
    table = unit_table(MOST_NUMBERED + 5, start=500)
    values = ["many", *range(MOST_NUMBERED + 4)]
    items = [
        replace(item, metadata=(("mixed", value),))
        for item, value in zip(plain_items(table), values, strict=True)
    ]
    filled.ledger.put("some", items, table)
    assert list(read_column(filled, "some", "mixed", table.ids)) == values


@pytest.mark.parametrize("name", ["gone", "", "') --", "metadata", '"', "$.caption", "width_px"])
def test_a_column_that_nobody_has_is_refused_with_those_there_are(filled, name):
    with pytest.raises(QueryError, match=r"There are: width in pixels, city, say .*, year"):
        read_column(filled, "some", name, ids())


def test_values_that_differ_are_groups_that_differ(filled):
    values = [20190101.0, 20190102.0, 1234567.25, 1234567.5, True, False]
    table = unit_table(len(values), start=700)
    items = [
        replace(item, metadata=(("day", value),))
        for item, value in zip(plain_items(table), values, strict=True)
    ]
    filled.ledger.put("some", items, table)
    words = [in_words(value) for value in read_column(filled, "some", "day", table.ids)]
    assert words == ["20190101", "20190102", "1234567.25", "1234567.5", "true", "false"]


def test_metadata_goes_before_a_fact_of_the_same_name(filled):
    table = unit_table(40)
    items = [
        replace(item, width_px=1 + row, metadata=(("width in pixels", f"w{row % 2}"),))
        for row, item in enumerate(plain_items(table))
    ]
    filled.ledger.put("some", items, table)
    assert column_names(filled, "some") == ["width in pixels"]
    assert list(read_column(filled, "some", "width in pixels", ids()))[:3] == ["w0", "w1", "w0"]
