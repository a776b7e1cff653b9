"""Conditions are read as they are written, and refused with the columns, operators or values there are."""

from __future__ import annotations

import pytest

from engine.errors import QueryError
from engine.storage.conditions import (
    MAX_CONDITIONS,
    check_filters,
    is_date,
    read_conditions,
    value_of,
)
from engine.types import Condition, Filters, Item

KINDS = {
    "width_px": "number",
    "width": "number",
    "split": "text",
    "taken": "date",
    "flag": "truth",
    "label": "label",
    "a=b": "text",
    "price >= list": "number",
}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("width_px>=1000", ("width_px", ">=", "1000")),
        ("width_px >= 1000", ("width_px", ">=", "1000")),
        ("width<2e3", ("width", "<", "2e3")),
        ("split=train", ("split", "=", "train")),
        ("split!=a=b>c", ("split", "!=", "a=b>c")),
        ("split~rai", ("split", "~", "rai")),
        ("split=", ("split", "=", "")),
        ("taken<=2024-05", ("taken", "<=", "2024-05")),
        ("flag=TRUE", ("flag", "=", "TRUE")),
        ("label=cat", ("label", "=", "cat")),
        ("a=b=c", ("a=b", "=", "c")),
        ("price >= list>=5", ("price >= list", ">=", "5")),
    ],
)
def test_a_condition_is_read(written, read):
    [found] = read_conditions([written], KINDS)
    assert found == Condition(*read)
    assert read_conditions([str(found)], KINDS) == (found,)  # as an address keeps it


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("height>3", r"No .*column 'height'.*There are: width_px, width, split"),
        ("width_px", r"'width_px' is no condition.*as in width_px>=1000"),
        ("", "is no condition"),
        (">=3", "is no condition"),
        ("split>=b", r"split holds texts, which are compared by = != ~, and not by >="),
        ("flag>true", r"true or false, which are compared by = !=, and"),
        ("width_px~1", r"numbers, which are compared by = != >= <= > <"),
        ("width_px>=wide", "'wide' is none: write one as 1000"),
        ("width_px>=nan", "'nan' is none"),
        ("width_px>=1_000", "'1_000' is none"),
        ("width_px>=", "wants a value"),
        ("taken>=yesterday", "write one as 2024"),
        ("flag=yes", "flag is true or false, not 'yes'"),
        ("split=" + "x" * 400, "at most 300 characters"),
    ],
)
def test_what_is_wrong_is_said(written, said):
    with pytest.raises(QueryError, match=said):
        read_conditions([written], KINDS)


def test_too_many_are_refused_and_repeated_ones_are_one():
    with pytest.raises(QueryError, match="At most 20"):
        read_conditions(["split=a"] * (MAX_CONDITIONS + 1), KINDS)
    assert len(read_conditions(["split=a", "split = a"], KINDS)) == 1


def test_filters_that_were_not_read_here_are_checked_too():
    check_filters(Filters(labels=("cat",), conditions=(Condition("split", "=", "a"),)), KINDS)
    with pytest.raises(QueryError, match="'nothing'"):
        check_filters(Filters(conditions=(Condition("nothing", "=", "a"),)), KINDS)
    with pytest.raises(QueryError, match="not by >"):
        check_filters(Filters(conditions=(Condition("split", ">", "a"),)), KINDS)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2024-05-31", True),
        ("2024-05-31T10:00:00Z", True),
        ("2024-05-31 10:00:00.5+02:00", True),
        ("2024-05", True),
        ("2024", False),
        ("2024-05-31 or so", False),
        ("12-05-2024", False),
    ],
)
def test_dates_are_told_from_other_texts(text, is_one):
    assert is_date(text) == is_one


def test_the_value_of_an_item():
    item = Item(
        "a" * 64,
        "image",
        "one.jpg",
        "image/jpeg",
        "p",
        labels=("cat", "dog"),
        width_px=7,
        metadata=(("name", "of the data"), ("split", "train")),
    )
    assert [value_of(item, one) for one in ("name", "meta.name", "label", "width_px", "split")] == [
        "one.jpg",
        "of the data",
        "cat, dog",
        7,
        "train",
    ]
    assert [value_of(item, one) for one in ("caption", "height_px", "nothing")] == [None, None, None]
