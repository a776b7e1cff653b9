"""The map's bytes both ways, its colours, lines and legend, and the selection that survives by id."""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from engine.storage.columns import Category
from pages.ui.map import component, paint
from pages.ui.map.component import Paint, pack, quantised, selected_rows
from pages.ui.map.selected import Chosen


def selection(rows, version="v", n=20) -> str:
    """Write a selection as js/data.js does."""
    bits = np.zeros(-(-n // 8) * 8, bool)
    bits[list(rows)] = True
    return f"{version}:{base64.b64encode(np.packbits(bits, bitorder='little').tobytes()).decode()}"


def test_what_is_packed_can_be_unpacked():
    arrays = {"places": np.arange(6, dtype=np.float32), "group": np.arange(3, dtype=np.uint8)}
    data = pack({"kind": "points", "name": "é"}, arrays)
    [length] = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + length])
    assert head == {"kind": "points", "name": "é", "arrays": [["places", "f32", 6], ["group", "u8", 3]]}
    assert np.array_equal(np.frombuffer(data, np.float32, 6, 4 + length), arrays["places"])
    assert data[-3:] == bytes([0, 1, 2])
    assert len(data) == 4 + length + 24 + 3


@pytest.mark.parametrize("rows", [[], [0], [19], [0, 7, 8, 15, 16], list(range(20))])
def test_a_selection_comes_back_as_the_same_rows(rows):
    assert selected_rows(selection(rows), "v", 20).tolist() == rows


@pytest.mark.parametrize(
    "state", ["", "v", "v:", "v:???", "v:é", "other:AAAA", ":" * 9, None, 7, ["v"], "v:" + "A" * 4097]
)
def test_a_broken_or_foreign_selection_selects_nothing(state):
    assert selected_rows(state, "v", 20).tolist() == []


def test_rows_beyond_the_map_are_left_out():
    assert selected_rows(selection([3, 19]), "v", 10).tolist() == [3]


def test_paint_refuses_what_does_not_fit():
    group = np.array([0, 1], np.uint8)
    with pytest.raises(ValueError, match="colours do not fit"):
        Paint(group, group, ("#000000",), 3, 1)
    with pytest.raises(ValueError, match="differ"):
        Paint(group, group[:1], ("#000000", "#ffffff"), 3, 1)


def test_a_modality_has_one_colour_and_one_symbol_wherever_it_is():
    both = paint.by_modality(Category.of(("image", "text", "image")), str)
    alone = paint.by_modality(Category.of(("image",)), str)
    assert both.legend == (("#e69f00", "text", 1), ("#009e73", "image", 2))
    assert both.palette[both.group[0]] == alone.palette[alone.group[0]]
    assert len(set(paint.SYMBOLS.values())) == len(set(paint.MODALITY_COLOURS.values())) == 4


def test_at_most_twenty_colours_and_the_rest_is_other():
    values = [f"label {n}" for n in range(40) for _ in range(40 - n)] + [""] * 5
    found = paint.by_group(Category.of(values), none_name="no label")
    assert len(set(found.palette)) == 19 <= paint.MOST_COLOURS
    assert found.legend[0][1:] == ("label 0", 40)
    assert found.legend[-2][1:] == ("22 others", sum(40 - n for n in range(18, 40)))
    assert found.legend[-1] == (paint.GREY, "no label", 5)
    assert found.palette[found.group[-1]] == paint.GREY
    assert sum(count for _, _, count in found.legend) == len(values)


def test_nineteen_groups_all_have_a_colour():
    found = paint.by_group(Category.of(f"{n}" for n in range(19)))
    assert len({found.palette[place] for place in found.group}) == 19 and len(found.legend) == 19


def test_no_items_have_no_colours():
    none = Category.of(())
    assert len(paint.by_group(none).group) == len(paint.by_modality(none, str).group) == 0
    assert paint.pair_lines(np.zeros(0, np.int32))[1] == 0


def test_similarity_is_ranked_within_each_modality():
    scores = np.array([0.9, 0.8, 0.1, 0.2, np.nan])
    found = paint.by_similarity(scores, Category.of(("text", "text", "image", "image", "image")))
    assert found.group[0] == found.group[3] == found.group.max()  # the best of either
    assert found.group[1] == found.group[2] < found.group[0]
    assert found.group[4] == 0


def test_numbers_are_a_scale_and_what_has_none_is_grey():
    values = np.array([*range(101), np.nan, 1e9])
    found = paint.by_number(values)
    assert found.group[0] == 0 and found.group[102] == found.group[100] == max(found.group[:101])
    assert (np.diff(found.group[:101].astype(int)) >= 0).all()
    assert found.palette[found.group[101]] == paint.GREY
    assert [name for _, name, _ in found.legend] == ["1.01", "50.5", "99.99", "none"]
    assert found.legend[-1][2] == 1


@pytest.mark.parametrize("values", [[], [np.nan], [5.0], [5.0, 5.0, np.nan], [-1e300, 1e300]])
def test_few_and_odd_numbers_have_colours_too(values):
    found = paint.by_number(np.array(values, float))
    assert len(found.group) == len(values) and all(group < len(found.palette) for group in found.group)


def test_lines_go_from_the_first_of_a_pair_to_each_other_one():
    lines, total = paint.pair_lines(np.array([7, 2, 7, 5, 7, 2]))
    assert total == 3
    assert sorted(map(tuple, lines.reshape(-1, 2).tolist())) == [(0, 2), (0, 4), (1, 5)]
    lines, total = paint.pair_lines(np.array([7, 2, 7, 5, 7, 2]), np.array([5]))
    assert (lines.tolist(), total) == ([1, 5], 1)
    assert paint.pair_lines(np.array([1, 1]), np.zeros(0, np.int32))[1] == 0


def test_no_more_lines_than_can_be_seen():
    lines, total = paint.pair_lines(np.arange(14_000) // 2)
    assert total == 7_000 and len(lines) == 2 * paint.MOST_LINES and lines.dtype == np.int32


def test_names_of_strangers_are_escaped_in_the_legend():
    html = paint.legend_html(paint.by_group(Category.of(["<img src=x onerror=alert(1)>"])))
    assert "<img" not in html and "&lt;img" in html


@pytest.mark.parametrize("n", [0, 1, 400, 100_000, 1_000_000])
def test_points_are_smaller_and_fainter_where_there_are_more(n):
    size, opacity = paint.size_of(n)
    more = paint.size_of(10 * n + 1)
    assert 1.5 <= more[0] <= size <= 9 and 0.35 <= more[1] <= opacity <= 0.9


def test_many_places_are_sent_in_sixteen_bits_and_stay_within_a_step(monkeypatch):
    places = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32) * [9, 1]
    places = places.astype(np.float32)
    sent, low, step = quantised(places)
    assert sent.dtype == np.float32 and (sent == places).all() and (low, step) == ([0, 0], 1)
    monkeypatch.setattr("pages.ui.map.component.MANY", 499)
    sent, low, step = quantised(places)
    assert sent.dtype == np.uint16 and sent.max() == 65_535
    assert np.abs(low + step * sent.astype(float) - places).max() <= step * 0.51
    assert quantised(np.zeros((500, 3), np.float32))[0].max() == 0


def test_a_selection_is_forgotten_with_its_map_and_kept_otherwise():
    one = Chosen()
    one.follow("map 1")
    one.select(("a", "b"))
    turn = one.turn
    one.follow("map 1")
    assert one.ids == ("a", "b") and one.turn == turn
    one.follow("map 2")
    assert one.ids == () and one.turn > turn


def modules() -> dict[str, str]:
    folder = Path(component.__file__).with_name("js")
    return {path.stem: path.read_text("utf-8") for path in folder.iterdir()}


def declared(text: str) -> list[str]:
    return re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", text, flags=re.MULTILINE)


def test_every_module_of_the_canvas_is_joined_once_in_the_order_of_their_imports():
    texts, seen = modules(), set()
    assert sorted(component._MODULES) == sorted(texts)
    for name in component._MODULES:
        for names, source in re.findall(r"import {([^}]*)} from \"\./(\w+)\.js\";", texts[name]):
            assert source in seen
            exported = re.findall(r"^export (?:const|class|function) (\w+)", texts[source], flags=re.M)
            assert {one.strip() for one in names.split(",")} <= set(exported)
        seen.add(name)


def test_the_joined_script_is_one_module_with_nothing_but_a_default_export():
    joined = component.script()
    assert re.findall(r"^ *(?:import|export)\b.*", joined, flags=re.MULTILINE) == [
        "export default function (component) {"
    ]
    names = declared(joined)
    assert len(names) > 40 and len(set(names)) == len(names)  # a name twice in one scope is an error
    assert sorted(names) == sorted(name for text in modules().values() for name in declared(text))


def test_what_python_and_the_canvas_both_rely_on_is_the_same():
    joined = component.script()
    numbers = dict(re.findall(r"^const (\w+) = ([\d_]+);", joined, flags=re.MULTILINE))
    assert int(numbers["MANY"]) == component.MANY
    assert int(numbers["PALETTE_SIZE"]) == component.MOST_GROUPS
    assert set(re.findall(r"(\w+): \w+Array", joined)) == set(component._KINDS.values())


def test_words_of_strangers_never_become_html_and_lines_stay_short():
    for text in modules().values():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)
        assert max(map(len, text.splitlines())) <= 100
