"""What is computed of a map's vectors: quality, gap, clusters and near duplicates, each as a task.

A result belongs to a collection, what made it, its items and the parameters; only the quality belongs to
the places of one map too, so that UMAP and PCA of the same vectors share the rest. An id stands for its
vector, as it does for a kept map (`engine/maps/kept.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING

from engine.jobs.computed import Computation
from engine.types import MODALITIES

if TYPE_CHECKING:
    from engine.analysis.clusters import Clusters
    from engine.analysis.near_duplicates import Duplicates
    from engine.evaluation.pair_gap import PairGap
    from engine.maps.drawn import DrawnMap
    from engine.maps.quality import MapQuality
    from engine.types import VectorTable
    from engine.workspace import Workspace

AT_ONCE = 3_000  # items; more are computed when somebody asks for it
PAIRS_AT_ONCE = 20_000  # items whose every pair is compared without being asked
Progress = Callable[[float], None]
Cancelled = Callable[[], bool]


def quality_of(workspace: Workspace, drawn: DrawnMap, k: int, seed: int) -> Computation:
    """Return the task of measuring how well a map keeps neighbours: a MapQuality."""

    def compute(on_progress: Progress, cancelled: Cancelled) -> MapQuality:
        from engine.maps.quality import quality

        table, kinds, places = _table(workspace, drawn), drawn.map.modality, drawn.map.projection
        return quality(table, places, kinds, k=k, seed=seed, on_progress=on_progress, cancelled=cancelled)

    key = _key(workspace, drawn, "quality", drawn.version, k, seed)
    return _task(drawn, key, "Quality of the map", AT_ONCE, compute)


def gaps_of(workspace: Workspace, drawn: DrawnMap, k: int, seed: int) -> Computation:
    """Return the task of measuring the gap of every two modalities, from the vectors: a list of PairGap."""

    def compute(on_progress: Progress, cancelled: Cancelled) -> list[PairGap]:
        from engine.evaluation.gap_matrix import gaps
        from engine.maps.gap_input import gap_input

        tables, pair_of = gap_input(_table(workspace, drawn), drawn.columns)
        return gaps(tables, pair_of, k=k, seed=seed, on_progress=on_progress, cancelled=cancelled)

    return _task(drawn, _key(workspace, drawn, "gaps", k, seed), "Modality gap", AT_ONCE, compute)


def clusters_of(workspace: Workspace, drawn: DrawnMap, min_cluster_size: int) -> Computation:
    """Return the task of finding clusters, each modality by itself: Clusters."""

    def compute(on_progress: Progress, cancelled: Cancelled) -> Clusters:
        from engine.analysis.clusters import cluster
        from engine.storage.columns import texts_of

        return cluster(
            _table(workspace, drawn),
            dict(texts_of(workspace.folder, drawn.map.collection)),
            min_cluster_size=min_cluster_size,
            modalities=drawn.map.modality,
            on_progress=on_progress,
            cancelled=cancelled,
        )

    return _task(drawn, _key(workspace, drawn, "clusters", min_cluster_size), "Clusters", AT_ONCE, compute)


def duplicates_of(
    workspace: Workspace, drawn: DrawnMap, threshold: float, *, but: Collection[str] = ()
) -> Computation:
    """Return the task of finding near duplicates, among all items `but` some: Duplicates."""
    ids = tuple(id_ for id_ in drawn.map.projection.ids if id_ not in but) if but else None

    def compute(on_progress: Progress, cancelled: Cancelled) -> Duplicates:
        from engine.analysis.near_duplicates import find
        from engine.storage.columns import read_items

        collection, ledger = drawn.map.collection, workspace.ledger
        # A shared store may hold items of another data folder, which cannot be shown or compared by worth.
        kinds = {id_: one for one in MODALITIES for id_ in ledger.ids(collection, one)}
        table = _table(workspace, drawn)
        return find(
            table.take(id_ for id_ in table.ids if id_ in kinds),
            kinds,
            lambda some: read_items(workspace.folder, collection, kinds, some),
            threshold=threshold,
            on_progress=on_progress,
            cancelled=cancelled,
        )

    key = _key(workspace, drawn, "duplicates", threshold, ids=ids)
    return _task(drawn, key, "Near duplicates", PAIRS_AT_ONCE, compute)


def _task(
    drawn: DrawnMap, key: Hashable, what: str, at_once: int, compute: Callable[[Progress, Cancelled], object]
) -> Computation:
    items = len(drawn.map.projection)
    return Computation(key, f"{what}: {drawn.map.collection}", items, items <= at_once, compute)


def _key(
    workspace: Workspace, drawn: DrawnMap, *parts: Hashable, ids: tuple[str, ...] | None = None
) -> Hashable:
    """Return what differs where a result does; `ids` are those of the map, unless others are given.

    A collection that was deleted and made again may hold other vectors under the same ids.
    """
    collection, of = drawn.map.collection, drawn.map.projection.ids if ids is None else ids
    made = workspace.store.info(collection)
    since = workspace.folder.deletions(collection)
    return (*parts, collection, made.created_at, since, str(made.made_by), len(of), hash(of))


def _table(workspace: Workspace, drawn: DrawnMap) -> VectorTable:
    """Return the vectors of what is on a map and still there, read anew: a thread has no share in caches."""
    from engine.storage.columns import read_vectors

    return read_vectors(workspace.folder, drawn.map.collection, drawn.map.projection.ids)
