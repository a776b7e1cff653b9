"""Words for people: the engine's terms in plain English, and errors as plain text."""

from __future__ import annotations

import re

import streamlit as st

from engine.types import PLURAL, Modality

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:])")


def plural(modality: Modality) -> str:
    return PLURAL[modality]


def plain(text: str) -> str:
    """Escape Markdown: a name or an address from a stranger must not become a link or a picture."""
    return _MARKDOWN.sub(r"\\\1", text)


def say_error(text: str) -> None:
    st.error(plain(text), icon=":material/error:")


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
