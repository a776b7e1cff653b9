"""Asking with a picture: the uploaded picture is kept by its hash, so that the URL can name it."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import streamlit as st

from engine.disk import folder_error
from engine.errors import GapscopeError, MediaError
from pages.ui.resources import data_uri
from pages.ui.wording import say_error

if TYPE_CHECKING:
    from pathlib import Path

    from engine.search.search import Query
    from engine.workspace import Workspace

_SIDE_PX = 1920  # Qwen3-VL reads up to 1,843,200 pixels
_KEPT = 500


def picker(workspace: Workspace) -> None:
    """Draw the button that opens the uploader; a chosen picture becomes the question."""
    with st.popover("Picture", icon=":material/image_search:", help="Ask with a picture"):
        given = st.file_uploader("A picture to search with", key="query_file", label_visibility="collapsed")
    if given is None or given.file_id == st.session_state.get("query_file_seen"):
        return
    st.session_state.query_file_seen = given.file_id
    try:
        name = _keep(workspace, given.getvalue())
    except GapscopeError as error:
        say_error(str(error))
        return
    st.query_params.pop("like", None)
    st.query_params["picture"] = name


def current_query(workspace: Workspace, words: str | None) -> Query | None:
    """Return the question of this page: 'like' and 'picture' of the URL, else the words."""
    from engine.search.search import Query

    like, picture = st.query_params.get("like"), st.query_params.get("picture")
    if like:
        _banner(_stored_uri(workspace, like), "More like this item", "like")
        return Query(like=like)
    if picture:
        path = _path(workspace, picture)
        if path is None:
            st.warning("The picture in this address is no longer kept here; choose it again.")
            return None
        from PIL import Image

        _banner(data_uri(str(path)), "Pictures and texts near this one", "picture")
        with Image.open(path) as opened:
            return Query(image=opened.convert("RGB"), name="a picture")
    return Query(text=words) if words and words.strip() else None


def _keep(workspace: Workspace, data: bytes) -> str:
    """Re-encode the picture and keep it under its hash. Raises MediaError."""
    from engine.media.decoder import open_picture
    from engine.media.parts import Limits

    picture = open_picture(data, Limits.of(workspace.settings, _SIDE_PX))
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=95, method=2)
    name = hashlib.sha256(out.getvalue()).hexdigest()
    folder = workspace.settings.data_dir / "questions"
    try:
        folder.mkdir(exist_ok=True)
        workspace.library.question_path(name).write_bytes(out.getvalue())
        for old in sorted(folder.glob("*.webp"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise folder_error(workspace.settings.data_dir, error) from error
    return name


def _path(workspace: Workspace, name: str) -> Path | None:
    try:
        path = workspace.library.question_path(name)
    except MediaError:
        return None
    return path if path.exists() else None


def _stored_uri(workspace: Workspace, id_: str) -> str | None:
    media = workspace.ledger.media_of(id_)
    path = workspace.library.thumbnail_path(media) if media else None
    return data_uri(str(path)) if path and path.exists() else None


def _banner(uri: str | None, text: str, parameter: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        if uri:
            st.html(
                f'<img src="{uri}" alt="the question" style="height:72px;border-radius:.4rem">',
                width="content",
            )
        st.markdown(f"**{text}**")
        if st.button("Clear", key="clear_question", icon=":material/close:", type="tertiary"):
            st.query_params.pop(parameter, None)
            st.rerun()
