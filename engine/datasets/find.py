"""What was given into sources to ingest, each with its captions, labels and columns; reads no media."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path

from engine.datasets.entries import Entry, Listing
from engine.datasets.listing import list_files, list_paths
from engine.datasets.sidecars import MAX_SIDECAR_BYTES, SIDECARS, Row, read_sidecar
from engine.media.sources import Source, SourceList
from engine.text import clean_name
from engine.types import Failure


def find_sources(paths: Iterable[Path], *, max_file_bytes: int) -> SourceList:
    """Find the files of these paths (files, folders with all below them, archives), in a stable order.

    Folders come first, then single files. What cannot be read becomes a Failure.
    """
    found = SourceList(())
    for listing in list_paths(paths):
        found += sources_of(listing, max_file_bytes=max_file_bytes)
    return found


def from_files(files: Mapping[str, Path], *, max_file_bytes: int) -> SourceList:
    """Find files under the names they should be known by (an upload keeps its name so)."""
    return sources_of(list_files(files), max_file_bytes=max_file_bytes)


def sources_of(listing: Listing, *, max_file_bytes: int) -> SourceList:
    """Return the sources of a listing: those outside archives first, then archive by archive."""
    found = SourceList(())
    for _, entries in groupby(listing.entries, key=lambda entry: entry.within):
        found += _with_captions({entry.path: entry for entry in entries}, max_file_bytes)
    return found + SourceList((), listing.failed)


def _with_captions(files: Mapping[str, Entry], max_file_bytes: int) -> SourceList:
    rows: dict[str, Row] = {}
    failed: list[Failure] = []
    for name, entry in files.items():
        if posixpath.basename(name) in SIDECARS:
            read_sidecar(name, partial(entry.read, MAX_SIDECAR_BYTES), files, rows, failed)
    sources = tuple(
        Source(clean_name(name), partial(entry.read, max_file_bytes), **vars(rows.get(name, Row())))
        for name, entry in files.items()
        if posixpath.basename(name) not in SIDECARS
    )
    return SourceList(sources, tuple(failed))
