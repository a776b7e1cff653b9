"""What is understood of paths and uploads before any of it is taken in: one plan, and rows to show of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from engine.datasets.columns import Choices
from engine.datasets.entries import Tally
from engine.datasets.listing import list_files, list_paths
from engine.datasets.plan import SAMPLE_ROWS, Column, Plan, understand


def plan_paths(paths: Iterable[Path], *, max_file_bytes: int, choices: Choices | None = None) -> Plan:
    """Return what is understood of paths: files, folders with all below them, archives."""
    plans = (understand(listing, choices, max_file_bytes=max_file_bytes) for listing in list_paths(paths))
    return joined(plans)


def plan_files(files: Mapping[str, Path], *, max_file_bytes: int, choices: Choices | None = None) -> Plan:
    """Return what is understood of files under the names they should be known by."""
    return understand(list_files(files), choices, max_file_bytes=max_file_bytes)


def joined(plans: Iterable[Plan]) -> Plan:
    """Return several plans as one, in their order; what is left out for one reason is counted together."""
    kept = tuple(plans)
    if len(kept) == 1:
        return kept[0]
    left = Tally()
    for one in chain.from_iterable(plan.left_out for plan in kept):
        left.add(one.reason, *one.examples, count=one.count)
    return Plan(
        tuple(chain.from_iterable(plan.sources for plan in kept)),
        tuple(chain.from_iterable(plan.layouts for plan in kept)),
        _columns(chain.from_iterable(plan.columns for plan in kept)),
        tuple(dict.fromkeys(chain.from_iterable(plan.notes for plan in kept))),
        left.left_out,
        tuple(chain.from_iterable(plan.failed for plan in kept)),
    )


def sample_rows(plan: Plan) -> list[dict[str, str]]:
    """Return ten files of a plan as rows of text: file, captions, labels, columns."""
    return [
        {
            "file": source.name,
            "captions": " · ".join(source.captions),
            "labels": ", ".join(source.labels),
            "columns": ", ".join(f"{name}: {value}" for name, value in source.metadata),
        }
        for source in plan.sample[:SAMPLE_ROWS]
    ]


def _columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    found: dict[tuple[str, str], Column] = {}
    for one in columns:
        same = found.get((one.name, one.use), Column(one.name, one.use, ()))
        tables = tuple(dict.fromkeys((*same.tables, *one.tables)))
        found[one.name, one.use] = Column(one.name, one.use, tables, same.example or one.example)
    return tuple(found.values())
