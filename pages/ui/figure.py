"""Every figure of the pages: drawn with a camera that saves it as PNG or SVG, and its data as CSV."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plotly.graph_objects import Figure

_PICTURES = ("PNG", "SVG")
_SHARP = 2  # pixels of a PNG for each one on the page, so that it can be printed
_CAMERA = "The camera in the figure's corner saves the figure, in the colours of this page."


def show(figure: Figure | dict[str, Any], *, key: str, name: str, **chart: Any) -> Any:
    """Draw a figure and how it can be taken away; returns what `st.plotly_chart` does, which `chart` is for.

    It is large in the teacher's view. `key` tells figures of a page apart, `name` their files.
    """
    from engine.figures.layout import enlarge
    from engine.figures.table import to_csv

    if st.query_params.get("teach") == "yes" and not isinstance(figure, dict):
        enlarge(figure)
    stem = file_stem(name)
    config = {**chart.pop("config", {}), "toImageButtonOptions": _picture(key, stem)}
    drawn = st.plotly_chart(figure, key=key, config=config, **chart)
    with (
        st.container(horizontal=True, horizontal_alignment="right"),
        st.popover("Save", icon=":material/download:", type="tertiary", key=f"{key}_save"),
    ):
        st.segmented_control("Picture", _PICTURES, default="PNG", required=True, key=f"{key}_format")
        st.caption(_CAMERA)
        st.download_button(
            "Data as CSV",
            partial(to_csv, figure),
            file_name=f"{stem}.csv",
            mime="text/csv",
            key=f"{key}_data",
            icon=":material/table:",
            on_click="ignore",
        )
    return drawn


def file_stem(name: str) -> str:
    """Return the name of a file without its ending, safe on every system, and told apart from other files."""
    return "-".join(["gapscope", *re.findall(r"\w+", clean_text(name))])[:80]


def _picture(key: str, stem: str) -> Mapping[str, Any]:
    """Return what the camera does, by what is chosen below the figure since it was drawn."""
    picture = st.session_state.get(f"{key}_format") or _PICTURES[0]
    sharp = {"scale": _SHARP} if picture == "PNG" else {}
    return {"format": picture.lower(), "filename": stem, **sharp}
