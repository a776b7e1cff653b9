"""The command line: `python -m engine ...`; exit 0 done, 1 a named error in one line, 2 wrong usage.

With --json standard output holds exactly one JSON document; progress goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.evaluate import evaluate
from engine.cli.judgements import judgements
from engine.cli.maps import gap, project
from engine.cli.vectors import export, import_
from engine.errors import GapscopeError, MediaError, QueryError
from engine.models.base import ModelChoice
from engine.progress import Progress
from engine.settings import Settings, load_settings
from engine.text import clean_text
from engine.types import MODALITIES, Filters, Hit, IngestReport, Item, Modality, SearchTrace
from engine.workspace import Workspace

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ModelOption = Annotated[str | None, typer.Option(help="A model of `models`, a hub id or a local folder.")]
WidthOption = Annotated[int | None, typer.Option(help="Matryoshka width, where the model has them.")]
SlowOption = Annotated[
    bool, typer.Option("--accept-slow", help="Start also what will take more than half an hour.")
]
CollectionOption = Annotated[str, typer.Option("--collection", help="The collection's name.")]
app.command()(evaluate)
app.command()(judgements)
app.command()(export)
app.command("import")(import_)
app.command()(project)
app.command()(gap)


@app.callback()
def _about() -> None:
    """Gapscope: search pictures and words in one vector space, and measure it."""


@app.command()
def doctor() -> None:
    """Say what works on this machine, and why the rest does not."""
    from engine.cli.doctor import checks

    troubles = 0
    for check in checks(load_settings()):
        troubles += bool(check.trouble)
        _say(f"{'!!' if check.trouble else 'ok'}  {check.name}: {check.trouble or check.value}")
    if troubles:
        raise typer.Exit(1)


@app.command()
def models(as_json: JsonOption = False) -> None:
    """List the models, what they embed, and why one cannot run here."""
    from engine.models.readiness import survey

    rows = [
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
        _json(rows)
        return
    for row in rows:
        width = f"{row['dim']} dimensions" if row["dim"] else "width read from the model"
        what = width if row["kind"] != "reranker" else "scores pairs"
        state = "runs here" if row["runnable"] else row["reason"]
        _say(f"{row['id']}  {row['kind']}  {', '.join(row['modalities'])}  {what}  {state}")


@app.command()
def download(
    model: Annotated[str, typer.Argument(help="A model of `models`, or any id of the hub.")],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
) -> None:
    """Fetch a model's files from the hub; what is here already is not fetched again."""
    from engine.models.catalog import describe
    from engine.models.hub.download import Downloads

    spec = describe(model)
    if spec.runner == "pocket":
        _say("pocket needs no download: its weights are installed packages")
        return
    downloads = Downloads()
    download = downloads.start(spec.id, revision or spec.revision)
    while download.active:
        total = f" of {download.total_bytes / 1e6:,.0f}" if download.total_bytes else ""
        _show_stage(f"{spec.id}: {download.done_bytes / 1e6:,.0f}{total} MB")
        download = downloads.wait(download.id, 0.2)
    _stderr_end()
    if download.failure:
        raise download.failure
    _say(f"{spec.id} is here")


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders or zips.")],
    collection: CollectionOption,
    model: ModelOption = None,
    width: WidthOption = None,
    accept_slow: SlowOption = False,
    ray: Annotated[bool, typer.Option("--ray", help="Decode and embed on the machines of Ray.")] = False,
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster; else RAY_ADDRESS or this machine.")
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(min=1, help="Copies of the model on Ray; else one per GPU or 4 cores.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Embed files into a collection; running it again stores nothing twice."""
    from engine.media.sources import find_sources

    if not ray and (ray_address or ray_workers):
        raise typer.BadParameter("--ray-address and --ray-workers go with --ray")
    options = {"choice": _choice(model, width), "accept_slow": accept_slow, "on_progress": _show_progress}
    with _workspace() as workspace:
        found = find_sources(paths, max_file_bytes=workspace.settings.max_file_bytes)
        if ray:
            from engine.ingest.ray.driver import ingest_on_ray

            options |= {"address": ray_address, "workers": ray_workers}
            report = ingest_on_ray(workspace.folder, collection, found, **options)
        else:
            report = workspace.ingest(collection, found, **options)
    _show_report(report, as_json)


@app.command()
def remake(
    collection: CollectionOption,
    model: Annotated[str, typer.Option(help="A model of `models`, a hub id or a local folder.")],
    width: WidthOption = None,
    into: Annotated[str | None, typer.Option(help="A new name; the old collection stays.")] = None,
    accept_slow: SlowOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed a collection again with another model; the old one stays until the new one is whole."""
    choice = _choice(model, width)
    with _workspace() as workspace:
        report = workspace.reembed(
            collection, choice, into=into, accept_slow=accept_slow, on_progress=_show_progress
        )
    _show_report(report, as_json)


@app.command()
def search(
    collection: CollectionOption,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many results, 1 to 1000.")] = 10,
    modality: Annotated[list[str] | None, typer.Option(help="Only this modality; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only with this label; repeatable.")] = None,
    image: Annotated[Path | None, typer.Option(help="Ask with a picture instead.")] = None,
    like: Annotated[str | None, typer.Option(help="Ask with a stored item's id instead.")] = None,
    rerank: Annotated[str | None, typer.Option(help="A reranker of `models` for the first ones.")] = None,
    rerank_top: Annotated[int, typer.Option(min=1, max=1000, help="How many to rerank.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Find the items nearest to a text, a picture or a stored item."""
    from engine.search.search import Query

    if sum(value is not None for value in (text, image, like)) != 1:
        raise typer.BadParameter("give exactly one of TEXT, --image and --like")
    filters = Filters(_modalities(modality or []), tuple(label or ()))
    with _workspace() as workspace:
        picture = _picture(image, workspace.settings) if image else None
        query = Query(text=text, image=picture, like=like, name=image.name if image else "")
        reranker = ModelChoice(rerank) if rerank else None
        trace = workspace.search(
            query, collection=collection, k=k, filters=filters, reranker=reranker, rerank_top=rerank_top
        )
        rows = [_result(hit, workspace) for hit in trace.results]
    if as_json:
        for note in trace.notes:
            sys.stderr.write(f"{note}\n")
        _json(_search_document(trace, rows))
        return
    for note in trace.notes:
        _say(note)
    for row in rows:
        shown = row["caption"] or row["name"]
        score = row["score"] if row["rerank_score"] is None else row["rerank_score"]
        _say(f"{row['rank']:4}  {score:.3f}  {row['modality']:5}  {row['name']}  {shown}")


@app.command()
def collections(as_json: JsonOption = False) -> None:
    """List the collections, what made them and how many items they hold."""
    with _workspace() as workspace:
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
        _json(rows)
        return
    for info in infos:
        counts = ", ".join(f"{count:,} {modality}" for modality, count in info.counts.items())
        _say(f"{info.name}  {counts}  by {info.made_by}")


@app.command()
def delete(
    collection: CollectionOption,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; it cannot be undone.")] = False,
) -> None:
    """Delete a collection, and the media only it used."""
    if not yes:
        raise typer.BadParameter("deleting cannot be undone: add --yes")
    with _workspace() as workspace:
        workspace.delete_collection(collection)
    _say(f"deleted {collection}")


def _show_report(report: IngestReport, as_json: bool) -> None:
    _stderr_end()
    if as_json:
        _json(
            {
                "collection": report.collection,
                "model": report.model,
                "stored": report.stored,
                "skipped": report.skipped,
                "failed": [asdict(failure) for failure in report.failed],
                "seconds": round(report.seconds, 3),
                "per_second": round(report.per_second, 2),
            }
        )
        return
    _say(f"{report.stored:,} items stored, {report.skipped:,} were there, {len(report.failed):,} failed")
    for failure in report.failed:
        _say(f"  {failure.name}: {failure.reason}")


def main() -> None:
    """Run the command line; any expected failure becomes one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(prog_name="python -m engine")
    except GapscopeError as error:
        sys.stderr.write(" ".join(clean_text(f"{type(error).__name__}: {error}").split()) + "\n")
        sys.exit(1)


@contextmanager
def _workspace(settings: Settings | None = None) -> Iterator[Workspace]:
    workspace = Workspace.open(settings or load_settings())
    try:
        yield workspace
    finally:
        workspace.close()


def _choice(model: str | None, width: int | None) -> ModelChoice | None:
    if model is None:
        if width is not None:
            raise typer.BadParameter("--width goes with --model")
        return None  # what made the collection, or Pocket
    return ModelChoice(model, dim=width)


def _modalities(names: list[str]) -> tuple[Modality, ...]:
    for name in names:
        if name not in MODALITIES:
            raise typer.BadParameter(f"--modality is one of {', '.join(MODALITIES)}, not {name!r}")
    return tuple(names)  # type: ignore[arg-type]


def _picture(path: Path, settings: Settings) -> Any:
    from engine.media.images import open_image

    try:
        data = path.read_bytes()
        return open_image(data, max_pixels=settings.max_image_pixels)[0]
    except OSError as error:
        raise QueryError(f"The picture {path} cannot be opened: {error.strerror}.") from error
    except MediaError as error:
        raise QueryError(f"{path.name}: {error.reason}") from error


def _result(hit: Hit, workspace: Workspace) -> dict[str, Any]:
    item = hit.item
    return {
        "rank": hit.rank,
        "id": item.id,
        "modality": item.modality,
        "name": item.name,
        "caption": item.caption,
        "score": round(hit.score, 6),
        "retrieval_rank": hit.retrieval_rank,
        "rerank_score": hit.rerank_score,
        "path": _path(item, workspace),
        "pair": item.pair,
        "start_seconds": item.start_seconds,
    }


def _path(item: Item, workspace: Workspace) -> str | None:
    return str(workspace.library.media_path(item.media, item.mime)) if item.media else None


def _search_document(trace: SearchTrace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    timings = {stage: round(trace.timings_ms[stage], 3) for stage in ("embed", "retrieve", "rerank", "total")}
    return {
        "collection": trace.collection,
        "model": trace.model,
        "query": trace.query,
        "results": rows,
        "timings_ms": timings,
    }


def _show_stage(stage: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{stage} …")


def _show_progress(progress: Progress) -> None:
    left = progress.seconds_left
    times = (
        f", {progress.done_per_second:.0f} {progress.unit}/s, {left:.0f} s left" if left is not None else ""
    )
    _show_stage(f"{progress.stage} {progress.done:,} of {progress.total:,}{times}")


def _stderr_end() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
