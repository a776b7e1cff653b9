"""Numbers side by side in a table that scrolls where it is wide, and what stands in its cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.glossary import explained

if TYPE_CHECKING:
    from engine.evaluation.metrics import Interval
    from engine.lessons.recalls import Recalls

_STYLE = """<style>
.gs-wide {overflow-x: auto;}
.gs-side {border-collapse: collapse; min-width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem;}
.gs-side th, .gs-side td {text-align: left; padding: .22rem .9rem .22rem 0; font-weight: 400;
  vertical-align: top; border-bottom: 1px solid color-mix(in srgb, currentColor 14%, transparent);}
.gs-side td {white-space: nowrap;} .gs-side thead th, .gs-side th[colspan] {font-weight: 600;}
.gs-side th[colspan] {padding-top: .8rem;} .gs-side th[scope="row"] {min-width: 9rem;}
.gs-side i {opacity: .7; font-style: normal;} .gs-many i {display: block; font-size: .85em;}
@media (max-width: 640px) {.gs-side i {display: block; font-size: .85em;}}
</style>"""


_MANY = 4  # columns, from which an interval stands below its number


def table(heads: Sequence[str], parts: Iterable[tuple[str, Iterable[tuple[str, Sequence[str]]]]]) -> None:
    """Draw parts with a title ("" for none), each of rows: a name, and cells; these and heads are HTML."""
    named = "gs-side gs-many" if len(heads) > _MANY else "gs-side"
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = ""
    for title, rows in parts:
        if title:
            body += f'<tr><th colspan="{len(heads)}" scope="rowgroup">{escape(title)}</th></tr>'
        for name, cells in rows:
            body += f'<tr><th scope="row">{explained(name)}</th>'
            body += "".join(f"<td>{one}</td>" for one in cells) + "</tr>"
    st.html(
        f'{_STYLE}<div class="gs-wide"><table class="{named}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def number(one: Interval) -> str:
    """Return a number with its interval as HTML."""
    return f"{one.mean:.3f} <i>({one.low:.3f} to {one.high:.3f})</i>"


def percent(one: Interval) -> str:
    """Return a share with its interval as HTML."""
    return f"{one.mean:.1%} <i>({one.low:.1%} to {one.high:.1%})</i>"


def change(one: Recalls, k: int = 1) -> str:
    """Return how recall at k differs, with its interval, as HTML; "" for what others are compared with."""
    found = one.changes.get(k)
    if found is None:
        return ""
    return f"{100 * found.mean:+.1f} <i>({100 * found.low:+.1f} to {100 * found.high:+.1f})</i> points"
