"""What was given into sources to ingest: the door for those who ask no more than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.datasets.columns import Choices
from engine.datasets.listing import list_files, list_paths
from engine.datasets.plan import understand
from engine.media.sources import SourceList


def find_sources(paths: Iterable[Path], *, max_file_bytes: int, choices: Choices | None = None) -> SourceList:
    """Find the files of these paths (files, folders with all below them, archives), in a stable order.

    Folders come first, then single files. What cannot be read becomes a Failure.
    """
    found = SourceList(())
    for listing in list_paths(paths):
        plan = understand(listing, choices, max_file_bytes=max_file_bytes)
        found += SourceList(plan.sources, plan.failed)
    return found


def from_files(
    files: Mapping[str, Path], *, max_file_bytes: int, choices: Choices | None = None
) -> SourceList:
    """Find files under the names they should be known by (an upload keeps its name so)."""
    plan = understand(list_files(files), choices, max_file_bytes=max_file_bytes)
    return SourceList(plan.sources, plan.failed)
