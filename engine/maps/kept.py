"""Fitted maps kept in the data folder: coming back is instant, and new items are placed without a fit.

A map belongs to a collection, what made its vectors, the settings and the libraries' releases. The vector of
an id changes only where it was deleted in between: it is off the map then, and new when it comes back.
`projection.py` fits, `files.py` writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from engine.disk import folder_error
from engine.errors import FolderError
from engine.maps.files import read_columns_file, read_projection, write_columns, write_projection
from engine.maps.placing import place
from engine.maps.projection import ProjectionSettings, fit
from engine.storage.columns import Columns, last_change, read_columns, read_vectors
from engine.storage.data_folder import DataFolder
from engine.types import Modality, Projection, Provenance, VectorTable

log = logging.getLogger(__name__)
# Not for every change of how a map is fitted: a kept one stays a true picture of its vectors. (Since exact
# neighbours up to 20,000 items a new fit of more than 4,096 differs from a kept one as another seed's would.)
_FORMAT = 2
_FORMAT_UMAP = 3  # before, UMAP spread the copies of a vector over the map, which was no true picture
_LIBRARIES = ("umap-learn", "numpy", "scikit-learn", "numba")
REFIT_SHARE = 0.1  # with more than this share added since the fit, a new one is advised


@dataclass(frozen=True)
class Map:
    """A projection of a collection as it is now, its rows in the order of the collection's columns.

    `modality` of every id; `fitted_at` in Unix seconds.
    """

    collection: str
    made_by: Provenance
    settings: ProjectionSettings
    projection: Projection
    modality: Mapping[str, Modality] = field(repr=False)
    fitted_at: int

    @property
    def placed(self) -> int:
        """Return how many items were placed among the fitted ones."""
        return int(self.projection.placed.sum())

    @property
    def added(self) -> int:
        """Return how many of the placed ones have come since the fit."""
        return int(self.projection.added.sum())

    @property
    def wants_refit(self) -> bool:
        """Tell whether so many were added since that a new fit would show more; not for `fit_on`."""
        return self.settings.fit_on is None and self.added > REFIT_SHARE * len(self.projection)


@dataclass(frozen=True)
class MapContent:
    """What a map is made of: a collection as it was when this was read, and what made its vectors."""

    folder: DataFolder = field(repr=False)
    collection: str
    made_by: Provenance
    columns: Columns = field(repr=False)

    def vectors(self, ids: Sequence[str] | None = None) -> VectorTable:
        """Return the vectors of some items, or of all, less those that are gone: see `read_vectors`."""
        return read_vectors(self.folder, self.collection, self.columns.ids if ids is None else ids)


class Maps:
    """The maps of one data folder; safe from several threads, as each has a file of its own."""

    def __init__(self, data_folder: DataFolder) -> None:
        self._data = data_folder
        self._folder = data_folder.settings.data_dir / "maps"
        # One for each file: what follows the collection must not be written over a newer fit.
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

    def content_of(self, collection: str) -> MapContent:
        """Return a collection as maps take it; raises as `columns_of` does."""
        made_by = self._data.store.info(collection).made_by
        return MapContent(self._data, collection, made_by, self.columns_of(collection))

    def columns_of(self, collection: str) -> Columns:
        """Return the columns of a collection as it is now, as they were kept where nothing has changed.

        Raises CollectionNotFoundError, StoreError, FolderError, and ProjectionError where it is empty.
        """
        if self._data.store.is_shared:  # what another process changes there does not always show in it
            return read_columns(self._data, collection)
        version, path = last_change(self._data, collection), self._columns_path(collection)
        kept = read_columns_file(path, version)
        if kept is None:
            kept = read_columns(self._data, collection)
            try:
                write_columns(path, version, kept)
            except FolderError as error:  # a full disk: they are read again the next time
                log.warning("the columns of %s are not kept: %s", collection, error)
        return kept

    def open(self, content: MapContent, settings: ProjectionSettings) -> Map | None:
        """Return the kept map brought up to the collection as it is, or None where it must be fitted.

        Items that are new are placed, and kept as added; deleted ones are gone. Raises StoreError,
        FolderError.
        """
        path = self._path(content, settings)
        with self._locks[path]:
            kept = read_projection(path)
            if kept is None:
                return None
            projection, fitted_at = kept
            if projection.ids != content.columns.ids:
                followed = _followed(projection, content)
                if followed is None:
                    return None
                projection = followed
                write_projection(path, projection, fitted_at)
        return _map(content, settings, projection, fitted_at)

    def fit(
        self,
        content: MapContent,
        settings: ProjectionSettings,
        *,
        on_progress: Callable[[float], None] = lambda share: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Map:
        """Fit a map of everything in a collection, and keep it in place of an older one.

        Raises ProjectionError, CancelledError, StoreError.
        """
        columns, table = content.columns, content.vectors()  # in the order of the columns
        names = _modalities(columns)
        kinds = [names[id_] for id_ in table.ids]
        projection = fit(table, kinds, settings, on_progress=on_progress, cancelled=cancelled)
        fitted_at = int(time.time())
        path = self._path(content, settings)
        with self._locks[path]:
            write_projection(path, projection, fitted_at)
        return _map(content, settings, projection, fitted_at)

    def drop_items(self, collection: str, ids: Iterable[str]) -> None:
        """Take deleted items off the kept maps: an import may bring one back with another vector.

        Raises FolderError.
        """
        gone = set(ids)
        for path in self._folder.glob(f"{_slug(collection)}.*.npz"):
            if path == self._columns_path(collection):
                continue
            with self._locks[path]:
                kept = read_projection(path)
                if kept is not None and not gone.isdisjoint(kept[0].ids):
                    self._keep_without(gone, path, *kept)

    def _keep_without(self, gone: set[str], path: Path, projection: Projection, fitted_at: int) -> None:
        left = [id_ for id_ in projection.ids if id_ not in gone]
        try:
            if left:
                write_projection(path, projection.take(left), fitted_at)
                return
        except FolderError as error:  # a full disk must not keep anybody from deleting
            log.warning("the map %s is forgotten: %s", path.name, error)
        path.unlink(missing_ok=True)

    def forget(self, collection: str) -> None:
        """Delete the maps and columns of a collection. Raises FolderError."""
        try:
            for path in self._folder.glob(f"{_slug(collection)}.*.npz"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self._folder, error) from error

    def _columns_path(self, collection: str) -> Path:
        return self._folder / f"{_slug(collection)}.columns.npz"

    def _path(self, content: MapContent, settings: ProjectionSettings) -> Path:
        made_by = content.made_by
        parts = {
            "format": _FORMAT if settings.method == "pca" else _FORMAT_UMAP,
            "made_by": [str(made_by), made_by.revision, made_by.dtype, made_by.fingerprint],
            "settings": settings.to_dict(),
            "libraries": [version(name) for name in _LIBRARIES],
        }
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
        return self._folder / f"{_slug(content.collection)}.{key}.npz"


def _followed(projection: Projection, content: MapContent) -> Projection | None:
    """Return a projection of what there is now, or None where nothing of what was fitted is left."""
    there, known = set(content.columns.ids), set(projection.ids)
    if not any(id_ in there for id_ in projection.fitted_ids):
        return None
    projection = projection.take(id_ for id_ in projection.ids if id_ in there)
    new = [id_ for id_ in content.columns.ids if id_ not in known]
    if new:
        fitted, others = content.vectors(projection.fitted_ids), content.vectors(new)
        if not len(fitted):  # it went meanwhile
            return None
        projection = place(projection, fitted, others, added=True)
    known = set(projection.ids)
    return projection.take(id_ for id_ in content.columns.ids if id_ in known)


def _map(content: MapContent, settings: ProjectionSettings, projection: Projection, fitted_at: int) -> Map:
    modality = _modalities(content.columns)
    if len(projection) < len(modality):  # some went while it was fitted
        modality = {id_: modality[id_] for id_ in projection.ids}
    return Map(content.collection, content.made_by, settings, projection, modality, fitted_at)


def _modalities(columns: Columns) -> dict[str, Modality]:
    values = columns.modality.values
    return {id_: values[code] for id_, code in zip(columns.ids, columns.modality.codes.tolist(), strict=True)}


def _slug(collection: str) -> str:
    """Return a collection's name (letters, digits, dashes) as part of a file's name."""
    return hashlib.sha256(collection.encode()).hexdigest()[:12]
