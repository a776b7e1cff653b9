"""Filters, copies, order and the large view on the pages: in the address, cleared, refused in words."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tests.helpers.pages import page, put, words, workspace

pytestmark = pytest.mark.usefixtures("app_folder")
LIKE = f"{0:064x}"
VECTORS = np.concatenate([np.random.default_rng(0).normal(size=(9, 8)), np.ones((3, 8))])


@pytest.fixture
def mine(app_folder) -> None:
    """Store twelve pictures of rising width, the last three equal, in two splits."""
    for row, vector in enumerate(VECTORS):
        split = "train" if row % 2 else "test"
        put(
            vector[None, :],
            start=row,
            width_px=100 * (row + 1),
            metadata=(("split", split), ("taken", f"2024-0{1 + row % 9}-01")),
            paired=False,
        )


def search(**query: object):
    app = page("pages/1_Search.py", collection="mine", like=LIKE, **query)
    assert not app.exception
    return app


def shown(app) -> list[str]:
    keys = [button.key or "" for button in app.button]
    return [key.removeprefix("open_hit_") for key in keys if key.startswith("open_hit_")]


def rows(app) -> set[int]:
    return {int(id_, 16) for id_ in shown(app)}


def test_an_address_with_conditions_opens_filtered_and_they_are_cleared(mine):
    app = search(where=["width_px>=400", "split=train"])
    assert rows(app) == {3, 5, 7, 9, 11} and "5 of 5 pictures" in words(app)
    chips = {
        button.label.replace("\\", "") for button in app.button if (button.key or "").startswith("where_")
    }
    assert {"width_px>=400", "split=train", "Clear filters"} <= chips
    app = app.button(key="where_1").click().run()
    assert rows(app) == set(range(3, 12)) and app.query_params["where"] == "width_px>=400"
    app = app.button(key="where_clear").click().run()
    assert rows(app) == set(range(1, 12)) and "where" not in app.query_params


def test_a_filter_is_added_by_hand(mine):
    app = search()
    app = app.selectbox(key="where_column").select("width_px").run()
    low = next(box for box in app.number_input if (box.key or "").endswith("width_px_from"))
    app = low.set_value(1000).run()
    app = app.button(key="where_add").click().run()
    assert not app.exception and rows(app) == {9, 10, 11}
    assert app.query_params["where"] == "width_px>=1000"
    app = app.selectbox(key="where_column").select("split").run()
    values = next(box for box in app.multiselect if (box.key or "").endswith("split_values"))
    assert len(values.options) == 2
    app = values.select("train").run()
    app = app.button(key="where_add").click().run()
    assert rows(app) == {9, 11}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"where": "nothing>=3"}, "no column"),
        ({"where": "width_px>=wide"}, "'wide' is none"),
        ({"where": "<script>alert(1)</script>"}, "is no condition"),
        ({"where": ["split=a"] * 99}, "At most 20"),
        ({"where": ""}, "is no condition"),
    ],
)
def test_a_condition_that_is_wrong_is_said_and_can_be_cleared(mine, query, said):
    app = search(**query)
    assert said.replace("no column", "No item here has the column 'nothing'") in words(app)
    assert not shown(app)
    app = app.button(key="where_clear").click().run()
    assert len(shown(app)) == 11


def test_values_are_offered_as_they_are_written(app_folder):
    for row, (group, start) in enumerate([("Gebäude", None), ("Gebäude", None), ("_a_ [b]", None)]):
        put(VECTORS[row][None, :], start=row, metadata=(("art", group),), paired=False, start_seconds=start)
    app = search()
    assert "start_seconds" not in app.selectbox(key="where_column").options
    app = app.selectbox(key="where_column").select("art").run()
    values = next(box for box in app.multiselect if (box.key or "").endswith("art_values"))
    assert sorted(values.options) == ["Gebäude (2)", "_a_ [b] (1)"]


def test_seconds_are_offered_where_they_differ(app_folder):
    for row in range(3):
        put(VECTORS[row][None, :], start=row, paired=False, start_seconds=float(row))
    assert "start_seconds" in search().selectbox(key="where_column").options


@pytest.mark.parametrize(
    ("column", "low", "high"), [("width_px", 900, 400), ("taken", "2024-05-01", "2024-02-01")]
)
def test_a_range_that_ends_before_it_begins_is_said_and_not_added(mine, column, low, high):
    app = search()
    app = app.selectbox(key="where_column").select(column).run()
    kind = app.number_input if column == "width_px" else app.date_input
    boxes = {(box.key or "").rpartition("_")[2]: box for box in kind}
    as_typed = (lambda one: one) if column == "width_px" else date.fromisoformat
    boxes["from"].set_value(as_typed(low))
    boxes["to"].set_value(as_typed(high))
    app = app.run()
    assert "From is beyond To" in words(app) and app.button(key="where_add").disabled
    kind = app.number_input if column == "width_px" else app.date_input
    next(box for box in kind if (box.key or "").endswith("_to")).set_value(as_typed(low))
    app = app.run()
    assert "From is beyond To" not in words(app) and not app.button(key="where_add").disabled


def test_copies_are_hidden_counted_and_can_be_seen(mine):
    app = search(copies="exact")
    assert len(rows(app)) == 9 and len(rows(app) & {9, 10, 11}) == 1
    assert "2 copies of better hits hidden (equal vectors)." in words(app)
    assert sum("+ 2 copies hidden" in str(block.proto.body) for block in app.get("html")) == 1
    assert [one.label for one in app.expander if "hidden" in one.label] == ["The 2 hidden copies"]
    assert "'exact', or by a cosine" in words(search(copies="2"))


def test_hits_are_sorted_by_a_column_and_small_cards_have_one_button(mine):
    app = search(sort="width_px ↓", size="Small")
    assert [int(id_, 16) for id_ in shown(app)] == list(range(11, 0, -1))
    keys = [button.key or "" for button in app.button]
    assert not any(key.startswith(("like_hit_", "right_hit_")) for key in keys)
    assert "is of no column here" in words(search(sort="nothing ↑"))


def test_the_large_view_is_of_the_whole_list_in_its_order(mine):
    app = search(sort="width_px ↑")  # the arrow keys, and the file, are tried in a browser
    first, second, *_, last = shown(app)
    opened = app.button(key=f"open_hit_{first}").click().run()
    assert "1 of 11" in words(opened) and opened.button(key="large_previous").disabled
    assert {f"like_large_{first}", f"right_large_hit_{first}"} <= {button.key for button in opened.button}
    opened = app.button(key=f"open_hit_{second}").click().run()
    assert "2 of 11" in words(opened) and any(one.key == f"delete_{second}" for one in opened.button)
    opened = app.button(key=f"open_hit_{last}").click().run()
    assert "11 of 11" in words(opened) and opened.button(key="large_next").disabled


def test_the_size_stays_for_the_visit(mine):
    app = search(size="Large")
    app = app.switch_page("pages/6_Library.py").run()
    assert app.session_state["size"] == "Large"


def test_rerank_takes_the_same_filters(mine):
    workspace()
    app = page("pages/2_Rerank.py", collection="mine", where="width_px>=400")
    assert not app.exception and any(button.key == "where_0" for button in app.button)
    assert app.selectbox(key="copies").value == "off"
