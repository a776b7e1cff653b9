"""What was given into sources to ingest: the door for those who ask no more than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.datasets.columns import Choices
from engine.datasets.entries import Listing
from engine.datasets.listing import list_files, list_paths
from engine.datasets.plan import Plan, understand
from engine.media.sources import SourceList


def find_sources(paths: Iterable[Path], *, max_file_bytes: int, choices: Choices | None = None) -> SourceList:
    """Find the files of these paths (files, folders with all below them, archives), in a stable order.

    Folders come first, then single files. What cannot be read becomes a Failure.
    """
    found = SourceList(())
    for listing in list_paths(paths):
        found += sources_of(listing, max_file_bytes=max_file_bytes, choices=choices)
    return found


def from_files(
    files: Mapping[str, Path], *, max_file_bytes: int, choices: Choices | None = None
) -> SourceList:
    """Find files under the names they should be known by (an upload keeps its name so)."""
    return sources_of(list_files(files), max_file_bytes=max_file_bytes, choices=choices)


def sources_of(listing: Listing, *, max_file_bytes: int, choices: Choices | None = None) -> SourceList:
    """Return the sources of a listing as they are understood, and what there is to tell of that."""
    return sources_in(understand(listing, choices, max_file_bytes=max_file_bytes))


def sources_in(plan: Plan) -> SourceList:
    """Return the sources of a plan, and what there is to tell of it."""
    return SourceList(plan.sources, plan.failed, plan.left_out, plan.layouts + plan.notes)
