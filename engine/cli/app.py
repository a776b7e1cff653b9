"""The command line: `python -m engine ...`; exit 0 done, 1 a named error in one line, 2 wrong usage.

The long commands have files of their own; this one puts all of them together, and what they write and
share is in `output.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from engine.cli.compare import compare
from engine.cli.evaluate import evaluate
from engine.cli.gap import gap
from engine.cli.ingest import ingest, reembed
from engine.cli.judgements import judgements
from engine.cli.maps import project
from engine.cli.output import (
    CollectionOption,
    JsonOption,
    end_stage,
    note,
    open_workspace,
    say,
    say_json,
    show_stage,
)
from engine.cli.search import search
from engine.cli.towers import towers
from engine.cli.vectors import export, import_
from engine.errors import GapscopeError
from engine.settings import load_settings
from engine.text import clean_text

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback()
def _about() -> None:
    """Gapscope: search pictures and words in one vector space, and measure it."""


def doctor() -> None:
    """Say what works on this machine, and why the rest does not."""
    from engine.cli.doctor import checks

    troubles = 0
    for check in checks(load_settings()):
        troubles += bool(check.trouble)
        say(f"{'!!' if check.trouble else 'ok'}  {check.name}: {check.trouble or check.value}")
    if troubles:
        raise typer.Exit(1)


def models(as_json: JsonOption = False) -> None:
    """List the models, what they embed, and why one cannot run here."""
    from engine.models.readiness import survey

    rows: list[dict[str, Any]] = [
        {
            "id": one.spec.id,
            "kind": one.spec.kind,
            "modalities": list(one.spec.modalities),
            "dim": one.spec.dim,
            "parameters": one.spec.parameters,
            "memory_gb": one.spec.memory_gb,
            "runnable": one.runnable,
            "reason": one.reason,
        }
        for one in survey(load_settings())
    ]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        width = f"{row['dim']} dimensions" if row["dim"] else "width read from the model"
        what = width if row["kind"] != "reranker" else "scores pairs"
        state = "runs here" if row["runnable"] else row["reason"]
        say(f"{row['id']}  {row['kind']}  {', '.join(row['modalities'])}  {what}  {state}")


def download(
    model: Annotated[str, typer.Argument(help="A model of `models`, or any hub id.")],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
) -> None:
    """Fetch a model's files from the hub; what is here already is not fetched again."""
    from engine.models.catalog import describe
    from engine.models.hub.download import Downloads

    spec = describe(model)
    if not spec.from_hub:
        say(f"{spec.id} needs no download: it is made of what is installed here")
        return
    downloads = Downloads()
    one = downloads.start(spec.id, revision or spec.revision)
    while one.active:
        total = f" of {one.total_bytes / 1e6:,.0f}" if one.total_bytes else ""
        show_stage(f"{spec.id}: {one.done_bytes / 1e6:,.0f}{total} MB")
        now = downloads.wait(one.id, 0.2)
        assert now is not None  # nothing dismisses it here
        one = now
    end_stage()
    if one.failure:
        raise one.failure
    say(f"{spec.id} is here")


def collections(as_json: JsonOption = False) -> None:
    """List the collections, what made them and how many items they hold."""
    with open_workspace() as workspace:
        infos = workspace.store.collections()
    if as_json:
        rows = [
            {
                "collection": info.name,
                **asdict(info.made_by),
                "counts": info.counts,
                "created_at": info.created_at,
            }
            for info in infos
        ]
        say_json(rows)
        return
    for info in infos:
        counts = ", ".join(f"{count:,} {modality}" for modality, count in info.counts.items())
        training = f", {info.made_by.training}" if info.made_by.training else ""
        say(f"{info.name}  {counts}  by {info.made_by}{training}")


def delete(
    collection: CollectionOption,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; this cannot be undone.")] = False,
) -> None:
    """Delete a collection, and the media only it used."""
    if not yes:
        raise typer.BadParameter("deleting cannot be undone: add --yes")
    with open_workspace() as workspace:
        workspace.delete_collection(collection)
    say(f"deleted {collection}")


# As help lists them: what a machine needs first, then collections, and then what they are good for.
_COMMANDS: dict[str, Callable[..., None]] = {
    "doctor": doctor,
    "models": models,
    "download": download,
    "ingest": ingest,
    "import": import_,
    "export": export,
    "reembed": reembed,
    "collections": collections,
    "delete": delete,
    "search": search,
    "evaluate": evaluate,
    "judgements": judgements,
    "project": project,
    "gap": gap,
    "compare": compare,
    "towers": towers,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.command("remake", hidden=True)(reembed)  # the former name, which scripts still use


def main() -> None:
    """Run the command line; any expected failure becomes one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper
    try:
        app(prog_name="python -m engine")
    except GapscopeError as error:
        note(" ".join(clean_text(f"{type(error).__name__}: {error}").split()))
        sys.exit(1)
