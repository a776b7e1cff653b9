"""What `ingest --dry-run` says of files, as text or JSON; understands nothing itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.cli.output import counted_line, say, say_json
from engine.ingest.failures import KEPT, counted

if TYPE_CHECKING:
    from engine.datasets.plan import Plan

_MOST_LABELS = 1_000


def show_plan(plan: Plan, as_json: bool) -> None:
    """Say what was understood of files before any of them is taken."""
    if as_json:
        say_json(plan_document(plan))
        return
    labels = f", {plan.labelled:,} with a label of {len(plan.labels):,}" if plan.labels else ""
    say(f"{plan.files:,} files, {plan.captions:,} captions{labels}")
    for sentence in (*plan.layouts, *plan.notes):
        say(f"  {sentence}")
    for column in plan.columns:
        example = f', such as "{column.example}"' if column.example else ""
        say(f"  Column {column.name} of {', '.join(column.tables)}: {column.use}{example}")
    for left in plan.left_out:
        say(f"  Left out: {counted_line(left)}")
    for kind in counted(plan.failed):
        alone = kind.count == 1 and kind.examples
        say(f"  Not readable: {f'{kind.examples[0]}: {kind.reason}' if alone else counted_line(kind)}")
    for source in plan.sample:
        said = [*source.captions, *(f"[{label}]" for label in source.labels)]
        said += [f"{name}={value}" for name, value in source.metadata]
        say(f"  {source.name}: {' · '.join(said) or '-'}")
    if not plan.sources:
        say("Nothing of this can be taken.")


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return what was understood as `ingest --dry-run --json` prints it; `failed` holds the first hundred."""
    labels = Counter(label for source in plan.sources for label in source.labels)
    return {
        "files": plan.files,
        "captions": plan.captions,
        "labelled": plan.labelled,
        "labels": dict(labels.most_common(_MOST_LABELS)),
        "layouts": list(plan.layouts),
        "columns": [asdict(column) for column in plan.columns],
        "notes": list(plan.notes),
        "left_out": [asdict(one) for one in plan.left_out],
        "failed": [asdict(one) for one in plan.failed[:KEPT]],
        "failed_count": len(plan.failed),
        "failed_kinds": [asdict(one) for one in counted(plan.failed)],
        "sample": [
            {
                "name": source.name,
                "captions": list(source.captions),
                "labels": list(source.labels),
                "columns": dict(source.metadata),
            }
            for source in plan.sample
        ],
    }
