"""A report of a collection's gap as one HTML page that opens from a file without a network.

Every name in it is somebody's words and stays text. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from engine.evaluation.gap_sentences import sentences
from engine.figures.clouds import cloud_chart
from engine.figures.cosine_histograms import Histogram, cosine_chart
from engine.figures.embedded import part, plotly_script
from engine.lessons.histograms import EDGES
from engine.types import PLURAL

if TYPE_CHECKING:
    from engine.evaluation.gap_retrieval import Retrieval
    from engine.evaluation.metrics import Interval
    from engine.evaluation.pair_gap import PairGap
    from engine.report.gap_report import GapReport, Pictured

# Nothing is fetched, whatever a name in the page says.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
:root {color-scheme: light dark;}
body {font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
  color: #16211f; background: #ffffff;}
h1, h2, h3 {line-height: 1.25; overflow-wrap: anywhere;} h2 {margin-top: 2.2rem;}
dl {display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem;}
dd {margin: 0; overflow-wrap: anywhere;}
table {border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums;}
.wide {overflow-x: auto;} li {overflow-wrap: anywhere;}
th, td {text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid #8885;}
thead th {font-weight: 600;} th {font-weight: 400;}
figure {margin: 1rem 0; padding: .4rem; background: #ffffff; color: #16211f; border-radius: .4rem;
  overflow: hidden;}
figcaption, footer {font-size: .86rem; opacity: .85;}
@media (prefers-color-scheme: dark) {body {color: #e7eceb; background: #121817;} figcaption {opacity: 1;}}
@media print {body {max-width: none; margin: 0; color: #000; background: #fff;} .wide {overflow: visible;}
  figure, tr, li {break-inside: avoid;}}
"""
_UNSAID = (
    "A cosine, and so L2M, cannot be compared from one model to another: each spreads its vectors over its "
    "own part of the sphere. Ranks, RMG and shares can, at the same number of items.",
    "A small sample makes L2M larger than it is, and fewer candidates make recall easier: "
    "compare at equal n.",
    "A gap says nothing about what a model has learned: an untrained one has it too, and closing it after "
    "training need not make anything easier to find.",
    "L2M sees two centroids. Clouds that share one may still be told apart by a line, or by neighbours.",
    "PCA along the gap shows the distance of the centroids truly and hides most of the spread.",
    "All of this is associated with the items measured here; it does not say what caused it.",
)


def to_html(report: GapReport) -> str:
    """Return the page: what was measured, sentences, numbers, figures, and what they do not say."""
    name = escape(report.collection)
    drawn = any(not isinstance(one, str) for one in report.pictured)
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>Modality gap of {name}</title>",
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style>{plotly_script() if drawn else ''}</head><body>",
            f"<h1>Modality gap of {name}</h1>",
            _facts(report),
            *_sections(report),
            "<h2>What these numbers do not say</h2>",
            _items(_UNSAID),
            f"<footer><p>Versions: {escape(_listed(report.versions.items()))}.</p></footer></body></html>",
        )
    )


def _facts(report: GapReport) -> str:
    counts = ", ".join(f"{count:,} {PLURAL[kind]}" for kind, count in report.counts.items() if count)
    facts = {
        "Items": counts or "none",
        "Model": report.model,
        "Revision": report.revision,
        "Trained": report.training,
        "Settings": _listed((key, str(value)) for key, value in report.settings.items()),
        "Written": f"{report.written} by Gapscope {report.versions['gapscope']}",
    }
    rows = "".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in facts.items() if value)
    return f"<dl>{rows}</dl>"


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs)


def _sections(report: GapReport) -> list[str]:
    if not report.gaps:
        kinds = [PLURAL[kind] for kind, count in report.counts.items() if count]
        why = f"holds {kinds[0]} only, and one modality alone has no gap" if kinds else "is empty"
        return [f"<p>There is nothing to measure: the collection {why}.</p>"]
    told = [line for one in report.gaps for line in _told(one)]
    figures = [
        line
        for place, (one, found) in enumerate(zip(report.gaps, report.pictured, strict=True))
        for line in _figures(one, found, report, place)
    ]
    return [
        "<h2>In words</h2>",
        *told,
        "<h2>All pairs of modalities</h2>",
        _matrix(report),
        "<h2>Finding one from the other</h2>",
        _recall(report.gaps),
        "<h2>In figures</h2>",
        *figures,
    ]


def _told(one: PairGap) -> list[str]:
    first, *others = sentences(one)
    return [f"<h3>{escape(first)}</h3>", _items(line.strip() for line in others)]


def _items(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _matrix(report: GapReport) -> str:
    head = (
        "modalities",
        "items · pairs",
        "L2M (95 %)",
        "unbiased",
        "shuffled · p",
        "RMG (95 %)",
        "separability (95 %)",
        f"purity, k = {report.settings['k']} (95 %) · mixed",
    )
    rows = [
        (
            _both(one),
            f"{one.rows_a:,} + {one.rows_b:,} · {one.pairs:,}",
            f"{one.l2m:.4f}{_bounds(one, 'l2m')}",
            _number(one.l2m_unbiased),
            "–" if one.null is None else f"{one.null.mean:.4f} · {one.null.p:.3f}",
            _number(one.rmg) + _bounds(one, "rmg"),
            _number(one.separability) + _bounds(one, "separability"),
            f"{_number(one.purity)}{_bounds(one, 'purity')} · {_number(one.purity_baseline)}",
        )
        for one in report.gaps
    ]
    return _table(head, rows) + (
        f"<p>Model {escape(report.model)}, seed {report.settings['seed']}. A dash stands where something "
        "is not measured; the words above say why.</p>"
    )


def _recall(gaps: Sequence[PairGap]) -> str:
    head = ("asked → answered", "n · candidates", "R@1 (95 %)", "R@5", "R@10", "MRR (95 %)", "R@1 by chance")
    rows = []
    for one in gaps:
        if one.of_pairs is not None:
            ways = ((one.a, one.b, one.of_pairs.a_to_b), (one.b, one.a, one.of_pairs.b_to_a))
            rows += [_way(f"{PLURAL[a]} → {PLURAL[b]}", way) for a, b, way in ways if way is not None]
    return _table(head, rows) if rows else "<p>There are no pairs to find.</p>"


def _way(name: str, found: Retrieval) -> tuple[str, ...]:
    return (
        name,
        f"{found.questions:,} · {found.candidates:,}",
        *(_interval(found.hits[k]) for k in ("1", "5", "10")),
        _interval(found.mrr),
        f"{found.chance_hits['1']:.4f}",
    )


def _figures(one: PairGap, found: Pictured | str, report: GapReport, place: int) -> list[str]:
    title = f"<h3>{escape(_both(one))}</h3>"
    if isinstance(found, str):
        return [title, f"<p>Not drawn. {escape(found)}</p>"]
    four, a, b = found.histograms, PLURAL[found.a], PLURAL[found.b]
    kinds = {
        "matching pairs": four.paired,
        "other pairs across": four.unpaired,
        f"{a} and {a}": four.within_a,
        f"{b} and {b}": four.within_b,
    }
    histograms = cosine_chart(
        [Histogram(name, kind.counts, kind.mean) for name, kind in kinds.items()], EDGES
    )
    reach = 1.05 * max(float(np.abs(some).max()) for some in (found.places.x, found.places.y)) or 1.0
    cloud = cloud_chart(found.places.x, found.places.y, limit=reach, names=(a, b))
    of = f"n = {found.n:,} of {found.there:,} pairs, model {report.model}, seed {found.seed}."
    return [
        title,
        _figure(part(histograms, f"cosines{place}"), f"Cosines of four kinds of pairs. {of}"),
        _figure(
            part(cloud, f"cloud{place}"),
            f"PCA along the gap, from left to right the line of centroids; grey lines join pairs. {of} "
            f"{' '.join(found.notes)}".strip(),
        ),
    ]


def _figure(drawn: str, words: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(words)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(one)}</td>" for one in others)}</tr>'
        for first, *others in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _both(one: PairGap) -> str:
    return f"{PLURAL[one.a]} and {PLURAL[one.b]}"


def _bounds(one: PairGap, name: str) -> str:
    bounds = one.intervals.get(name)
    return "" if bounds is None else f" ({bounds[0]:.4f} to {bounds[1]:.4f})"


def _interval(one: Interval) -> str:
    return f"{one.mean:.4f} ({one.low:.4f} to {one.high:.4f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
