"""The Evaluate page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from engine.workspace import Workspace


def draw(workspace: Workspace) -> None:
    st.info("There is nothing to evaluate yet.")
