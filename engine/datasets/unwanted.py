"""What lies among the files of a data set and is none of its data, told by its name; opens nothing."""

from __future__ import annotations

import posixpath
import re

from engine.media.formats import media_suffixes

HIDDEN = "Hidden files and folders are not taken: their names begin with a dot."
COMPANIONS = "README and licence files are not taken."
SYSTEM = "Files that only a system needs are not taken: Thumbs.db, desktop.ini, __MACOSX."

_COMPANION = re.compile(r"(readme|licen[cs]es?|copying)([-_.].*)?")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_MEDIA_SUFFIXES = {".jpeg", ".tif", ".heif", *media_suffixes()}


def why_unwanted(name: str) -> str:
    """Return why a file or folder of this name is left out, as a sentence; empty where it is not.

    `license-plate.jpg` is a medium, `LICENSE-MIT` is not.
    """
    lower = name.lower()
    if name.startswith("__MACOSX") or name.startswith("._") or lower in _SYSTEM_FILES:
        return SYSTEM
    if name.startswith("."):
        return HIDDEN
    if _COMPANION.fullmatch(lower) and posixpath.splitext(lower)[1] not in _MEDIA_SUFFIXES:
        return COMPANIONS
    return ""


def why_path_unwanted(path: str) -> str:
    """Return why what lies under a path is left out, by any part of it; empty where it is not."""
    parts = (part for part in path.split("/") if part not in (".", ".."))
    return next(filter(None, map(why_unwanted, parts)), "")
