"""`python -m engine towers`: two towers trained on a collection's pairs, as a table, and kept if wanted.

`app.py` owns the command line; this file adds one command to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import (
    CollectionOption,
    JsonOption,
    end_stage,
    open_workspace,
    report_document,
    say,
    say_json,
    show_progress,
)
from engine.errors import TowerError

if TYPE_CHECKING:
    import numpy as np

    from engine.analysis.two_towers import Cosines, Snapshot, TowerSettings
    from engine.towers.train import TrainedTowers
    from engine.types import IngestReport

_HEAD = " step   loss    L2M    RMG   pairs others img-img txt-txt  cross-nn  R@1 t2i   i2t  held t2i   i2t"


def towers(
    collection: CollectionOption,
    temperature: Annotated[float, typer.Option(help="Fixed, 0.001 to 10; a low one keeps a gap.")] = 0.01,
    start: Annotated[str, typer.Option(help="cone (features as they are) or centred.")] = "cone",
    mismatched: Annotated[float, typer.Option(help="Share of the pairs trained with a wrong text.")] = 0.0,
    steps: Annotated[int, typer.Option(help="1 to 5000.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the mismatch.")] = 0,
    held_out: Annotated[float, typer.Option(help="Share of the pairs that are only measured.")] = 0.23,
    every: Annotated[int, typer.Option(min=1, help="Steps between two lines.")] = 50,
    keep: Annotated[str | None, typer.Option(help="Keep what they make as a new collection.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train two linear heads on a collection's captioned pictures, and watch the gap come or go."""
    settings = _settings(
        temperature=temperature,
        start=start,
        mismatched=mismatched,
        steps=steps,
        seed=seed,
        held_out=held_out,
    )
    with open_workspace() as workspace:
        if keep is not None:
            workspace.check_towers_target(collection, keep)
        trained = workspace.train_towers(collection, settings, every=every, on_progress=show_progress)
        report = workspace.keep_towers(trained, keep, on_progress=show_progress) if keep else None
    end_stage()
    if as_json:
        say_json(_document(trained, report))
        return
    for line in _lines(trained, report):
        say(line)


def _settings(**options: Any) -> TowerSettings:
    """Return the settings of the options; what is wrong with one is wrong usage."""
    from engine.analysis.two_towers import TowerSettings

    try:
        return TowerSettings(**options)
    except TowerError as error:
        raise typer.BadParameter(str(error)) from error


def _lines(trained: TrainedTowers, report: IngestReport | None) -> Iterator[str]:
    """Yield the table of snapshots, and what was kept, in words."""
    last = trained.snapshots[-1]
    held = last.held_out.n if last.held_out else 0
    yield f"two towers, {held:,} pairs held out, {trained.heads.trained_on}"
    if trained.features.unread:
        yield f"{trained.features.unread:,} pairs could not be read: {trained.features.reason}"
    yield _HEAD
    yield from map(_line, trained.snapshots)
    chance = f", held out {1 / held:.3f}" if held else ""
    yield f"R@1 by chance {1 / last.trained.n:.3f}{chance}; cross-nn 0.50 where the two are mixed"
    if report:
        yield f"{report.stored:,} items kept as {report.collection!r}, by {report.model}"
        for failure in report.failed:
            yield f"  {failure.name}: {failure.reason}"


def _line(one: Snapshot) -> str:
    cosines = (
        f"{one.paired.mean:6.2f} {one.unpaired.mean:6.2f} "
        f"{one.image_image.mean:7.2f} {one.text_text.mean:7.2f}"
    )
    held = f"{one.held_out.text_to_image:8.2f} {one.held_out.image_to_text:5.2f}" if one.held_out else ""
    return (
        f"{one.step:5} {one.loss:6.3f} {one.l2m:6.3f} {one.rmg:6.3f}  {cosines}  "
        f"{one.cross_neighbours:8.2f}  "
        f"{one.trained.text_to_image:7.2f} {one.trained.image_to_text:5.2f}  {held}"
    )


def _document(trained: TrainedTowers, report: IngestReport | None) -> dict[str, Any]:
    from engine.analysis.two_towers import places

    drawn = places(trained.snapshots, trained.snapshots[-1])
    return {
        "collection": trained.collection,
        "settings": asdict(trained.settings),
        "features": trained.heads.trained_on.features,
        "pairs": trained.features.pairs,
        "trained": trained.snapshots[0].trained.n,
        "unread": trained.features.unread,
        "snapshots": [
            {**_row(one), "places": {"images": _rounded(images), "texts": _rounded(texts)}}
            for one, (images, texts) in zip(trained.snapshots, drawn, strict=True)
        ],
        "kept": report_document(report) if report else None,
    }


def _row(one: Snapshot) -> dict[str, Any]:
    """Return the numbers of a snapshot."""
    kinds = ("paired", "unpaired", "image_image", "text_text")
    return {
        **{name: getattr(one, name) for name in ("step", "loss", "l2m", "rmg", "cross_neighbours")},
        "cosines": {name: _cosines(getattr(one, name)) for name in kinds},
        "recall_at_1": asdict(one.trained),
        "recall_at_1_held_out": asdict(one.held_out) if one.held_out else None,
    }


def _cosines(one: Cosines) -> dict[str, Any]:
    return {"mean": one.mean, "counts": one.counts.tolist()}


def _rounded(rows: np.ndarray) -> list[list[float]]:
    """Return places (n, 2) float32 to four digits."""
    return rows.astype(float).round(4).tolist()
