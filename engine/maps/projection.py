"""Flow 3: vectors to places on a map, by UMAP or PCA, fitted over all modalities at once.

Never one fit per modality: two such maps laid over each other show no gap, or any. Nothing measured
from places on a map is the gap (`analysis/gap.py` measures that). umap comes from `umap_kernels.py`; items
that are not fitted are placed by `placing.py`, and fitted maps kept by `kept.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypedDict, get_args

import numpy as np

from engine.analysis.copies import Copies, copies
from engine.errors import ProjectionError
from engine.maps import neighbours, umap_kernels
from engine.maps.pca import pca
from engine.maps.placing import directions, place, shared
from engine.progress import CancelledError, Watch
from engine.types import MODALITIES, Modality, Projection, VectorTable

Method = Literal["umap", "pca"]
MIN_UMAP = 15  # below, UMAP's graph is all of the items: PCA shows as much, and cannot fail
MAX_NEIGHBOURS = 500
MOST_FITTED = 100_000  # by UMAP; of more items a sample is fitted, and the others are placed in it
_LEAST_FITTED = 1_000  # of every modality in a sample, where it has so many
# Up to here exact neighbours: NN-descent is compiled in every process anew, as numba cannot keep its kernels,
# and that takes longer than comparing everything with everything.
_EXACT_KNN = 20_000
_KNN_SHARE = 0.3  # of a fit's progress: 5.6 s of 15 with 20,000 rows of 384, less with fewer
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

    The same settings, vectors and libraries give the same map. UMAP is fitted on the different vectors, each
    once however often it occurs (a hundred copies would be each other's only neighbours, and spread over the
    map); a PCA counts each as often as it occurs. Copies share a place. Below MIN_UMAP different vectors PCA
    takes UMAP's place; of more than `most` UMAP fits a sample by the seed, and the others are placed in it: a
    note says either. Raises ProjectionError where there is nothing to fit, and CancelledError.
    """
    if not len(table):
        raise ProjectionError("There is nothing to project: the collection is empty.")
    hooks: _Hooks = {"on_progress": on_progress, "cancelled": cancelled}
    if settings.fit_on:
        return _fit_on(table, modalities, settings, most, hooks)
    same = copies(table.vectors)
    if settings.method == "pca" or len(same.first) < MIN_UMAP:
        found = _fit_pca(table, modalities, settings, same)
    else:
        different = _rows(table, same.first) if same.any else table
        kinds = [modalities[row] for row in same.first]
        if len(different) > most:
            what = "different vectors" if same.any else "items"
            found = _fit_sample(different, kinds, settings, most, hooks, what)
        else:
            places = _umap(directions(different.vectors), settings, **hooks)
            found = Projection(different.ids, places, np.zeros(len(different), bool), "umap")
    on_progress(1.0)
    arrays = {name: getattr(found, name)[same.of] for name in ("places", "placed", "added")}
    return replace(found, ids=table.ids, shared=shared(same), **arrays)


def _fit_pca(
    table: VectorTable, modalities: Sequence[Modality], settings: ProjectionSettings, same: Copies
) -> Projection:
    """Return the places of the different vectors by a PCA of all rows, in which one counts as often as it is.

    A note says where that was not asked for.
    """
    note = ""
    if settings.method == "umap":
        what = "items" if not same.any else "different vectors"
        note = f"PCA in place of UMAP, which needs {MIN_UMAP} {what} or more."
    vectors = directions(table.vectors)
    places = _finite(pca(vectors, settings.dims, _axis(vectors, modalities, settings)))[same.first]
    return Projection(
        tuple(table.ids[row] for row in same.first), places, np.zeros(len(places), bool), "pca", note
    )


class _Hooks(TypedDict):
    on_progress: Callable[[float], None]
    cancelled: Callable[[], bool]


def warm_up(items: int = MOST_FITTED) -> None:
    """Load UMAP, and compile what a map of so many items needs and is not kept: nobody waits for it later."""
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    vectors, settings = directions(rows), ProjectionSettings(n_neighbors=5)
    for exact in (True, False) if items > _EXACT_KNN else (True,):
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
    what: str,
) -> Projection:
    """Fit a sample and place the others in it, in the order of the table."""
    rows = _sample(np.array(modalities), most, settings.seed)
    inside = np.zeros(len(table), bool)
    inside[rows] = True
    some, others = _rows(table, np.flatnonzero(inside)), _rows(table, np.flatnonzero(~inside))
    first, then = _halves(hooks)
    fitted = fit(some, [modalities[row] for row in rows], settings, most=len(some), **first)
    note = (
        f"UMAP was fitted on {len(some):,} of {len(table):,} {what}, drawn by the seed; the others were "
        "placed at their nearest fitted neighbours."
    )
    return replace(place(fitted, some, others, **then).take(table.ids), note=note)


def _sample(names: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return sorted rows, about `most` int64, of names (n,) str: of each modality its share.

    But not so few of any that it is lost.
    """
    rng, chosen = np.random.default_rng(seed), []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        wanted = max(round(most * len(rows) / len(names)), min(_LEAST_FITTED, most // 10))
        chosen.append(rng.choice(rows, min(wanted, len(rows)), replace=False))
    return np.sort(np.concatenate(chosen))


def _rows(table: VectorTable, rows: np.ndarray) -> VectorTable:
    """Return some rows (m,) int64 of a table, in their order."""
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
    """Return places (n, dims) float32 of unit rows (n, d) float32.

    By exact neighbours or NN-descent's, which follows from n where it is not said.
    """
    import warnings

    ear = _Ear(on_progress, cancelled)
    k = min(settings.n_neighbors, len(vectors) - 1)
    known: dict[str, Any] = {"force_approximation_algorithm": True}
    if exact or (exact is None and len(vectors) <= _EXACT_KNN):
        watch = Watch(on_progress, cancelled, high=_KNN_SHARE)
        known = {"precomputed_knn": (*neighbours.exact(vectors, k, settings.metric, watch), None)}
        ear.done = _KNN_SHARE
    while not _lock.acquire(timeout=0.5):
        ear.check()
    try:
        ear.check()
        umap = umap_kernels.load()
        # It misses its own search index, which only its transform would need.
        warnings.filterwarnings("ignore", message="precomputed_knn", module="umap")
        model = umap(
            n_components=settings.dims,
            n_neighbors=k,
            min_dist=settings.min_dist,
            metric=settings.metric,
            random_state=settings.seed,
            n_jobs=1,  # a seed allows no more; said here, UMAP does not warn of it
            tqdm_kwds={"disable": False, "file": ear, "mininterval": 0.2, "bar_format": "{n}/{total}"},
            **known,
        )
        with _bar_let_go():
            return _finite(model.fit_transform(vectors))
    finally:
        umap_kernels.compiled()
        _lock.release()


@contextmanager
def _bar_let_go() -> Iterator[None]:
    """Give tqdm's lock back where a cancel leaves its bar: its refresh does not where writing raises.

    Every bar of the process would wait for it, also the one that Sentence Transformers makes for a question.
    """
    from tqdm import tqdm

    try:
        yield
    except CancelledError:
        with suppress(AssertionError, RuntimeError):  # it was not held
            tqdm.get_lock().release()
        raise


class _Ear:
    """Hears, as the file of UMAP's progress bar, how far the fit is.

    Stops one that is cancelled; `done` is the share of the whole that is done before the fit.
    """

    def __init__(self, on_progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        self._on_progress, self._cancelled = on_progress, cancelled
        self.done = 0.0

    def check(self) -> None:
        if self._cancelled():
            raise CancelledError

    def write(self, text: str) -> None:
        self.check()
        if match := re.search(r"(\d+)/(\d+)", text):
            epoch, epochs = int(match[1]), max(1, int(match[2]))
            self._on_progress(self.done + (1 - self.done) * epoch / epochs)
            if epoch:
                umap_kernels.compiled()

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""


def _axis(
    vectors: np.ndarray, modalities: Sequence[Modality], settings: ProjectionSettings
) -> np.ndarray | None:
    """Return the unit vector (d,) float32 between two centroids of rows (n, d) float32, if asked for.

    Raises ProjectionError where there is none.
    """
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


def _finite(places: np.ndarray) -> np.ndarray:
    """Return places (n, dims) as float32. Raises ProjectionError where a fit went astray."""
    places = np.asarray(places, np.float32)
    if not np.isfinite(places).all():
        raise ProjectionError(
            "The fit gave places that are not numbers: try another seed or more n_neighbors."
        )
    return places
