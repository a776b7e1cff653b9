"""Flow 3: vectors to places on a map, by UMAP or PCA, fitted over all modalities at once.

Never one fit per modality: two such maps laid over each other show no gap, or any. Nothing measured
from places on a map is the gap (`analysis/gap.py` measures that). The only file that imports umap. Keeping
fitted maps is `kept.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypedDict, get_args

import numpy as np

from engine.errors import ProjectionError
from engine.progress import CancelledError
from engine.types import MODALITIES, Modality, Projection, VectorTable
from engine.vectors import normalise

Method = Literal["umap", "pca"]
MIN_UMAP = 15  # below, UMAP's graph is all of the items: PCA shows as much, and cannot fail
MAX_NEIGHBOURS = 500
MOST_FITTED = 100_000  # by UMAP; of more items a sample is fitted, and the others are placed in it
_LEAST_FITTED = 1_000  # of every modality in a sample, where it has so many
_PLACED_BY = 10  # nearest fitted neighbours: their median measured as good as UMAP's own transform
_PLACE_PAIRS = 10_000_000_000  # compared at most while placing: minutes on two cores
_BLOCK, _QR_BLOCK = 2_000, 20_000
_EXACT_KNN = 4_096  # as UMAP's own: below, an exact search is quicker than NN-descent
# One fit at a time: with numba's "workqueue" threads two of them at once end the process.
_lock = threading.Lock()


@dataclass(frozen=True)
class ProjectionSettings:
    """How to fit a map, in UMAP's own words; `dims` is 2 or 3.

    `fit_on` fits one modality alone and places the others among it. `gap_axis` names two modalities: the
    first axis of a PCA is then the line between their centroids. Raises ProjectionError.
    """

    method: Method = "umap"
    dims: int = 2
    n_neighbors: int = 15
    min_dist: float = 0.1
    metric: str = "cosine"
    seed: int = 42
    fit_on: Modality | None = None
    gap_axis: tuple[Modality, Modality] | None = None

    def __post_init__(self) -> None:
        checks = (
            ("method", self.method, self.method in get_args(Method), "umap or pca"),
            ("dims", self.dims, self.dims in (2, 3), "2 or 3"),
            (
                "n_neighbors",
                self.n_neighbors,
                2 <= self.n_neighbors <= MAX_NEIGHBOURS,
                f"2 to {MAX_NEIGHBOURS}",
            ),
            ("min_dist", self.min_dist, 0 <= self.min_dist <= 1, "0 to 1"),
            ("metric", self.metric, self.metric in ("cosine", "euclidean"), "cosine or euclidean"),
            ("seed", self.seed, 0 <= self.seed < 2**32, "0 to 4,294,967,295"),
            ("fit_on", self.fit_on, self.fit_on in (None, *MODALITIES), f"one of {', '.join(MODALITIES)}"),
        )
        for name, value, allowed, wanted in checks:
            if not allowed:
                raise ProjectionError(f"{name} is {value!r}; it must be {wanted}.")
        if self.gap_axis and self.method != "pca":
            raise ProjectionError("Only a PCA has an axis that can be set to the gap: choose method pca.")
        if self.gap_axis and (len(set(self.gap_axis)) != 2 or not set(self.gap_axis) <= set(MODALITIES)):
            raise ProjectionError(f"The gap axis lies between two of {', '.join(MODALITIES)}.")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ProjectionSettings:
        """Return the settings that `to_dict` wrote. Raises TypeError, ProjectionError."""
        axis = data["gap_axis"]
        return cls(**{**data, "gap_axis": tuple(axis) if axis else None})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON takes them."""
        return asdict(self)


def fit(
    table: VectorTable,
    modalities: Sequence[Modality],
    settings: ProjectionSettings,
    *,
    most: int = MOST_FITTED,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Projection:
    """Return the places of n items, all fitted together; row i is table.ids[i] of modalities[i].

    The same settings, vectors and libraries give the same map. Below MIN_UMAP items PCA takes UMAP's
    place; of more than `most` UMAP fits a sample by the seed, and the others are placed in it: a note says
    either. Raises ProjectionError where there is nothing to fit, and CancelledError.
    """
    if not len(table):
        raise ProjectionError("There is nothing to project: the collection is empty.")
    hooks: _Hooks = {"on_progress": on_progress, "cancelled": cancelled}
    if settings.fit_on:
        return _fit_on(table, modalities, settings, most, hooks)
    method, note = settings.method, ""
    if method == "umap" and len(table) > most:
        return _fit_sample(table, modalities, settings, most, hooks)
    if method == "umap" and len(table) < MIN_UMAP:
        method, note = "pca", f"PCA in place of UMAP, which needs {MIN_UMAP} items or more."
    vectors = _directions(table.vectors)
    if method == "pca":
        places = _pca(vectors, settings.dims, _axis(vectors, modalities, settings))
    else:
        places = _umap(vectors, settings, **hooks)
    on_progress(1.0)
    return Projection(table.ids, places, np.zeros(len(table), bool), method, note)


class _Hooks(TypedDict):
    on_progress: Callable[[float], None]
    cancelled: Callable[[], bool]


def place(
    projection: Projection,
    fitted: VectorTable,
    new: VectorTable,
    *,
    added: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Projection:
    """Return a projection with further items, each at the median of its nearest fitted neighbours.

    fitted: the vectors that the projection's fitted rows were made of; where comparing all of them would
    take too long, as many as is affordable are drawn. The fitted rows stay where they are, and the new ones
    are marked as placed, and as `added` where they came after the fit. Raises ValueError where ids are
    there already, and CancelledError.
    """
    if set(projection.ids) & set(new.ids):
        raise ValueError("some of these items are on the map already")
    base = {id_: row for row, id_ in enumerate(projection.ids) if not projection.placed[row]}
    anchors = np.array([row for row, id_ in enumerate(fitted.ids) if id_ in base], np.int64)
    if not len(anchors):
        raise ValueError("none of the fitted vectors is on the map")
    anchors = _affordable(anchors, len(new))
    xy = projection.places[[base[fitted.ids[row]] for row in anchors]]
    known, found = _directions(fitted.vectors[anchors]), []
    for start in range(0, len(new), _BLOCK):
        if cancelled():
            raise CancelledError
        on_progress(start / len(new))
        asked = _directions(new.vectors[start : start + _BLOCK])
        found.append(np.median(xy[_nearest(asked @ known.T, min(_PLACED_BY, len(anchors)))], axis=1))
    return replace(
        projection,
        ids=(*projection.ids, *new.ids),
        places=np.concatenate([projection.places, *found]).astype(np.float32),
        placed=np.concatenate([projection.placed, np.ones(len(new), bool)]),
        added=np.concatenate([projection.added, np.full(len(new), added)]),
    )


def _affordable(anchors: np.ndarray, asked: int) -> np.ndarray:
    """Return so many of the anchors, drawn at random, that asking each one is affordable."""
    room = max(_LEAST_FITTED, _PLACE_PAIRS // max(1, asked))
    if len(anchors) <= room:
        return anchors
    return np.sort(np.random.default_rng(0).choice(anchors, room, replace=False))


def warm_up() -> None:
    """Compile what UMAP compiles in every process, NN-descent too, so that nobody waits for it later."""
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    vectors, settings = _directions(rows), ProjectionSettings(n_neighbors=5)
    for exact in (True, False):
        _umap(vectors, settings, lambda share: None, lambda: False, exact=exact)


def _fit_on(
    table: VectorTable,
    modalities: Sequence[Modality],
    settings: ProjectionSettings,
    most: int,
    hooks: _Hooks,
) -> Projection:
    """Fit one modality and place the others in it, in the order of the table."""
    kind_of = dict(zip(table.ids, modalities, strict=True))
    chosen = [id_ for id_ in table.ids if kind_of[id_] == settings.fit_on]
    if not chosen:
        raise ProjectionError(f"There is no {settings.fit_on} to fit the map on.")
    kept = set(chosen)
    some, others = table.take(chosen), table.take(id_ for id_ in table.ids if id_ not in kept)
    alone = replace(settings, fit_on=None, gap_axis=None)
    first, then = _halves(hooks) if len(others) else (hooks, hooks)
    fitted = fit(some, [kind_of[id_] for id_ in chosen], alone, most=most, **first)
    return (place(fitted, some, others, **then) if len(others) else fitted).take(table.ids)


def _fit_sample(
    table: VectorTable,
    modalities: Sequence[Modality],
    settings: ProjectionSettings,
    most: int,
    hooks: _Hooks,
) -> Projection:
    """Fit a sample and place the others in it, in the order of the table."""
    rows = _sample(np.array(modalities), most, settings.seed)
    inside = np.zeros(len(table), bool)
    inside[rows] = True
    some, others = _rows(table, np.flatnonzero(inside)), _rows(table, np.flatnonzero(~inside))
    first, then = _halves(hooks)
    fitted = fit(some, [modalities[row] for row in rows], settings, most=len(some), **first)
    note = (
        f"UMAP was fitted on {len(some):,} of {len(table):,} items, drawn by the seed; the others were "
        "placed at their nearest fitted neighbours."
    )
    return replace(place(fitted, some, others, **then).take(table.ids), note=note)


def _sample(names: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return sorted rows, about `most`: of each modality its share, but not so few that it is lost."""
    rng, chosen = np.random.default_rng(seed), []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        wanted = max(round(most * len(rows) / len(names)), min(_LEAST_FITTED, most // 10))
        chosen.append(rng.choice(rows, min(wanted, len(rows)), replace=False))
    return np.sort(np.concatenate(chosen))


def _rows(table: VectorTable, rows: np.ndarray) -> VectorTable:
    return VectorTable(tuple(table.ids[row] for row in rows), table.vectors[rows])


def _halves(hooks: _Hooks) -> tuple[_Hooks, _Hooks]:
    """Return the hooks of a first and a second half of the work."""
    tell = hooks["on_progress"]
    return (
        {**hooks, "on_progress": lambda share: tell(share / 2)},
        {**hooks, "on_progress": lambda share: tell(0.5 + share / 2)},
    )


def _umap(
    vectors: np.ndarray,
    settings: ProjectionSettings,
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
    *,
    exact: bool | None = None,
) -> np.ndarray:
    """Return places; exact neighbours, or NN-descent's: by how many there are where it is not said."""
    import warnings

    from umap import UMAP

    # It misses its own search index, which only its transform would need.
    warnings.filterwarnings("ignore", message="precomputed_knn", module="umap")
    ear = _Ear(on_progress, cancelled)
    neighbours = min(settings.n_neighbors, len(vectors) - 1)
    known: dict[str, Any] = {"force_approximation_algorithm": True}
    if exact or (exact is None and len(vectors) <= _EXACT_KNN):
        known = {"precomputed_knn": _exact_knn(vectors, neighbours, settings.metric)}
    while not _lock.acquire(timeout=0.5):
        ear.check()
    try:
        ear.check()
        model = UMAP(
            n_components=settings.dims,
            n_neighbors=neighbours,
            min_dist=settings.min_dist,
            metric=settings.metric,
            random_state=settings.seed,
            n_jobs=1,  # a seed allows no more; said here, UMAP does not warn of it
            tqdm_kwds={"disable": False, "file": ear, "mininterval": 0.2, "bar_format": "{n}/{total}"},
            **known,
        )
        return _finite(model.fit_transform(vectors))
    finally:
        _lock.release()


class _Ear:
    """Listens to UMAP's progress bar as its file, and stops the fit where it is cancelled."""

    def __init__(self, on_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        self._on_progress, self._cancelled = on_progress, cancelled

    def check(self) -> None:
        if self._cancelled():
            raise CancelledError

    def write(self, text: str) -> None:
        self.check()
        if match := re.search(r"(\d+)/(\d+)", text):
            self._on_progress(int(match[1]) / max(1, int(match[2])))

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""


def _exact_knn(vectors: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray, None]:
    """Return the k nearest of every row with their distances, itself first, as UMAP wants them."""
    rows, distances = [], []
    squares = (vectors**2).sum(1)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        scores = block @ vectors.T
        if metric == "euclidean":
            scores = -np.sqrt(np.maximum(0, squares[start : start + _BLOCK, None] + squares - 2 * scores))
        own = np.arange(len(block))
        scores[own, own + start] = np.inf
        nearest = _nearest(scores, k)
        found = np.take_along_axis(scores, nearest, 1)
        found[:, 0] = 1.0 if metric == "cosine" else 0.0  # its own
        rows.append(nearest)
        distances.append(np.maximum(0, 1 - found) if metric == "cosine" else -found)
    return np.concatenate(rows), np.concatenate(distances).astype(np.float32), None


def _nearest(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k highest scores of every row, highest first: (n, m) to (n, k)."""
    kept = scores.shape[1] - min(k, scores.shape[1])
    some = np.argpartition(scores, kept, axis=1)[:, kept:]
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def _pca(vectors: np.ndarray, dims: int, axis: np.ndarray | None) -> np.ndarray:
    """Return rows (n, d) on their first principal components (n, dims); an axis (d,) goes before them.

    The sign of a component is free: the largest number of each is made positive, so that maps agree.
    """
    mean, first = vectors.mean(0), [] if axis is None else [axis]
    _, _, components = np.linalg.svd(_thin(vectors, mean, axis), full_matrices=False)
    rows = [*first, *components[: dims - len(first)]]
    rows = [
        row * np.sign(row[np.argmax(np.abs(row))]) if place >= len(first) else row
        for place, row in enumerate(rows)
    ]
    axes = np.array(rows).T
    places = np.concatenate([(block - mean) @ axes for block in _blocks(vectors)])
    return _finite(np.pad(places, ((0, 0), (0, dims - places.shape[1]))))


def _thin(vectors: np.ndarray, mean: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """Return a matrix of few rows with the right singular vectors of the centred rows (n, d).

    What lies along the axis (d,) is taken out. Block by block, as a million rows are not to be copied.
    """
    small = vectors[:0]
    for block in _blocks(vectors):
        rows = block - mean
        rows = rows if axis is None else rows - np.outer(rows @ axis, axis)
        small = np.concatenate([small, rows])
        small = small if len(small) <= small.shape[1] else np.asarray(np.linalg.qr(small, mode="r"))
    return small


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _QR_BLOCK] for start in range(0, len(rows), _QR_BLOCK))


def _axis(
    vectors: np.ndarray, modalities: Sequence[Modality], settings: ProjectionSettings
) -> np.ndarray | None:
    if settings.gap_axis is None:
        return None
    names = np.array(modalities)
    some = [vectors[names == name] for name in settings.gap_axis]
    if not all(map(len, some)):
        raise ProjectionError(f"There is no gap between {' and '.join(settings.gap_axis)}: one has no items.")
    line = some[0].mean(0) - some[1].mean(0)
    length = np.linalg.norm(line)
    if length < 1e-9:
        raise ProjectionError("The centroids are in the same place: there is no gap axis.")
    return line / length


def _directions(vectors: np.ndarray) -> np.ndarray:
    try:
        return normalise(vectors)
    except ValueError as error:
        raise ProjectionError(f"These vectors cannot be projected: {error}.") from error


def _finite(places: np.ndarray) -> np.ndarray:
    """Return places as float32. Raises ProjectionError where a fit went astray."""
    places = np.asarray(places, np.float32)
    if not np.isfinite(places).all():
        raise ProjectionError(
            "The fit gave places that are no numbers: try another seed or more n_neighbors."
        )
    return places
