"""Flow 3: vectors to places on a map, by UMAP or PCA, fitted over all modalities at once.

Never one fit per modality: two such maps laid over each other show no gap, or any. Nothing measured
from places on a map is the gap (`gap.py` measures that). The only file that imports umap. Keeping
fitted maps is `maps.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from engine.errors import ProjectionError
from engine.types import MODALITIES, Modality, Projection, VectorTable
from engine.vectors import normalise

Method = Literal["umap", "pca"]
MIN_UMAP = 15  # below, UMAP's graph is all of the items: PCA shows as much, and cannot fail
MAX_NEIGHBOURS = 500
_PLACED_BY = 10  # nearest fitted neighbours: their median measured as good as UMAP's own transform
_BLOCK = 2_000
_EXACT_KNN = 10_000  # up to here an exact search is quicker than compiling and running NN-descent
# One fit at a time: with numba's "workqueue" threads two of them at once end the process.
_lock = threading.Lock()


class FitCancelledError(Exception):
    """Raised inside a fit that nobody wants any more."""


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
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Projection:
    """Return the places of n items, all fitted together; row i is table.ids[i] of modalities[i].

    The same settings, vectors and libraries give the same map. Below MIN_UMAP items PCA takes UMAP's
    place, and a note says so. Raises ProjectionError where there is nothing to fit, and FitCancelledError.
    """
    if not len(table):
        raise ProjectionError("There is nothing to project: the collection is empty.")
    if settings.fit_on:
        return _fit_on(table, modalities, settings, on_progress, cancelled)
    vectors = _directions(table.vectors)
    method, note = settings.method, ""
    if method == "umap" and len(table) < MIN_UMAP:
        method, note = "pca", f"PCA in place of UMAP, which needs {MIN_UMAP} items or more."
    if method == "pca":
        places = _pca(vectors, settings.dims, _axis(vectors, modalities, settings))
    else:
        places = _umap(vectors, settings, on_progress, cancelled)
    on_progress(1.0)
    return Projection(table.ids, places, np.zeros(len(table), bool), method, note)


def place(projection: Projection, fitted: VectorTable, new: VectorTable) -> Projection:
    """Return a projection with further items, each at the median of its nearest fitted neighbours.

    fitted: the vectors that the projection's fitted rows were made of. The fitted rows stay where they
    are, and the new ones are marked as placed. Raises ValueError where ids are there already.
    """
    if set(projection.ids) & set(new.ids):
        raise ValueError("some of these items are on the map already")
    base = {id_: row for row, id_ in enumerate(projection.ids) if not projection.placed[row]}
    anchors = fitted.take(id_ for id_ in fitted.ids if id_ in base)
    if not len(anchors):
        raise ValueError("none of the fitted vectors is on the map")
    xy = projection.places[[base[id_] for id_ in anchors.ids]]
    known, asked = _directions(anchors.vectors), _directions(new.vectors)
    k = min(_PLACED_BY, len(anchors))
    found = [
        np.median(xy[_nearest(asked[start : start + _BLOCK] @ known.T, k)], axis=1)
        for start in range(0, len(new), _BLOCK)
    ]
    return replace(
        projection,
        ids=(*projection.ids, *new.ids),
        places=np.concatenate([projection.places, *found]).astype(np.float32),
        placed=np.concatenate([projection.placed, np.ones(len(new), bool)]),
    )


def warm_up() -> None:
    """Compile what UMAP compiles in every process, so that nobody waits for it later."""
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    _umap(_directions(rows), ProjectionSettings(n_neighbors=5), lambda share: None, lambda: False)


def _fit_on(
    table: VectorTable,
    modalities: Sequence[Modality],
    settings: ProjectionSettings,
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> Projection:
    """Fit one modality and place the others in it, in the order of the table."""
    chosen = [id_ for id_, modality in zip(table.ids, modalities, strict=True) if modality == settings.fit_on]
    if not chosen:
        raise ProjectionError(f"There is no {settings.fit_on} to fit the map on.")
    kept = set(chosen)
    some, others = table.take(chosen), table.take(id_ for id_ in table.ids if id_ not in kept)
    alone = replace(settings, fit_on=None, gap_axis=None)
    fitted = fit(some, [settings.fit_on] * len(chosen), alone, on_progress=on_progress, cancelled=cancelled)
    return (place(fitted, some, others) if len(others) else fitted).take(table.ids)


def _umap(
    vectors: np.ndarray,
    settings: ProjectionSettings,
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> np.ndarray:
    import warnings

    from umap import UMAP

    # It misses its own search index, which only its transform would need.
    warnings.filterwarnings("ignore", message="precomputed_knn", module="umap")
    ear = _Ear(on_progress, cancelled)
    neighbours = min(settings.n_neighbors, len(vectors) - 1)
    known = (
        {"precomputed_knn": _exact_knn(vectors, neighbours, settings.metric)}
        if len(vectors) <= _EXACT_KNN
        else {}
    )
    with _lock:
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


class _Ear:
    """Listens to UMAP's progress bar as its file, and stops the fit where it is cancelled."""

    def __init__(self, on_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        self._on_progress, self._cancelled = on_progress, cancelled

    def check(self) -> None:
        if self._cancelled():
            raise FitCancelledError

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
    some = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def _pca(vectors: np.ndarray, dims: int, axis: np.ndarray | None) -> np.ndarray:
    """Return rows (n, d) on their first principal components (n, dims); an axis (d,) goes before them.

    The sign of a component is free: the largest number of each is made positive, so that maps agree.
    """
    centred = vectors - vectors.mean(0)
    first = []
    if axis is not None:
        first = [axis]
        centred = centred - np.outer(centred @ axis, axis)
    _, _, components = np.linalg.svd(_thin(centred), full_matrices=False)
    rows = [*first, *components[: dims - len(first)]]
    rows = [
        row * np.sign(row[np.argmax(np.abs(row))]) if place >= len(first) else row
        for place, row in enumerate(rows)
    ]
    places = (vectors - vectors.mean(0)) @ np.array(rows).T
    return _finite(np.pad(places, ((0, 0), (0, dims - places.shape[1]))))


def _thin(rows: np.ndarray) -> np.ndarray:
    """Return a small matrix with the same right singular vectors: (n, d) to at most (d, d)."""
    return rows if len(rows) <= rows.shape[1] else np.linalg.qr(rows, mode="r")


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
