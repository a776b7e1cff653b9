"""`python -m engine compare`: the same media under several collections, and one collection kept smaller.

`app.py` owns the command line; this file adds one command to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.output import JsonOption, open_workspace, say, say_json
from engine.types import PLURAL

if TYPE_CHECKING:
    from engine.evaluation.metrics import Interval
    from engine.lessons.compare import Comparison, SharedPairs
    from engine.lessons.recalls import Recalls
    from engine.lessons.widths import Step, Widths


def compare(
    collections: Annotated[
        list[str] | None, typer.Argument(help="Two or more collections of the same media.")
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(help="Also measure this collection at smaller widths and precisions; works alone."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs that are drawn, and of resampling.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare collections of the same media side by side: gap, and recall of the same questions."""
    from engine.lessons.compare import compare as measure
    from engine.lessons.widths import widths as measure_widths
    from engine.progress import Watch

    if not (collections or widths):
        raise typer.BadParameter("name two or more collections, or --widths COLLECTION")
    with open_workspace() as workspace:
        found = measure(workspace.folder, collections, seed=seed, watch=Watch()) if collections else None
        kept = measure_widths(workspace.folder, widths, seed=seed, watch=Watch()) if widths else None
    if as_json:
        say_json({name: one and asdict(one) for name, one in (("comparison", found), ("widths", kept))})
        return
    for line in [*(_compared(found) if found else ()), *(_kept(kept) if kept else ())]:
        say(line)


def _compared(found: Comparison) -> Iterator[str]:
    yield f"{found.shared:,} items are in all of these collections, seed {found.seed}"
    for one in found.chosen:
        yield (
            f"{one.collection}: {one.model} {one.revision[:12]}, {one.dim:,} dimensions, {one.items:,} "
            f"items, {one.unshared:,} of them not in all"
        )
    for pairs in found.pairs:
        yield f"{PLURAL[pairs.a]} and {PLURAL[pairs.b]}: n = {pairs.n:,} of {pairs.there:,} shared pairs"
        yield from _side_by_side(pairs)
    yield from (f"not measured: {why}" for why in found.left_out)
    yield from found.notes
    yield from (f"{one.collection}: {one.training}" for one in found.chosen if one.training)
    yield "cosines, and L2M with them, are not comparable from one model to another; ranks are"


def _side_by_side(pairs: SharedPairs) -> Iterator[str]:
    for one in pairs.measured:
        yield f"  {one.collection}: L2M {_interval(one.l2m)}, RMG {_interval(one.rmg)}"
        for asked, of, found in ((pairs.a, pairs.b, one.a_to_b), (pairs.b, pairs.a, one.b_to_a)):
            yield f"    {PLURAL[asked]} to {PLURAL[of]}: {_recalls(found, pairs.n)}"
            if found.changes:
                changes = ", ".join(f"R@{k} {_interval(of_k)}" for k, of_k in found.changes.items())
                yield f"      minus {pairs.measured[0].collection}: {changes}"


def _kept(found: Widths) -> Iterator[str]:
    yield (
        f"{found.collection}: {found.model}, n = {found.n:,} pairs of {PLURAL[found.a]} and "
        f"{PLURAL[found.b]}, int8 calibrated on {found.fitted:,} others, seed {found.seed}; ms of an exact "
        f"search in NumPy for 10 of {found.timed:,} vectors, by one thread"
    )
    for step in found.steps:
        yield _step(step, found)
    yield from (f"  {why}" for why in found.left_out)
    yield from found.notes


def _step(step: Step, found: Widths) -> str:
    return (
        f"  {step.name}: {step.bytes_per_vector:,} bytes a vector, {step.megabytes:.3g} MB, {step.ms:.3f} "
        f"ms, L2M {step.l2m:.3f}, RMG {step.rmg:.3f}, {PLURAL[found.a]} to {PLURAL[found.b]} "
        f"{_recalls(step.a_to_b, found.n)}, {PLURAL[found.b]} to {PLURAL[found.a]} "
        f"{_recalls(step.b_to_a, found.n)}"
    )


def _recalls(found: Recalls, n: int) -> str:
    return ", ".join(f"R@{k} {_interval(one)} (chance {min(1, k / n):.3f})" for k, one in found.hits.items())


def _interval(one: Interval) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
