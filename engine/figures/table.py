"""What a figure draws, as a table: a row for each point, cell and straight line in it; computes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.text import csv_cell

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]


def table(figure: Figure | Mapping[str, Any]) -> list[Row]:
    """Return what a figure draws, in the order in which it does; columns have the titles of its axes.

    Lines with gaps are counted in the column "line". A trace says in its `meta` what its customdata are, and
    leaves out what it calls "". Words without a mark only label what another trace draws, and are not data.
    """
    if isinstance(figure, Mapping):
        traces, layout = figure["data"], figure["layout"]
    else:
        traces, layout = [one.to_plotly_json() for one in figure.data], figure.layout.to_plotly_json()
    names = {axis: _title(layout, axis) for axis in "xy"}
    rows: list[Row] = []
    for trace in traces:
        if trace["type"] == "heatmap":
            rows += _cells(trace, names)
        elif trace.get("mode") != "text":
            rows += _points(trace, names)
    return rows + [_straight(shape, names) for shape in layout.get("shapes", ())]


def to_csv(figure: Figure | Mapping[str, Any]) -> bytes:
    """Return the table of a figure as CSV in UTF-8; no cell of it is a formula to a spreadsheet."""
    rows = table(figure)
    out = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writer.writerow([csv_cell(name) for name in columns])
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue().encode("utf-8-sig")


def _title(layout: Mapping[str, Any], axis: str) -> str:
    title = layout.get(f"{axis}axis", {}).get("title") or axis
    return _plain(title if isinstance(title, str) else title.get("text") or axis)


def _points(trace: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Row]:
    x, y = _listed(trace["x"]), _listed(trace["y"])
    more = {**_spans(trace, names), **_each(trace)}
    broken, line = None in x or None in y, 1
    for place, (at_x, at_y) in enumerate(zip(x, y, strict=True)):
        if at_x is None or at_y is None:
            line += 1
            continue
        counted = {"line": line} if broken else {}
        told = {name: values[place] for name, values in more.items()}
        yield {"trace": _name(trace), **counted, names["x"]: at_x, names["y"]: at_y, **told}


def _cells(trace: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Row]:
    told = trace.get("customdata")
    for row, values in enumerate(trace["z"]):
        for column, value in enumerate(_listed(values)):
            more = {} if told is None else _named(trace, told[row][column])
            yield {"trace": _name(trace), names["x"]: column, names["y"]: row, **more, "value": value}


def _straight(shape: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    """Return a line across the whole figure, which has one place on one axis."""
    axis = "x" if shape["x0"] == shape["x1"] else "y"
    return {"trace": shape.get("name") or "line", names[axis]: shape[f"{axis}0"]}


def _spans(trace: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return from where to where the bars of the points go."""
    found = {}
    for axis in "xy":
        bars = trace.get(f"error_{axis}")
        if bars:
            middle, up, down = (np.asarray(one) for one in (trace[axis], bars["array"], bars["arrayminus"]))
            found[f"{names[axis]} from"] = (middle - down).tolist()
            found[f"{names[axis]} to"] = (middle + up).tolist()
    return found


def _each(trace: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what a trace has for each of its points beside a place: words, and how it looks."""
    marker = trace.get("marker") or {}
    looks = {"text": trace.get("text"), "colour": marker.get("color"), "symbol": marker.get("symbol")}
    found: dict[str, list[Any]] = {
        name: [_plain(one) for one in values]
        for name, values in looks.items()
        if values is not None and not isinstance(values, str)
    }
    if trace.get("customdata") is not None:
        told = [_named(trace, one) for one in trace["customdata"]]
        found |= {name: [one[name] for one in told] for name in (told[0] if told else ())}
    return found


def _named(trace: Mapping[str, Any], told: Any) -> Row:
    values: Sequence[Any] = [told] if isinstance(told, str | float | int) else list(told)
    columns = trace.get("meta") or [f"told {place}" for place in range(1, len(values) + 1)]
    return {name: _plain(value) for name, value in zip(columns, values, strict=True) if name}


def _name(trace: Mapping[str, Any]) -> str:
    return _plain(trace.get("name") or "")


def _plain(value: Any) -> Any:
    """Return words without the markup that plotly reads in them."""
    return unescape(value.replace("<br>", " ")) if isinstance(value, str) else value


def _listed(values: Any) -> list[Any]:
    """Return numbers as they are written shortest, None for a gap; float32 has no digits beyond its own."""
    array = np.asarray(values)
    if array.dtype == np.float32:
        array = np.array([float(str(one)) for one in array])
    return [None if one is None or one != one else one for one in array.tolist()]
