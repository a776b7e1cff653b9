"""One item large, with what is known of it, its file to save, and arrow keys to the next of its list.

Text of strangers reaches HTML only through `escape`, and never a widget's label (labels are Markdown).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.frame import SEARCH, errors
from pages.ui.resources import readable_picture

if TYPE_CHECKING:
    from engine.types import Item
    from engine.workspace import Workspace

_AT = "large_at"  # where in its list the item stands that is shown, in the visitor's session
_SIDE_PX = 1600
_MOST_CAPTIONS = 20


def show(
    workspace: Workspace,
    collection: str,
    items: Sequence[Item],
    at: int = 0,
    *,
    extra: Callable[[Item], None] = lambda item: None,
) -> None:
    """Open an item of a list over the page; the arrow keys, or the buttons, go to those before and after it.

    extra draws further buttons for the item that is shown.
    """
    st.session_state[_AT] = at
    _dialog(workspace, collection, items, extra)


def similar(collection: str, item: Item, *, key: str) -> None:
    """Draw the button that asks "more like this" on the Search page."""
    if here() == "Map":  # where switch_page refuses the collection: it is bound to a widget there too
        st.page_link(SEARCH, label="Similar", query_params={"collection": collection, "like": item.id})
    elif st.button("Similar", key=f"like_{key}_{item.id}", type="tertiary"):
        if here() == "Search" and st.session_state.get("collection") == collection:
            st.query_params.pop("picture", None)  # its widgets own the address
            st.query_params["like"] = item.id
            st.rerun()
        st.switch_page(SEARCH, query_params={"collection": collection, "like": item.id})


def here() -> str:
    """Return the name of this page in the address; empty for Home."""
    return (st.context.url or "").rpartition("/")[2].partition("?")[0]


@st.dialog("Item", width="large")
def _dialog(
    workspace: Workspace, collection: str, items: Sequence[Item], extra: Callable[[Item], None]
) -> None:
    at = min(max(0, st.session_state.get(_AT, 0)), len(items) - 1)
    item = items[at]
    with st.container(horizontal=True, vertical_alignment="center", key="large_bar"):
        _step("Previous", -1, "Left", disabled=at == 0)
        st.markdown(f"{at + 1:,} of {len(items):,}", width="content")
        _step("Next", 1, "Right", disabled=at == len(items) - 1)
        with errors():
            similar(collection, item, key="large")
            extra(item)
    picture, facts = st.columns([2, 1], gap="medium")
    with picture, errors():
        _picture(workspace, collection, item)
    with facts, errors():
        _details(workspace, collection, item)


def _step(label: str, by: int, arrow: str, *, disabled: bool) -> None:
    st.button(
        label,
        key=f"large_{label.lower()}",
        shortcut=arrow,
        disabled=disabled,
        on_click=lambda: st.session_state.update({_AT: st.session_state.get(_AT, 0) + by}),
    )


def _picture(workspace: Workspace, collection: str, item: Item) -> None:
    """Draw the picture of an item with its captions, of a caption that of its picture, or a text's words."""
    if item.media:
        path = workspace.library.media_path(item.media, item.mime)
        st.image(readable_picture(workspace, str(path), _SIDE_PX), width="stretch")
    elif item.modality != "text":
        st.info("Imported without its file.")
    captions = _captions(workspace, collection, item)
    for caption in captions[:_MOST_CAPTIONS]:
        st.text(caption)
    if (more := len(captions) - _MOST_CAPTIONS) > 0:
        st.caption(f"and {more:,} more {'caption' if more == 1 else 'captions'}")


def _captions(workspace: Workspace, collection: str, item: Item) -> list[str]:
    """Return what is stored as captions of an item, in order, each once; of a text its own words."""
    from engine.storage.captions import read_captions

    found = [item.caption]
    if item.modality != "text":
        stored = read_captions(workspace.folder, collection, [item.pair]).get(item.pair, [])
        found += [one.text for one in stored]
    return [caption for caption in dict.fromkeys(found) if caption]


def _details(workspace: Workspace, collection: str, item: Item) -> None:
    st.html(_facts(item))
    _save(workspace, item)
    st.caption("Deleting removes it from this collection; its file is deleted once no collection uses it.")
    if st.button("Delete this item", key=f"delete_{item.id}", icon=":material/delete:"):
        workspace.delete_items(collection, [item.id])
        st.rerun()


def _save(workspace: Workspace, item: Item) -> None:
    """Offer the file as it was stored, or a text as a file."""
    from engine.media.formats import suffix_of
    from engine.text import clean_name

    stem = clean_name(item.name)
    if item.media:
        path, suffix = workspace.library.media_path(item.media, item.mime), suffix_of(item.mime)
        name = stem if Path(stem).suffix else f"{stem}{suffix}"
        data: Callable[[], bytes] = path.read_bytes
    elif item.modality == "text" and item.caption:
        name, data = f"{Path(stem).stem}.txt", item.caption.encode
    else:
        return
    st.download_button(
        "Save the file",
        data,
        file_name=name,
        mime=item.mime or None,
        key=f"save_{item.id}",
        icon=":material/download:",
        on_click="ignore",
    )


def _facts(item: Item) -> str:
    """Return what is known of an item, as plain words: a table of Streamlit's would take the arrow keys."""
    facts = {
        "name": item.name,
        "labels": ", ".join(item.labels),
        "media type": item.mime,
        "size": f"{item.size_bytes:,} bytes" if item.size_bytes else "",
        "pixels": f"{item.width_px:,} × {item.height_px:,}" if item.width_px and item.height_px else "",
        "id": item.id,
    }
    said = [*((key, value) for key, value in facts.items() if value), *item.metadata]
    rows = (f"<dt>{escape(key)}</dt><dd><bdi>{escape(str(value))}</bdi></dd>" for key, value in said)
    return f'<dl class="gs-known">{"".join(rows)}</dl>'
