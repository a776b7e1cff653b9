"""Fitted maps kept in the data folder: coming back is instant, and new items are placed without a fit.

A map belongs to a collection, what made its vectors, the settings and the libraries' releases. Item ids are
content hashes, so that the same ids are the same content. `projection.py` fits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ProjectionError
from engine.library import folder_error
from engine.projection import ProjectionSettings, fit, place
from engine.types import MODALITIES, Modality, Projection, Provenance, VectorTable

if TYPE_CHECKING:
    from engine.store import Store

log = logging.getLogger(__name__)
_FORMAT = 1
_LIBRARIES = ("umap-learn", "numpy", "scikit-learn", "numba")
REFIT_SHARE = 0.1  # with more than this share placed and not fitted, a new fit is advised


@dataclass(frozen=True)
class Map:
    """A projection of a collection as it is now; `modality` of every id, `fitted_at` in Unix seconds."""

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
    def wants_refit(self) -> bool:
        """Tell whether so many were placed since that a new fit would show more; not for `fit_on`."""
        return self.settings.fit_on is None and self.placed > REFIT_SHARE * len(self.projection)


class Maps:
    """The maps of one data folder; safe from several threads, as each has a file of its own."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "maps"

    def open(self, store: Store, collection: str, settings: ProjectionSettings) -> Map | None:
        """Return the kept map brought up to the collection as it is, or None where it must be fitted.

        Items that are new are placed, and kept as placed; deleted ones are gone. Raises
        CollectionNotFoundError, StoreError, FolderError.
        """
        made_by = store.info(collection).made_by
        path = self._path(collection, made_by, settings)
        kept = _read(path)
        if kept is None:
            return None
        projection, fitted_at = kept
        modality = _modalities(store, collection)
        stay = [id_ for id_ in projection.ids if id_ in modality]
        fitted = {id_ for id_, placed in zip(projection.ids, projection.placed, strict=True) if not placed}
        if not fitted & set(stay):
            return None
        new = sorted(modality.keys() - set(projection.ids))
        if new or len(stay) < len(projection):
            projection = projection.take(stay)
            if new:
                table = _vectors(store, collection)
                projection = place(projection, table, table.take(id_ for id_ in table.ids if id_ in set(new)))
            self._keep(path, projection, fitted_at)
        return Map(collection, made_by, settings, projection, modality, fitted_at)

    def fit(
        self,
        store: Store,
        collection: str,
        settings: ProjectionSettings,
        *,
        on_progress: Callable[[float], None] = lambda share: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Map:
        """Fit a map of everything in a collection, and keep it in place of an older one.

        Raises ProjectionError, projection.FitCancelledError, CollectionNotFoundError, StoreError.
        """
        made_by = store.info(collection).made_by
        modality, table = _modalities(store, collection), _vectors(store, collection)
        table = table.take(sorted(id_ for id_ in table.ids if id_ in modality))  # an ingest may be adding
        names = [modality[id_] for id_ in table.ids]
        projection = fit(table, names, settings, on_progress=on_progress, cancelled=cancelled)
        fitted_at = int(time.time())
        self._keep(self._path(collection, made_by, settings), projection, fitted_at)
        kept = {id_: modality[id_] for id_ in projection.ids}
        return Map(collection, made_by, settings, projection, kept, fitted_at)

    def forget(self, collection: str) -> None:
        """Delete the maps of a collection. Raises FolderError."""
        try:
            for path in self._folder.glob(f"{_slug(collection)}.*.npz"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self._folder, error) from error

    def _path(self, collection: str, made_by: Provenance, settings: ProjectionSettings) -> Path:
        parts = {
            "format": _FORMAT,
            "made_by": [str(made_by), made_by.revision, made_by.dtype, made_by.fingerprint],
            "settings": settings.to_dict(),
            "libraries": [version(name) for name in _LIBRARIES],
        }
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
        return self._folder / f"{_slug(collection)}.{key}.npz"

    def _keep(self, path: Path, projection: Projection, fitted_at: int) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{time.monotonic_ns()}")
            with draft.open("wb") as stream:
                np.savez(
                    stream,
                    ids=np.array(projection.ids),
                    places=projection.places,
                    placed=projection.placed,
                    about=np.array([projection.method, projection.note, str(fitted_at)]),
                )
            draft.replace(path)  # a reader never sees half a file
        except OSError as error:
            raise folder_error(self._folder, error) from error


def _read(path: Path) -> tuple[Projection, int] | None:
    """Return a kept projection and when it was fitted; None where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            method, note, fitted_at = (str(part) for part in arrays["about"])
            ids = tuple(str(id_) for id_ in arrays["ids"])
            return Projection(ids, arrays["places"], arrays["placed"], method, note), int(fitted_at)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("the map %s cannot be read and is fitted anew: %s", path.name, error)
        return None


def _modalities(store: Store, collection: str) -> dict[str, Modality]:
    """Return the modality of every item. Raises ProjectionError where there are none."""
    found = {
        id_: modality
        for modality in MODALITIES
        for page in store.id_pages(collection, modality)
        for id_ in page
    }
    if not found:
        raise ProjectionError(f"There is nothing to project: the collection {collection!r} is empty.")
    return found


def _vectors(store: Store, collection: str) -> VectorTable:
    """Return the vectors of every modality in one table."""
    tables = [store.vectors(collection, modality) for modality in MODALITIES]
    tables = [table for table in tables if len(table)]
    ids = tuple(id_ for table in tables for id_ in table.ids)
    return VectorTable(ids, np.concatenate([table.vectors for table in tables]))


def _slug(collection: str) -> str:
    """Return a collection's name (letters, digits, dashes) as part of a file's name."""
    return hashlib.sha256(collection.encode()).hexdigest()[:12]
