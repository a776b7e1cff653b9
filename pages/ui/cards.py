"""The grid of items: thumbnail, rank, score, caption; and the dialog that shows one item large.

Text of strangers reaches HTML only through `escape`, and never a widget's label (labels are Markdown).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import marks
from pages.ui.frame import SEARCH, errors
from pages.ui.resources import thumbnail_uri

if TYPE_CHECKING:
    from engine.types import Hit, Item
    from engine.workspace import Workspace

PAGE_SIZE = 24
CARD_PX = 218


def grid(
    workspace: Workspace,
    collection: str,
    rows: Sequence[tuple[Item, Hit | None]],
    *,
    key: str,
    question: str | None = None,
    extra: Callable[[Item], None] = lambda item: None,
) -> None:
    """Draw items as cards that wrap to the width; a hit also shows its rank and score.

    question: the key of what was asked, for which the items can be marked right or wrong. extra draws a
    further button of a card.
    """
    best = max((hit.score for _, hit in rows if hit), default=1.0)
    with st.container(horizontal=True, gap="small", key=f"grid_{key}"):
        for item, hit in rows:
            with st.container(border=True, width=CARD_PX, gap="xxsmall", key=f"{key}_{item.id}"):
                st.html(_card(workspace, item, hit, best))
                with st.container(horizontal=True, gap="small", key=f"acts_{key}_{item.id}"):
                    _buttons(workspace, collection, item, key)
                    extra(item)
                    if question is not None:
                        marks.buttons(workspace, collection, question, item.id, key=key)


def pager(total: int, *, key: str) -> slice:
    """Draw the page numbers where there is more than one page; returns the rows of the chosen one."""
    pages = max(1, -(-total // PAGE_SIZE))
    if pages == 1:
        return slice(0, PAGE_SIZE)
    page = st.pagination(pages, key=key, width="stretch")
    return slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)


def _buttons(workspace: Workspace, collection: str, item: Item, key: str) -> None:
    if _here() == "Map":  # where switch_page refuses the collection: it is bound to a widget there too
        st.page_link(SEARCH, label="Similar", query_params={"collection": collection, "like": item.id})
    elif st.button("Similar", key=f"like_{key}_{item.id}", type="tertiary"):
        _ask_for_more(collection, item)
    if st.button("Open", key=f"open_{key}_{item.id}", type="tertiary"):
        show(workspace, collection, item)


def _here() -> str:
    """Return the name of this page in the address; empty for Home."""
    return (st.context.url or "").rpartition("/")[2].partition("?")[0]


def _ask_for_more(collection: str, item: Item) -> None:
    """Ask "more like this" on the Search page, keeping its collection and what it shows."""
    if _here() == "Search" and st.session_state.get("collection") == collection:
        st.query_params.pop("picture", None)  # its widgets own the address
        st.query_params["like"] = item.id
        st.rerun()
    st.switch_page(SEARCH, query_params={"collection": collection, "like": item.id})


def _card(workspace: Workspace, item: Item, hit: Hit | None, best: float) -> str:
    score = score_html(hit, best) if hit else ""
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


@st.dialog("Item", width="large")
def show(workspace: Workspace, collection: str, item: Item) -> None:
    """Show one item large, with what is known of it, and a way to delete it."""
    with errors():
        _details(workspace, collection, item)


def _details(workspace: Workspace, collection: str, item: Item) -> None:
    if item.media:
        st.image(_large(workspace, item), width="stretch")
    st.text(item.caption or item.name)
    st.dataframe(_facts(item), hide_index=True, width="stretch")
    st.caption("Deleting removes it from this collection; its file is deleted once no collection uses it.")
    if st.button("Delete this item", key=f"delete_{item.id}", icon=":material/delete:"):
        workspace.delete_items(collection, [item.id])
        st.rerun()


def _large(workspace: Workspace, item: Item) -> bytes:
    """Return the picture as the browser can show it, whatever it was stored as."""
    import io

    from engine.media.decoder import open_picture
    from engine.media.parts import Limits

    data = workspace.library.media_path(item.media or "", item.mime).read_bytes()
    picture = open_picture(data, Limits.of(workspace.settings, 1280))
    picture.thumbnail((1280, 1280))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=85, method=1)
    return out.getvalue()


def _facts(item: Item) -> list[dict[str, str]]:
    facts = {
        "name": item.name,
        "labels": ", ".join(item.labels),
        "media type": item.mime,
        "size": f"{item.size_bytes:,} bytes" if item.size_bytes else "",
        "pixels": f"{item.width_px:,} × {item.height_px:,}" if item.width_px and item.height_px else "",
        "id": item.id,
    }
    said = [(key, value) for key, value in facts.items() if value]
    return [{"": key, "value": str(value)} for key, value in (*said, *item.metadata)]
