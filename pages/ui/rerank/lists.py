"""The lists of the Rerank page side by side: the same cards in the retrieved and in the reranked order.

Pointing at a card marks its twins by CSS alone. Every column shows the same cards: the first ones of any
order, so that each has its twin in sight, with gaps that say how many are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from engine.types import Hit
from pages.ui import cards, large, marks
from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.evaluation.rank_changes import Comparison, Move
    from engine.types import Item
    from engine.workspace import Workspace

FIRST = 12
_STYLE = """<style>
.st-key-rr_lists {overflow-x: auto; padding: .25rem;}
.st-key-rr_lists [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) {flex-wrap: nowrap;
  gap: 1.1rem;}
.st-key-rr_lists [data-testid="stColumn"] {min-width: 0; flex: 1 1 0; width: auto;}
.st-key-rr_lists [data-testid="stColumn"] [data-testid="stVerticalBlock"] {gap: .55rem;}
.gs-rr-list {display: grid; gap: .55rem;}
.gs-rr-head {height: 2.6rem; display: flex; flex-direction: column; justify-content: end; line-height: 1.25;
  overflow: hidden;}
.gs-rr-head b {overflow: hidden; text-overflow: ellipsis; white-space: nowrap;}
.gs-rr-head small {opacity: .75;}
.gs-rr {height: 118px; display: grid; grid-template-columns: 150px 1fr; gap: .8rem; overflow: hidden;
  border-radius: .6rem; border: 1px solid color-mix(in srgb, currentColor 16%, transparent);
  outline: 3px solid transparent; outline-offset: -3px; transition: outline-color .1s;}
.gs-rr .gs-rr-pic {height: 116px; overflow: hidden; display: flex; align-items: center;
  justify-content: center; font-size: .8rem; background: color-mix(in srgb, currentColor 7%, transparent);}
.gs-rr .gs-rr-pic img {width: 100%; height: 100%; object-fit: cover;}
.gs-rr .gs-quote {padding: .5rem; line-height: 1.35; overflow: hidden; max-height: 116px;
  overflow-wrap: anywhere;}
.gs-rr .gs-rr-words {padding: .5rem .7rem .4rem 0; min-width: 0; font-size: .85rem; line-height: 1.35;}
.gs-rr .gs-rr-place {display: flex; flex-wrap: wrap; gap: 0 .5rem; align-items: baseline;
  font-variant-numeric: tabular-nums; margin-bottom: .15rem;}
.gs-rr .gs-rr-place .gs-rank {flex: 1;}
.gs-rr .gs-rr-place b {font-size: 1.05rem;}
.gs-rr .gs-cap {display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden;
  overflow-wrap: anywhere;}
.gs-rr .gs-rr-score {opacity: .75; font-size: .78rem; margin-top: .15rem; font-variant-numeric: tabular-nums;
  padding-right: 3.6rem;}
.gs-up {color: light-dark(#0f766e, #2dd4bf); font-weight: 600;}
.gs-down {color: light-dark(#b45309, #fbbf24); font-weight: 600;} .gs-same {opacity: .7;}
.gs-right {background: #0f766e; color: #fff; border-radius: 1rem; padding: 0 .5rem; font-size: .75rem;
  line-height: 1.25rem; white-space: nowrap; align-self: center;}
.gs-rr-gap {height: 1.5rem; font-size: .8rem; opacity: .7; display: flex; align-items: center; gap: .6rem;
  white-space: nowrap; overflow: hidden;}
.gs-rr-rule {height: 2.2rem; font-size: .8rem; font-weight: 600; display: flex; align-items: center;
  gap: .6rem; line-height: 1.2;}
.gs-rr-rule::after {content: ""; flex: 1; min-width: 1rem;
  border-top: 2px dashed color-mix(in srgb, currentColor 45%, transparent);}
[class*="st-key-rr_card_"] {position: relative; gap: 0 !important;}
[class*="st-key-rr_card_"] > [data-testid="stLayoutWrapper"]:has([class*="st-key-marks_"]) {
  position: absolute; right: .4rem; bottom: .15rem; width: auto;}
@media (max-width: 640px) {
  .st-key-rr_lists [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) {gap: .5rem;}
  .st-key-rr_lists [data-testid="stColumn"] {min-width: 158px;}
  .gs-rr {height: 226px; grid-template-columns: 1fr; grid-template-rows: 96px 1fr; gap: 0;}
  .gs-rr .gs-rr-pic, .gs-rr .gs-quote {height: 96px; max-height: 96px;}
  .gs-rr .gs-rr-place .gs-rank {flex-basis: 100%;}
  .gs-rr .gs-rr-words {padding: .4rem .5rem; font-size: .8rem;}
  .gs-rr .gs-rr-score {padding-right: 0;}
}
</style>"""


def draw(
    workspace: Workspace,
    collection: str,
    question: str,
    retrieved: Sequence[Hit],
    found: Mapping[str, Comparison],
    *,
    right: Collection[str],
    rows: int,
) -> None:
    """Draw the retrieved list and beside it one list per reranker (by its name).

    right: ids of the right answers, which get a badge. rows: how many of each order are shown at least.
    """
    shown = _shown(retrieved, found.values(), rows, right)
    st.html(_STYLE + _twins(shown))
    _large(workspace, collection, retrieved, found)
    with st.container(key="rr_lists"):
        columns = st.columns(1 + len(found))
        with columns[0]:
            st.html(_retrieved(workspace, retrieved, shown, found, right))
        for number, (name, one) in enumerate(found.items()):
            with columns[number + 1]:
                _reranked(workspace, collection, question, name, one, shown, right, key=f"rr{number}")


def _large(
    workspace: Workspace, collection: str, retrieved: Sequence[Hit], found: Mapping[str, Comparison]
) -> None:
    """Draw a button for every list that opens its first item large, from which arrow keys go on."""
    orders = {"Retrieved": [hit.item for hit in retrieved]}
    orders |= {name: [move.item for move in one.moves] for name, one in found.items()}
    with st.container(horizontal=True, gap="small", key="rr_large"):
        for number, (name, items) in enumerate(orders.items()):
            pressed = st.button(
                f"{plain(name)}, large",
                key=f"rr_large_{number}",
                type="tertiary",
                icon=":material/open_in_full:",
                help="One after the other, with the arrow keys",
            )
            if pressed:
                large.show(workspace, collection, items)


def _shown(
    retrieved: Sequence[Hit], found: Iterable[Comparison], rows: int, right: Collection[str]
) -> set[str]:
    """Return the ids in the first rows of any order, and of the first right answers wherever they are."""
    return {
        *[hit.item.id for hit in retrieved if hit.item.id in right][:FIRST],
        *(hit.item.id for hit in retrieved[:rows]),
        *(move.item.id for one in found for move in one.moves[:rows]),
    }


def _twins(ids: Iterable[str]) -> str:
    """Return the style that marks every card of an item while one of them is pointed at, or has the focus."""
    rules = []
    for id_ in ids:
        twin = f'.gs-rr[data-twin="{id_[:16]}"]'
        pointed = (
            f'{twin}:is(:hover, :focus), [class*="st-key-rr_card_"][class*="{id_}"]:is(:hover, :focus-within)'
        )
        rules.append(f".st-key-rr_lists:has({pointed}) {twin} {{outline-color: #14a394;}}")
    return f"<style>{''.join(rules)}</style>"


def _retrieved(
    workspace: Workspace,
    hits: Sequence[Hit],
    shown: Collection[str],
    found: Mapping[str, Comparison],
    right: Collection[str],
) -> str:
    best = max((hit.score for hit in hits), default=1.0)
    rows = [_head("Retrieved", f"{len(hits):,} hits; the bar is the cosine")]
    heads = {len(one.head) for one in found.values()}
    ends = {head: "reranked down to here" for head in heads if head < len(hits)}
    for part in _with_gaps([hit.item.id for hit in hits], shown, ends):
        if isinstance(part, int):
            hit = hits[part]
            place = cards.score_html(hit, best) + _badge(hit.item, right)
            rows.append(_card(workspace, hit.item, place, ""))
        else:
            rows.append(part)
    return f'<div class="gs-rr-list">{"".join(rows)}</div>'


def _reranked(
    workspace: Workspace,
    collection: str,
    question: str,
    name: str,
    one: Comparison,
    shown: Collection[str],
    right: Collection[str],
    *,
    key: str,
) -> None:
    st.html(_head(name, f"{one.reranked.scored:,} of {len(one.head):,} scored"))
    ends = {len(one.head): "not reranked"} if len(one.head) < len(one.moves) else {}
    if one.reranked.scored < len(one.head):
        ends[one.reranked.scored] = "no score"
    for part in _with_gaps([move.item.id for move in one.moves], shown, ends):
        if not isinstance(part, int):
            st.html(part)
            continue
        move = one.moves[part]
        with st.container(key=f"rr_card_{key}_{move.item.id}"):
            st.html(_card(workspace, move.item, _place(move) + _badge(move.item, right), _score(move)))
            marks.buttons(workspace, collection, question, move.item.id, key=key)


def _with_gaps(ids: Sequence[str], shown: Collection[str], ends: Mapping[int, str]) -> Iterator[int | str]:
    """Yield the places of the cards that are shown, and between them gaps and dividers as HTML.

    ends: a divider's words by the place that it stands in front of.
    """
    skipped = 0
    for place, id_ in enumerate(ids):
        if (place in ends or id_ in shown) and skipped:
            yield f'<div class="gs-rr-gap">⋮ {skipped:,} more</div>'
            skipped = 0
        if place in ends:
            yield f'<div class="gs-rr-rule" role="separator">{escape(ends[place])}</div>'
        if id_ in shown:
            yield place
        else:
            skipped += 1
    if skipped:
        yield f'<div class="gs-rr-gap">⋮ {skipped:,} more</div>'


def _head(title: str, words: str) -> str:
    title = escape(title)
    return f'<div class="gs-rr-head"><b title="{title}">{title}</b><small>{escape(words)}</small></div>'


def _card(workspace: Workspace, item: Item, place: str, score: str) -> str:
    name = escape(cards.name_of(item)[:300])
    return (
        f'<div class="gs-rr" tabindex="0" data-twin="{item.id[:16]}">'
        f'<div class="gs-rr-pic">{cards.picture_html(workspace, item)}</div><div class="gs-rr-words">'
        f'<div class="gs-rr-place">{place}</div>'
        f'<div class="gs-cap"><bdi>{name}</bdi></div>{score}</div></div>'
    )


def _badge(item: Item, right: Collection[str]) -> str:
    return '<span class="gs-right">✓ right answer</span>' if item.id in right else ""


def _place(move: Move) -> str:
    """Return "4, from 27, up 23" with an arrow."""
    if move.read == "below":
        return f'<b>{move.after}</b><span class="gs-same">as retrieved</span>'
    if not move.moved:
        return f'<b>{move.after}</b><span class="gs-same">= stayed</span>'
    way, arrow, word = ("up", "▲", "up") if move.moved > 0 else ("down", "▼", "down")
    return (
        f"<b>{move.after}</b><span>from {move.before}</span>"
        f'<span class="gs-{way}">{arrow} {word} {abs(move.moved):,}</span>'
    )


def _score(move: Move) -> str:
    if move.rerank_score is not None:
        by = ", by its caption" if move.read == "caption" else ""
        number = f"{move.rerank_score:.2f}".replace("-", "−")
        return f'<div class="gs-rr-score">score {number} on its own scale{by}</div>'
    if move.read == "failed":
        return f'<div class="gs-rr-score" title="{escape(move.reason)}">no score: {escape(move.reason)}</div>'
    return '<div class="gs-rr-score">not reranked</div>'
