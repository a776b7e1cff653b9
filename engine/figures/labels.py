"""What all figures write alike: labels cut and never taken for markup, and numbers; draws nothing."""

from __future__ import annotations

import textwrap
import unicodedata
from html import escape

import numpy as np

CLEAR = "rgba(0,0,0,0)"
HOVER_CHARS, HOVER_LINES = 44, 12
LABEL_FONT_PX = 12


def number(value: float, decimals: int) -> str:
    """Return a value with so many decimals and a true minus sign, never "-0.00"; "" for NaN."""
    if np.isnan(value):
        return ""
    shown = f"{value:.{decimals}f}"
    return shown.lstrip("-") if not float(shown) else shown.replace("-", "−")


def shorten(label: str, chars: int, lines: int) -> str:
    """Break a label into lines and cut it; its own "<b>" is shown as it was typed."""
    if any(unicodedata.east_asian_width(char) in "WF" for char in label):
        chars //= 2
    broken = textwrap.wrap(label, chars)
    shown = broken[:lines]
    if len(broken) > lines:
        shown[-1] = f"{shown[-1][: chars - 1].rstrip()}…"
    return "<br>".join(escape(line, quote=False) for line in shown) or "(empty)"
