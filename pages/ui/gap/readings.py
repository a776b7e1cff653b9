"""What is read before and after a change of the gap: map, cosines, numbers, curve, and a question's hits."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapError
from engine.report.numbers import numbers_of
from pages.ui import figure
from pages.ui.gap.lessons.words import about
from pages.ui.glossary import explained
from pages.ui.wording import plain, plural, say_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from engine.analysis.label_clusters import LabelClusters
    from engine.evaluation.metrics import Interval
    from engine.lessons.readings import Curve, Ranked, Readings
    from engine.lessons.split import Change, Split
    from engine.report.view_file import Number
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

_STYLE = """<style>
.gs-read {border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem;}
.gs-read th, .gs-read td {text-align: left; padding: .22rem .6rem .22rem 0; font-weight: 400;
  border-bottom: 1px solid color-mix(in srgb, currentColor 14%, transparent);}
.gs-read thead th {opacity: .7;} .gs-read th[scope="row"] {min-width: 9rem;}
.gs-hits {margin: 0; padding-left: 1.4rem; font-size: .92rem; line-height: 1.5; overflow-wrap: anywhere;}
.gs-hits i {opacity: .7; font-style: normal;}
</style>"""
_MODGAP = (
    "ModGap (Grassucci et al., ICLR 2026, arXiv 2601.18525) closes the gap by training with another loss, "
    "and reports that retrieval stays about as it is while V-measure rises by 10 to 17 points."
)


def draw(split: Split, info: CollectionInfo, before: Readings, after: Readings, curve: Curve | None) -> None:
    """Draw map, cosines, numbers and curve; what was computed of what stands below."""
    st.html(_STYLE)
    left, right = st.columns(2)
    with left:
        clouds(split, after, key="change_map")
        cosines(split, after, key="change_cosines")
    with right:
        table(split, before, after)
    st.markdown(plain(clusters_words(before, after)))
    if curve:
        curves(split, curve, after.change.share if after.change.name == "shift" else 0.0, key="change")
    st.caption(plain(f"{about(split.measured, *_sizes(split, after))} {_left_out(split, info)}".strip()))


def clouds(split: Split, after: Readings, *, key: str) -> None:
    """Draw both clouds after a change, in the plane of the vectors as they are."""
    from engine.figures.clouds import cloud_chart

    names = (plural(split.measured.a), plural(split.measured.b))
    chart = cloud_chart(after.places_a, after.places_b, limit=split.plane.reach, height_px=330, names=names)
    figure.show(chart, key=key, name=_file(split, after, "map"))


def cosines(split: Split, after: Readings, *, key: str) -> None:
    """Draw the four kinds of cosines after a change."""
    from engine.figures.cosine_histograms import Histogram, cosine_chart
    from engine.lessons.histograms import EDGES

    a, b = plural(split.measured.a), plural(split.measured.b)
    kinds = {
        "matching pairs": after.paired,
        "other pairs across": after.unpaired,
        f"{a} and {a}": after.within_a,
        f"{b} and {b}": after.within_b,
    }
    rows = [Histogram(name, kind.counts, kind.mean) for name, kind in kinds.items()]
    chart = cosine_chart(rows, EDGES, height_px=270)
    figure.show(chart, key=key, name=_file(split, after, "cosines"))


def _file(split: Split, after: Readings, what: str) -> str:
    """Return what a file of one figure is called."""
    edit = "as it is" if after.change.name == "none" else f"after {after.change.name}"
    return f"{split.measured.collection} {edit} {what}"


def curves(split: Split, curve: Curve, at: float, *, key: str) -> None:
    """Draw the gap, retrieval and the loss over all shifts, with a mark where the slider is."""
    from engine.figures.curves import curve_chart

    a, b = plural(split.measured.a), plural(split.measured.b)
    lines = {
        "L2M": curve.l2m,
        "RMG": curve.rmg,
        f"R@1 {a} to {b}": curve.a_to_b,
        f"R@1 {b} to {a}": curve.b_to_a,
    }
    first, last = curve.shares[0], curve.shares[-1]
    label = "shift as a share of the line of centroids"
    left, right = st.columns([3, 2])
    with left:
        chart = curve_chart(curve.shares, lines, at=at, last=last, first=first, step=label)
        figure.show(chart, key=f"{key}_curve", name=f"{split.measured.collection} shifted")
    with right:
        loss = {f"loss at temperature {curve.temperature:g}": curve.loss}
        chart = curve_chart(curve.shares, loss, at=at, last=last, first=first, step=label)
        figure.show(chart, key=f"{key}_loss", name=f"{split.measured.collection} loss by shift")
    least = curve.shares[min(range(len(curve.loss)), key=curve.loss.__getitem__)]
    st.caption(
        plain(
            f"The curves are of n = {curve.n:,} measured pairs. Of these shifts the loss is lowest at "
            f"{least:g} (0 is as it is, at 1 the middles are together); where it is lowest moves with the "
            f"temperature, and a low loss is no proof of a good search."
        )
    )


def table(split: Split, before: Readings, after: Readings) -> None:
    """Draw the numbers before and after as a table."""
    rows = "".join(
        f'<tr><th scope="row">{explained(name)}</th><td>{escape(old)}</td><td>{escape(new)}</td></tr>'
        for name, old, new in _rows(split, before, after)
    )
    head = '<th scope="col">reading</th><th scope="col">as it is</th><th scope="col">after the edit</th>'
    st.html(f'<table class="gs-read"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')


def _rows(split: Split, before: Readings, after: Readings) -> list[tuple[str, str, str]]:
    from engine.lessons.readings import KS

    a, b = plural(split.measured.a), plural(split.measured.b)
    found = [
        ("L2M, distance of the centroids", f"{before.l2m:.3f}", f"{after.l2m:.3f}"),
        ("RMG, pairs against items of one modality", f"{before.rmg:.3f}", f"{after.rmg:.3f}"),
    ]
    for way, old, new in (
        (f"{a} to {b}", before.a_to_b, after.a_to_b),
        (f"{b} to {a}", before.b_to_a, after.b_to_a),
    ):
        for k in KS:
            name = f"R@{k}, {way} (chance {min(1.0, k / old.candidates):.1%})"
            found.append((name, f"{old.recall(k):.1%}", f"{new.recall(k):.1%}"))
        change = "" if new is old else _interval(new.change(old, seed=split.measured.seed))
        found.append((f"R@1, {way}: change with 95 % interval", "", change))
    found += [
        (f"Hub skew of {b}, asked by {a}", _skew(before.hubs_b), _skew(after.hubs_b)),
        (f"Hub skew of {a}, asked by {b}", _skew(before.hubs_a), _skew(after.hubs_a)),
    ]
    old_one, new_one = before.clusters, after.clusters
    if not isinstance(old_one, str) and not isinstance(new_one, str):
        found += [
            (
                f"V-measure against {old_one.labels} labels (lowest to highest start)",
                _measure(old_one),
                _measure(new_one),
            ),
            (
                "Clusters of one modality only (95 % or more)",
                f"{old_one.one_modality:.0%}",
                f"{new_one.one_modality:.0%}",
            ),
        ]
    return found


def numbers(by_name: Mapping[str, Readings]) -> dict[str, Number]:
    """Return what the tables and figures show of readings, by their names."""
    from engine.lessons.readings import KS

    found: dict[str, Number] = {}
    for name, one in by_name.items():
        ways = {"a_to_b": one.a_to_b, "b_to_a": one.b_to_a}
        recalls = {way: {f"R@{k}": ranks.recall(k) for k in KS} for way, ranks in ways.items()}
        found |= numbers_of(one, name) | numbers_of(recalls, name)
    return found


def _skew(skew: float | None) -> str:
    return "all alike" if skew is None else f"{skew:.2f}"


def _measure(one: LabelClusters) -> str:
    return f"{one.v_measure:.2f} ({one.lowest:.2f} to {one.highest:.2f})"


def _interval(one: Interval) -> str:
    return f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f}) points"


def clusters_words(before: Readings, after: Readings) -> str:
    """Return what ModGap reports, and what is found here, whichever that is."""
    old, new = before.clusters, after.clusters
    if isinstance(old, str) or isinstance(new, str):
        why = old if isinstance(old, str) else new
        return f"{_MODGAP} Here V-measure is not measured: {why}"
    if before is after:
        return f"{_MODGAP} Here V-measure is {_measure(old)} as it is: change something to compare."
    points = 100 * (new.v_measure - old.v_measure)
    if new.lowest > old.highest:
        told = f"it rises by {points:.1f} points"
    elif new.highest < old.lowest:
        told = f"it falls by {-points:.1f} points"
    else:
        told = f"it changes by {points:+.1f} points, no more than another start of k-means does"
    return (
        f"{_MODGAP} Here, by an edit of vectors as they are, {told}; clusters of one modality only: "
        f"{old.one_modality:.0%} before, {new.one_modality:.0%} after."
    )


def _sizes(split: Split, after: Readings) -> list[str]:
    from engine.lessons.readings import CLUSTER_ROWS, COSINE_ROWS, HUB_K
    from engine.lessons.split import DRAWN

    n, most = after.n, len(after.a_to_b.ranks)
    found = [f"fitted on {len(split.fitted):,} other pairs", f"k = {min(HUB_K, n - 1)} for hubs"]
    if most < n:
        found.append(f"{most:,} questions each way among all {n:,}")
    for rows, what in ((COSINE_ROWS, "cosines"), (CLUSTER_ROWS, "clusters"), (DRAWN, "the map")):
        if rows < n:
            found.append(f"{what} of {rows:,} of these pairs")
    found.append("the plane of the map is that of the vectors as they are, for every edit")
    return found


def _left_out(split: Split, info: CollectionInfo) -> str:
    one = split.measured
    counts = {kind: info.counts.get(kind, 0) for kind in (one.a, one.b)}
    if max(counts.values()) == one.there:
        return ""
    listed = " and ".join(f"{count:,} {plural(kind)}" for kind, count in counts.items())
    return (
        f"{listed} make {one.there:,} pairs: what has no partner is left out, and of several that belong "
        "together the first stands for them."
    )


def lists(workspace: Workspace, split: Split, change: Change, vector: np.ndarray, question: str) -> None:
    """Draw the first hits of a question among the measured items before and after a change.

    vector (d,): the question at unit length, of any float dtype.
    """
    from engine.lessons.readings import top
    from engine.lessons.split import NONE

    try:
        both = [top(split, one, vector) for one in (NONE, change)]
    except GapError as error:
        say_error(str(error))
        return
    names = _names(workspace, split.measured.collection, [one for found in both for one in found])
    st.caption(
        plain(
            f"The first {len(both[0])} of all {2 * len(split.measured):,} measured items for "
            f"{question[:80]!r}, "
            "which is changed as the texts are."
        )
    )
    for column, title, found in zip(st.columns(2), ("as it is", "after the edit"), both, strict=True):
        with column:
            lines = "".join(
                f"<li>{escape(names.get(one.id, one.id[:12]))} "
                f"<i>{escape(one.modality)}, {one.cosine:.2f}</i></li>"
                for one in found
            )
            st.html(f'<b>{title}</b><ol class="gs-hits">{lines}</ol>')


def _names(workspace: Workspace, collection: str, found: list[Ranked]) -> dict[str, str]:
    """Return what an item is called: its caption, or else its name."""
    names = {}
    for modality in dict.fromkeys(one.modality for one in found):
        ids = list(dict.fromkeys(one.id for one in found if one.modality == modality))
        for item in workspace.store.items_of(collection, modality, ids):
            names[item.id] = (item.caption or item.name)[:120]
    return names
