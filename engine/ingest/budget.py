"""How many bytes are read at once, and in a whole run, whatever the files are; reads none."""

from __future__ import annotations

from collections.abc import Sequence

from engine.media.sources import Source, SourceList
from engine.text import clean_name
from engine.types import LeftOut

BATCH_BYTES = 256_000_000  # read before any of it is decoded; a single file may be larger


def batches(sources: Sequence[Source], *, files: int, max_bytes: int) -> list[Sequence[Source]]:
    """Return sources in their order in batches of at most so many files and bytes."""
    cut, start, size = [], 0, 0
    for end, source in enumerate(sources):
        if end > start and (end - start == files or size + source.size_bytes > max_bytes):
            cut.append(sources[start:end])
            start, size = end, 0
        size += source.size_bytes
    return [*cut, sources[start:]] if sources else []


def within(found: SourceList, max_bytes: int) -> SourceList:
    """Return the first sources of at most so many bytes together; the others are counted as left out."""
    size = 0
    for number, source in enumerate(found.sources):
        size += source.size_bytes
        if size > max_bytes:
            left = found.sources[number:]
            reason = f"One run reads at most {max_bytes / 1e9:,.0f} GB (GAPSCOPE_MAX_RUN_GB)."
            some = tuple(clean_name(one.name) for one in left[:3])
            cut = SourceList((), (), (LeftOut(reason, len(left), some),))
            return SourceList(found.sources[:number], found.failed, found.left_out, found.notes) + cut
    return found
