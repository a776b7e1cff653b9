"""Lists paths, folders and archives as entries; reads none and understands nothing of what they say."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.datasets.archives import is_archive, list_archive
from engine.datasets.entries import Entry, Listing
from engine.media.formats import media_suffixes
from engine.media.sources import open_file, read_file
from engine.text import clean_name
from engine.types import Failure

_COMPANION = re.compile(r"(readme|licen[cs]es?|copying)([-_.].*)?")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_MEDIA_SUFFIXES = {".jpeg", ".tif", ".heif", *media_suffixes()}


def list_paths(paths: Iterable[Path]) -> list[Listing]:
    """List these paths: every folder by itself with all below it, then files by the folder they lie in.

    Files of one folder may hold each other's captions. A path that does not exist becomes a Failure.
    """
    found: list[Listing] = []
    beside: dict[Path, dict[str, Path]] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            found.append(Listing(failed=(Failure(clean_name(str(path)), _no_file(error)),)))
            continue
        if stat.S_ISDIR(mode):
            found.append(list_folder(path))
        else:
            beside.setdefault(path.parent, {})[path.name] = path
    return found + [list_files(files) for files in beside.values()]


def list_folder(folder: Path) -> Listing:
    """List a folder; hidden files, README and licence files, and symbolic links are left out.

    A folder below it that cannot be opened becomes a Failure.
    """
    files: dict[str, Path] = {}
    failed: list[Failure] = []

    def unreadable(error: OSError) -> None:
        failed.append(
            Failure(clean_name(str(error.filename)), f"The folder cannot be opened: {error.strerror}.")
        )

    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=False):
        folders[:] = sorted(name for name in folders if not _skipped(name))
        for name in sorted(names):
            path = Path(parent, name)
            if not _skipped(name) and not path.is_symlink():
                files[path.relative_to(folder).as_posix()] = path
    return list_files(files) + Listing(failed=tuple(failed))


def list_files(files: Mapping[str, Path]) -> Listing:
    """List files under the names they should be known by (an upload keeps its name so), archives opened."""
    found = Listing()
    archives = {name for name, path in files.items() if is_archive(name) and path.is_file()}
    plain = tuple(_entry(name, path) for name, path in files.items() if name not in archives)
    for name in files:
        if name in archives:
            listed = list_archive(files[name], name)
            kept = tuple(entry for entry in listed.entries if not _skipped_path(entry.path))
            found += replace(listed, entries=kept)
    return Listing(plain) + found


def _entry(name: str, path: Path) -> Entry:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # reading it will say why
    return Entry(name, size, partial(read_file, path), partial(open_file, path))


def _no_file(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | ValueError):
        return "There is no such file."
    return f"The file cannot be opened: {error.strerror}."


def _skipped(name: str) -> bool:
    """Tell what is no medium by its name; `license-plate.jpg` is one, `LICENSE-MIT` is not."""
    lower = name.lower()
    if name.startswith((".", "__MACOSX")) or lower in _SYSTEM_FILES:
        return True
    return bool(_COMPANION.fullmatch(lower)) and posixpath.splitext(lower)[1] not in _MEDIA_SUFFIXES


def _skipped_path(name: str) -> bool:
    return any(_skipped(part) for part in name.split("/") if part not in ("", ".", ".."))
