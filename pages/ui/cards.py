"""The grid of items: thumbnail, rank, score, caption, and a button that opens one large.

Text of strangers reaches HTML only through `escape`, and never a widget's label (labels are Markdown).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import large, marks
from pages.ui.resources import thumbnail_uri

if TYPE_CHECKING:
    from engine.types import Hit, Item, SearchTrace
    from engine.workspace import Workspace

PAGE_SIZE = 24
CARD_PX = 218
SIZES = ("Small", "Medium", "Large")
_SIZE = "thumbnail_size"


def grid(
    workspace: Workspace,
    collection: str,
    rows: Sequence[tuple[Item, Hit | None]],
    *,
    key: str,
    question: str | None = None,
    extra: Callable[[Item], None] = lambda item: None,
    within: Sequence[Item] = (),
    size: str = SIZES[1],
    copies: Mapping[str, Sequence[Hit]] | None = None,
) -> None:
    """Draw items as cards that wrap to the width; a hit also shows its rank and score.

    question: the key of what was asked, for which the items can be marked right or wrong. extra draws a
    further button of a card. within: the list that an item opened large is one of, by default the rows. size:
    one of SIZES; small cards have one button, and the others where it opens. copies: what was hidden behind
    an item, by its id.
    """
    best = max((hit.score for _, hit in rows if hit), default=1.0)
    items = within or [item for item, _ in rows]
    place = {item.id: at for at, item in enumerate(items)}
    small = size == SIZES[0]

    def more(item: Item, key: str) -> None:
        extra(item)
        if question is not None:
            marks.buttons(workspace, collection, question, item.id, key=key)

    with st.container(horizontal=True, gap="small", key=f"grid_{key}_{size.lower()}"):
        for item, hit in rows:
            with st.container(border=True, width=CARD_PX, gap="xxsmall", key=f"{key}_{item.id}"):
                st.html(_card(workspace, item, hit, best, len((copies or {}).get(item.id, ()))))
                with st.container(horizontal=True, gap="small", key=f"acts_{key}_{item.id}"):
                    if not small:
                        large.similar(collection, item, key=key)
                    if st.button("Open", key=f"open_{key}_{item.id}", type="tertiary"):
                        large.show(
                            workspace,
                            collection,
                            items,
                            place[item.id],
                            extra=lambda one: more(one, f"large_{key}"),
                        )
                    if not small:
                        more(item, key)


def hidden_copies(workspace: Workspace, trace: SearchTrace, *, size: str = SIZES[1]) -> None:
    """Offer to look at the hits that were hidden as copies; each has the rank of the one that it repeats."""
    hidden = [hit for copies in trace.copies.values() for hit in copies]
    if not hidden:
        return
    label = f"The {len(hidden):,} hidden {'copy' if len(hidden) == 1 else 'copies'}"
    with st.expander(label, icon=":material/content_copy:", key="copies_shown", on_change="rerun") as part:
        if part.open:
            rows = pager(len(hidden), key=f"copies_page_{hash(trace.query)}")
            shown = [(hit.item, hit) for hit in hidden[rows]]
            within = [hit.item for hit in hidden]
            grid(workspace, trace.collection, shown, key="copy", within=within, size=size)


def pager(total: int, *, key: str) -> slice:
    """Draw the page numbers where there is more than one page; returns the rows of the chosen one."""
    pages = max(1, -(-total // PAGE_SIZE))
    if pages == 1:
        return slice(0, PAGE_SIZE)
    page = st.pagination(pages, key=key, width="stretch")
    return slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)


def size_box() -> str:
    """Draw the choice of how large the thumbnails are, kept for the visit and in the address."""
    if "size" not in st.session_state and "size" not in st.query_params and _SIZE in st.session_state:
        st.session_state.size = st.session_state[_SIZE]
    chosen = st.segmented_control(
        "Thumbnails", SIZES, default=SIZES[1], required=True, key="size", bind="query-params"
    )
    st.session_state[_SIZE] = chosen
    return chosen


def _card(workspace: Workspace, item: Item, hit: Hit | None, best: float, copies: int) -> str:
    score = score_html(hit, best) if hit else ""
    if copies:
        score += f'<div class="gs-copies">+ {copies:,} {"copy" if copies == 1 else "copies"} hidden</div>'
    name = escape(name_of(item)[:300])
    return (
        f'<div class="gs-card"><figure><div class="gs-pic">{picture_html(workspace, item)}</div><figcaption>'
        f'{score}<div class="gs-cap"><bdi>{name}</bdi></div></figcaption></figure></div>'
    )


def picture_html(workspace: Workspace, item: Item) -> str:
    """Return what an item shows: its thumbnail, or the words of a text."""
    if item.modality == "text":
        return f'<div class="gs-quote">{escape(item.caption[:400])}</div>'
    uri = thumbnail_uri(workspace, item)
    alt = escape(item.caption or item.name)
    missing = "The file is missing." if item.media else "Imported without its file."
    return f'<img src="{uri}" alt="{alt}" loading="lazy">' if uri else missing


def name_of(item: Item) -> str:
    """Return the line below a picture, its caption, or below a text, which is its own picture."""
    return item.name if item.modality == "text" else item.caption or item.name


def score_html(hit: Hit, best: float) -> str:
    """Return the rank and the cosine of a hit, which also is a bar beside those of its list."""
    share = max(0.0, min(1.0, hit.score / best)) if best > 0 else 0.0
    return (
        f'<div class="gs-rank"><b>{hit.rank}</b><div class="gs-bar"><i style="width:{share:.0%}"></i></div>'
        f"<span>{hit.score:.2f}</span></div>"
    )
