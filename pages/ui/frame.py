"""The frame of every page: title, navigation, style, and the one border for errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from engine.errors import GapscopeError
from pages.ui import glossary
from pages.ui.wording import say_error

ICON = Path(__file__).with_name("icon.png")
log = logging.getLogger(__name__)
HOME = "streamlit_app.py"
# Numbered in the order of the menu, for Streamlit's own one.
SEARCH, RERANK, MAP = "pages/1_Search.py", "pages/2_Rerank.py", "pages/3_Map.py"
GAP_LAB, EVALUATE = "pages/4_Gap_lab.py", "pages/5_Evaluate.py"
LIBRARY, MODELS = "pages/6_Library.py", "pages/7_Models.py"
_PAGES = (
    (HOME, "Home", ":material/home:"),
    (SEARCH, "Search", ":material/search:"),
    (RERANK, "Rerank", ":material/swap_vert:"),
    (MAP, "Map", ":material/scatter_plot:"),
    (GAP_LAB, "Gap lab", ":material/science:"),
    (EVALUATE, "Evaluate", ":material/monitoring:"),
    (LIBRARY, "Library", ":material/photo_library:"),
    (MODELS, "Models", ":material/deployed_code:"),
)
_STYLE = """
[data-testid="stMainBlockContainer"] {padding: 2.6rem 2.5rem 3rem; max-width: 80rem;}
[data-testid="stSidebarHeader"] {height: 2.2rem;}
@media (max-width: 640px) {[data-testid="stMainBlockContainer"] {padding: 3.4rem 1rem 2rem;}}
.gs-brand {font-weight: 700; font-size: 1.25rem; letter-spacing: -.01em; padding: .25rem 0 .5rem;}
.gs-brand span {opacity: .55; font-weight: 400; font-size: .8rem; display: block; letter-spacing: 0;}
.gs-lead {font-size: 1.12rem; color: color-mix(in srgb, currentColor 80%, transparent); max-width: 44rem;
  margin: -.4rem 0 .4rem; line-height: 1.5;}
[class*="st-key-grid_"] {display: grid !important; gap: .9rem !important;
  grid-template-columns: repeat(auto-fill, minmax(min(205px, 44%), 1fr));}
[class*="st-key-grid_"] > [data-testid="stLayoutWrapper"],
[class*="st-key-grid_"] > [data-testid="stLayoutWrapper"] > div {width: 100% !important; min-width: 0;}
[class*="st-key-grid_"] > [data-testid="stLayoutWrapper"] > div {padding: .7rem .7rem .4rem;}
.gs-card figure {margin: 0;}
.gs-card .gs-pic {height: 160px; border-radius: .5rem; overflow: hidden; display: flex;
  align-items: center; justify-content: center;
  background: color-mix(in srgb, currentColor 7%, transparent);}
.gs-card .gs-pic img {width: 100%; height: 100%; object-fit: cover;}
[class*="st-key-grid_"][class*="_small"] {gap: .6rem !important;
  grid-template-columns: repeat(auto-fill, minmax(min(128px, 30%), 1fr));}
[class*="st-key-grid_"][class*="_small"] .gs-pic {height: 96px;}
[class*="st-key-grid_"][class*="_small"] .gs-cap {-webkit-line-clamp: 1; min-height: 1.35em;}
[class*="st-key-grid_"][class*="_large"] {
  grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr));}
[class*="st-key-grid_"][class*="_large"] .gs-pic {height: 300px;}
[class*="st-key-grid_"][class*="_large"] .gs-quote {max-height: 300px;}
.gs-copies {opacity: .75; font-size: .8rem;}
.gs-card .gs-quote {padding: .75rem; font-size: .95rem; line-height: 1.4; overflow: hidden;
  max-height: 160px; overflow-wrap: anywhere;}
.gs-card figcaption {padding: .45rem .1rem 0; font-size: .85rem; line-height: 1.35;}
.gs-rank {display: flex; gap: .5rem; align-items: center; font-variant-numeric: tabular-nums;
  opacity: .85; margin-bottom: .2rem;}
.gs-bar {flex: 1; height: .3rem; border-radius: 1rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 14%, transparent);}
.gs-bar i {display: block; height: 100%; background: #14a394;}
.gs-card .gs-cap {display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical;
  overflow: hidden; overflow-wrap: anywhere; min-height: 2.7em; opacity: .9;}
[class*="st-key-acts_"] {gap: .1rem .7rem !important; align-items: center;}
[class*="st-key-marks_"] {flex-wrap: nowrap;}
[class*="st-key-acts_"] > :last-child:has([class*="st-key-marks_"]) {margin-left: auto;}
[class*="st-key-marks_"] button {min-width: 1.75rem; justify-content: center; color: inherit; opacity: .7;}
[class*="st-key-marks_"] button [data-testid="stMarkdownContainer"] {position: absolute; width: 1px;
  height: 1px; overflow: hidden; clip-path: inset(50%);}
[class*="st-key-marks_right"] [class*="st-key-right_"] button {color: #14a394; opacity: 1;}
[class*="st-key-marks_wrong"] [class*="st-key-wrong_"] button {color: #d9534f; opacity: 1;}
@media (max-width: 640px) {[class*="st-key-acts_"] {column-gap: .4rem !important;}
  [class*="st-key-marks_"] button {min-width: 1.5rem;} [class*="st-key-marks_"] {gap: 0 !important;}}
.gs-strip {display: grid; grid-template-columns: repeat(auto-fill, minmax(min(140px, 30%), 1fr)); gap: .5rem;}
.gs-strip img {width: 100%; aspect-ratio: 4/3; object-fit: cover; border-radius: .5rem; display: block;}
[data-testid="stDialog"] img {max-height: 74vh; object-fit: contain;}
.gs-known {display: grid; grid-template-columns: max-content 1fr; gap: .25rem .9rem; padding: 0 !important;
  margin: 0 0 .6rem !important;
  font-size: .9rem; line-height: 1.4;}
.gs-known dt {opacity: .7;} .gs-known :is(dt, dd) {margin: 0; overflow-wrap: anywhere;}
.gs-facts {display: flex; flex-wrap: wrap; gap: .4rem 2.4rem; padding: .6rem 0 .2rem; font-size: .9rem;}
.gs-facts div {opacity: .85;} .gs-facts b {display: block; font-size: 1.7rem; font-weight: 600;
  line-height: 1.2; font-variant-numeric: tabular-nums;}
.gs-note {margin-top: .7rem; font-size: .85rem; opacity: .7; line-height: 1.45;}
"""


def start(title: str, *, lead: str = "") -> None:
    """Set the page up: browser title, style, navigation and heading."""
    name = "Gapscope" if title == "Gapscope" else f"{title} · Gapscope"
    st.set_page_config(page_title=name, page_icon=str(ICON), layout="wide", initial_sidebar_state=220)
    st.html(f"<style>{_STYLE}{glossary.STYLE}</style>")
    with st.sidebar:
        st.html('<div class="gs-brand">Gapscope<span>see the modality gap</span></div>')
        for path, label, icon in _PAGES:
            st.page_link(path, label=label, icon=icon, width="stretch")
    st.title(title, anchor=False)
    if lead:
        st.html(f'<p class="gs-lead">{glossary.explained(lead)}</p>')


@contextmanager
def errors() -> Iterator[None]:
    """Turn any expected failure into one sentence on the page; the rest into a line in the log."""
    try:
        yield
    except GapscopeError as error:
        say_error(str(error))
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError, AttributeError) as error:
        log.exception("a page failed")
        st.error(
            f"Something unexpected went wrong ({type(error).__name__}); the server's log has the details."
        )
