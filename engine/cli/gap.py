"""`python -m engine gap`: a collection's modality gap in sentences or as JSON, and what an edit does to it.

`engine/evaluation/gap_sentences.py` words it, `engine/report/` writes it as a page, `app.py` owns the command
line.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.output import CollectionOption, JsonOption, note, open_workspace, say, say_json
from engine.errors import GapError

if TYPE_CHECKING:
    from engine.analysis.edits import EditName
    from engine.evaluation.gap_edits import EditedGap
    from engine.evaluation.pair_gap import PairGap
    from engine.types import Modality, VectorTable
    from engine.workspace import Workspace


def gap(
    collection: CollectionOption,
    k: Annotated[int, typer.Option(min=1, max=500, help="How many neighbours purity looks at.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of samples, splits, draws and permutations.")] = 0,
    temperature: Annotated[float, typer.Option(help="Of the contrastive loss; CLIP's is 0.01.")] = 0.01,
    edit: Annotated[
        str | None,
        typer.Option(
            help="Also measure held-out items before and after an edit that is fitted on the others: "
            "shift, centre, standardise, project-out or drop-dims. No stored vector is changed."
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="How far --edit shift moves the two together.")] = 0.5,
    dims: Annotated[int, typer.Option(help="How many dimensions --edit drop-dims drops.")] = 3,
    report: Annotated[
        Path | None, typer.Option(help="Also write one HTML page that opens without a network.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the gap between every two modalities, from the vectors and never from a map."""
    from engine.evaluation.gap_sentences import edit_sentences, sentences

    named = _edit(edit)
    if report is not None and report.suffix not in (".html", ".htm"):
        raise typer.BadParameter(f"--report ends in .html, not {report.name!r}")
    with open_workspace() as workspace:
        rows = _Rows(workspace, collection)
        found = rows.gaps(k=k, seed=seed, temperature=temperature)
        edited = [] if named is None else rows.edited(named, delta, dims, k, seed, temperature)
        if report is not None:
            _write(workspace, rows, found, report, k=k, seed=seed, temperature=temperature)
    if as_json:
        say_json(rows.document(found) | ({} if named is None else {"edits": [asdict(one) for one in edited]}))
        return
    counts = ", ".join(f"{count:,} {modality}" for modality, count in rows.counts.items())
    say(f"{counts}, model {rows.model}, seed {seed}, k {k}")
    if not found:
        say("one modality alone has no gap")
    for one in found:
        for line in sentences(one):
            say(line)
    for change in edited:
        for line in edit_sentences(change):
            say(line)


def _write(
    workspace: Workspace,
    rows: _Rows,
    found: list[PairGap],
    file: Path,
    *,
    k: int,
    seed: int,
    temperature: float,
) -> None:
    from engine.report.gap_page import to_html
    from engine.report.gap_report import gap_report

    page = gap_report(
        workspace.folder, rows.collection, k=k, seed=seed, temperature=temperature, measured=found
    )
    try:
        file.write_text(to_html(page), encoding="utf-8")
    except OSError as error:
        raise GapError(f"{file} cannot be written: {error.strerror}. Choose another place.") from error
    note(f"the report is in {file}")


def gap_document(
    workspace: Workspace, collection: str, *, k: int, seed: int, temperature: float = 0.01
) -> dict[str, Any]:
    """Return what `gap --json` prints without an edit, by the numbers of the Map page.

    Raises CollectionNotFoundError, StoreError, FolderError, GapError.
    """
    rows = _Rows(workspace, collection)
    return rows.document(rows.gaps(k=k, seed=seed, temperature=temperature))


class _Rows:
    """A collection's vectors by modality, read once."""

    def __init__(self, workspace: Workspace, collection: str) -> None:
        from engine.maps.gap_input import gap_input

        info = workspace.store.info(collection)
        self.collection, self.model = collection, info.made_by.model
        self._tables: dict[Modality, VectorTable] = {}
        self._pair_of: dict[str, int] = {}
        if info.total:  # nothing can be read of an empty one, and no gap is its answer
            content = workspace.maps.content_of(collection)
            self._tables, self._pair_of = gap_input(content.vectors(), content.columns)
        self.counts = {one: len(self._tables[one]) if one in self._tables else 0 for one in info.counts}

    def gaps(self, *, k: int, seed: int, temperature: float) -> list[PairGap]:
        """Return the gap of every two modalities."""
        from engine.evaluation.gap_matrix import gaps

        return gaps(self._tables, self._pair_of, k=k, seed=seed, temperature=temperature)

    def edited(
        self, edit: EditName, delta: float, dims: int, k: int, seed: int, temperature: float
    ) -> list[EditedGap]:
        """Return what an edit does to it."""
        from engine.evaluation.gap_edits import edited_gaps

        return edited_gaps(
            self._tables,
            self._pair_of,
            edit,
            delta=delta,
            dims=dims,
            k=k,
            seed=seed,
            temperature=temperature,
        )

    def document(self, found: list[PairGap]) -> dict[str, Any]:
        """Return the gaps as JSON has them."""
        return {
            "collection": self.collection,
            "model": self.model,
            "counts": self.counts,
            "pairs": [asdict(one) for one in found],
        }


def _edit(name: str | None) -> EditName | None:
    """Return an edit that there is, as it was typed."""
    from engine.analysis.edits import EDITS

    for one in EDITS:
        if one == name:
            return one
    if name is not None:
        raise typer.BadParameter(f"--edit is {', '.join(EDITS)}, not {name!r}")
    return None
