"""`python -m engine search`: a question of words, a picture or a stored item, and its hits as lines or JSON.

`app.py` owns the command line; this file adds one command to it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import CollectionOption, JsonOption, note, open_workspace, say, say_json
from engine.errors import MediaError, QueryError
from engine.models.base import ModelChoice
from engine.types import MODALITIES, Filters, Hit, Item, Modality, SearchTrace

if TYPE_CHECKING:
    from PIL import Image

    from engine.settings import Settings
    from engine.workspace import Workspace

_BALANCE = "How modalities are merged, and the crowding meter: raw, centred, standardised or interleaved."
# A process that answers one question and ends is all the time there is to measure in.
_PATIENCE_SECONDS = 60.0
_WHERE = (
    "Only items whose column is so: width_px>=1000, split=train, taken>=2024-05, name~beach; repeatable, all "
    "hold, and several = of one column are alternatives."
)
_COPIES = "Hide copies of better results: 'exact', or from a cosine on, as 0.95."
_SORT = "Show the results in the order of a column; -COLUMN turns it round."
_STAGES = ("embed", "balance", "retrieve", "rerank", "total")


def search(
    collection: CollectionOption,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many results, 1 to 1000.")] = 10,
    modality: Annotated[list[str] | None, typer.Option(help="Only this modality; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only with this label; repeatable.")] = None,
    image: Annotated[Path | None, typer.Option(help="Ask with a picture instead.")] = None,
    like: Annotated[str | None, typer.Option(help="Ask with a stored item's id instead.")] = None,
    rerank: Annotated[str | None, typer.Option(help="A reranker for the first results.")] = None,
    rerank_top: Annotated[int, typer.Option(min=1, max=1000, help="How many to rerank.")] = 50,
    balance: Annotated[str | None, typer.Option(help=_BALANCE)] = None,
    where: Annotated[list[str] | None, typer.Option(help=_WHERE)] = None,
    hide_copies: Annotated[str | None, typer.Option(help=_COPIES)] = None,
    sort: Annotated[str | None, typer.Option(help=_SORT)] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the items nearest to a text, a picture or a stored item."""
    from engine.search.balance import check_balance, crowding_words
    from engine.search.copies import copy_cosine
    from engine.search.search import Query
    from engine.search.sorting import sort_hits
    from engine.storage.conditions import check_column, read_conditions

    if sum(value is not None for value in (text, image, like)) != 1:
        raise typer.BadParameter("give exactly one of TEXT, --image and --like")
    modalities = _modalities(modality or [])
    try:
        mode = check_balance(balance) if balance is not None else None
        copies = copy_cosine(hide_copies) if hide_copies is not None else None
    except QueryError as error:
        raise typer.BadParameter(str(error)) from error
    with open_workspace() as workspace:
        picture = _picture(image, workspace.settings) if image else None
        query = Query(text=text, image=picture, like=like, name=image.name if image else "")
        reranker = ModelChoice(rerank) if rerank else None
        workspace.store.info(collection)  # or a collection there is not would be one without columns
        kinds = workspace.folder.matching.kinds(collection) if where or sort else {}
        filters = Filters(modalities, tuple(label or ()), read_conditions(where or (), kinds))
        column = check_column(sort.removeprefix("-"), kinds) if sort else None
        trace = workspace.search(
            query,
            collection=collection,
            k=k,
            filters=filters,
            reranker=reranker,
            rerank_top=rerank_top,
            balance=mode,
            patience_seconds=_PATIENCE_SECONDS,
            on_wait=lambda: note("Measuring how unrelated questions score here, once after each change …"),
            copies=copies,
        )
        hits = trace.results
        if sort and column:
            hits = sort_hits(hits, column, descending=sort.startswith("-"))
        rows = [_result(hit, trace, workspace) for hit in hits]
    for one in trace.notes:
        (note if as_json else say)(one)
    if as_json:
        say_json(_document(trace, rows))
        return
    for row in rows:
        shown = row["caption"] or row["name"]
        score = row["score"] if row["rerank_score"] is None else row["rerank_score"]
        say(f"{row['rank']:4}  {score:.3f}  {row['modality']:5}  {row['name']}  {shown}")
    if mode and trace.crowding:
        say(crowding_words(trace.crowding, trace.query_modality))


def _modalities(names: list[str]) -> tuple[Modality, ...]:
    found: list[Modality] = []
    for name in names:
        if name not in MODALITIES:
            raise typer.BadParameter(f"--modality is one of {', '.join(MODALITIES)}, not {name!r}")
        found.append(name)
    return tuple(found)


def _picture(path: Path, settings: Settings) -> Image.Image:
    from engine.media.decoder import open_picture
    from engine.media.parts import Limits

    try:
        return open_picture(path.read_bytes(), Limits.of(settings))
    except OSError as error:
        raise QueryError(f"The picture {path} cannot be opened: {error.strerror}.") from error
    except MediaError as error:
        raise QueryError(f"{path.name}: {error.reason}") from error


def _result(hit: Hit, trace: SearchTrace, workspace: Workspace) -> dict[str, Any]:
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
        "balanced": hit.balanced,
        "path": _path(item, workspace),
        "pair": item.pair,
        "start_seconds": item.start_seconds,
        "copies": [copy.item.id for copy in trace.copies.get(item.id, ())],
    }


def _path(item: Item, workspace: Workspace) -> str | None:
    return str(workspace.library.media_path(item.media, item.mime)) if item.media else None


def _document(trace: SearchTrace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    timings = {stage: round(trace.timings_ms[stage], 3) for stage in _STAGES}
    return {
        "collection": trace.collection,
        "model": trace.model,
        "query": trace.query,
        "balance": trace.balance,
        "notes": list(trace.notes),
        "crowding": {**asdict(trace.crowding), "exposure": trace.crowding.exposure}
        if trace.crowding
        else None,
        "results": rows,
        "timings_ms": timings,
    }
