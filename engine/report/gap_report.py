"""What a report of a collection's gap holds: all numbers of all pairs of modalities, and what draws them.

`gap_page.py` writes it as one HTML page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from engine.errors import GapError
from engine.evaluation.gap_matrix import gaps
from engine.evaluation.gap_sample import TEMPERATURE
from engine.lessons.histograms import four_histograms
from engine.lessons.pairs import read_pairs
from engine.lessons.picture import places_of
from engine.maps.gap_input import gap_input
from engine.progress import Watch
from engine.report.versions import versions
from engine.storage.columns import read_columns, read_vectors

if TYPE_CHECKING:
    from engine.evaluation.pair_gap import PairGap
    from engine.lessons.histograms import FourHistograms
    from engine.lessons.picture import Places
    from engine.storage.data_folder import DataFolder
    from engine.types import Modality

_UNHEARD = Watch()


@dataclass(frozen=True)
class Pictured:
    """What the figures of two modalities draw: cosines of four kinds and places of n of the pairs there are.

    It holds no vectors, for it is kept in memory; `notes` say what was done to them, `seed` drew the pairs.
    """

    a: Modality
    b: Modality
    n: int
    there: int
    seed: int
    notes: tuple[str, ...]
    histograms: FourHistograms = field(repr=False)
    places: Places = field(repr=False)


@dataclass(frozen=True)
class GapReport:
    """A collection and its gaps; `pictured` has what draws each of them, or in words why nothing does.

    `settings` are k, seed and temperature, `written` the day in UTC.
    """

    collection: str
    model: str
    revision: str
    training: str
    counts: dict[Modality, int]
    gaps: tuple[PairGap, ...]
    pictured: tuple[Pictured | str, ...]
    settings: dict[str, float]
    versions: dict[str, str]
    written: date


def gap_report(
    folder: DataFolder,
    collection: str,
    *,
    k: int = 15,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    measured: Sequence[PairGap] | None = None,
    watch: Watch = _UNHEARD,
) -> GapReport:
    """Measure a collection for its report; `measured` are its gaps where they are known by these settings.

    Raises CollectionNotFoundError, StoreError, FolderError, GapError, CancelledError.
    """
    info = folder.store.info(collection)
    found = tuple(_gaps(folder, collection, k, seed, temperature, watch) if measured is None else measured)
    pictured = []
    for place, one in enumerate(found):
        part = watch.part(0.7 + 0.3 * place / len(found), 0.7 + 0.3 * (place + 1) / len(found))
        pictured.append(_pictured(folder, collection, one, seed, part))
    return GapReport(
        collection=collection,
        model=info.made_by.model,
        revision=info.made_by.revision,
        training=info.made_by.training,
        counts=dict(info.counts),
        gaps=found,
        pictured=tuple(pictured),
        settings={"k": k, "seed": seed, "temperature": temperature},
        versions=versions(),
        written=datetime.now(UTC).date(),
    )


def _gaps(
    folder: DataFolder, collection: str, k: int, seed: int, temperature: float, watch: Watch
) -> list[PairGap]:
    if not folder.store.info(collection).total:
        return []
    columns = read_columns(folder, collection)
    tables, pair_of = gap_input(read_vectors(folder, collection, columns.ids), columns)
    part = watch.part(0, 0.7)
    return gaps(
        tables,
        pair_of,
        k=k,
        seed=seed,
        temperature=temperature,
        on_progress=part.at,
        cancelled=part.cancelled,
    )


def _pictured(folder: DataFolder, collection: str, one: PairGap, seed: int, watch: Watch) -> Pictured | str:
    """Return what draws two modalities, texts as the second, or why nothing does."""
    a, b = (one.b, one.a) if one.a == "text" else (one.a, one.b)
    try:
        pairs = read_pairs(folder, collection, a=a, b=b, seed=seed)
    except GapError as error:
        return str(error)
    places = places_of(pairs, "PCA along the gap", watch)
    notes = tuple(note for note in (*pairs.notes, places.note) if note)
    return Pictured(a, b, len(pairs), pairs.there, pairs.seed, notes, four_histograms(pairs), places)
