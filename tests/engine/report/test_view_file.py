"""A view comes back from its file as it was, and what is no such file is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.errors import ViewFileError
from engine.report.view_file import (
    MOST_BYTES,
    ViewCollection,
    differences,
    from_json,
    to_json,
    view_file,
)

MINE = ViewCollection("mine", "pocket", "abc", {"image": 3, "text": 3})
VIEW = view_file(
    "Gap lab",
    "Change",
    {"change_share": 0.5, "change_dims": 3, "histograms_shown": ["matching pairs"], "cone_bias": True},
    [MINE],
    seed=0,
    numbers={"L2M": 0.1 + 0.2, "n": 3, "form": "two islands", "skew": None, "undefined": float("nan")},
)


def document(**changes) -> bytes:
    return json.dumps({**json.loads(to_json(VIEW)), **changes}).encode()


def test_a_view_comes_back_as_it_was_to_the_last_digit():
    again = from_json(to_json(VIEW).encode())
    assert again == VIEW
    assert again.numbers["L2M"] == 0.1 + 0.2 and again.numbers["undefined"] is None
    assert {"gapscope", "python", "numpy"} <= set(again.versions)


def test_a_number_that_no_float_holds_is_a_number_all_the_same():
    assert from_json(document(settings={"a": 10**400})).settings["a"] == 10**400


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "another product"),
        (document(product="other"), "another product"),
        (document(format=2), "a newer release"),
        (document(format="1"), "'format'"),
        (document(format=True), "'format'"),
        (b" " * (MOST_BYTES + 1), "at most"),
        (document(view=7), "'view'"),
        (document(page="x" * 500), "'page'"),
        (document(settings=["a"]), "'settings'"),
        (document(settings={"a": {"b": 1}}), "'settings.a'"),
        (document(settings={"a": [1]}), "'settings.a'"),
        (document(settings={"a": None}), "'settings.a'"),
        (document(settings={str(n): 1 for n in range(10_001)}), "'settings'"),
        (document(numbers={"a": []}), "'numbers.a'"),
        (document(numbers={"a": float("inf")}), "'numbers.a'"),
        (document(collections=[1]), "'collections'"),
        (document(page=10**400), "'page'"),
        (
            document(collections=[{"name": "a", "model": "b", "revision": "", "counts": {"image": -1}}]),
            "counts",
        ),
        (document(seed="0"), "'seed'"),
        (document(versions={"numpy": 2}), "'versions.numpy'"),
    ],
)
def test_what_is_no_file_of_a_view_is_refused_in_words(data, said):
    with pytest.raises(ViewFileError, match=f"^The file .*{said}"):
        from_json(data)


def test_why_numbers_may_come_out_otherwise():
    assert differences(VIEW, {"mine": MINE}) == []
    assert "is not here" in differences(VIEW, {})[0]
    [said] = differences(VIEW, {"mine": replace(MINE, revision="def")})
    assert "pocket (abc) then and is of pocket (def)" in said
    [said] = differences(VIEW, {"mine": replace(MINE, counts={"image": 4, "text": 3})})
    assert "had 3 image, 3 text then and has 4 image, 3 text here" in said
