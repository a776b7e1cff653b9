"""The files that kept maps and columns are in: NumPy archives, written whole or not at all.

What a file belongs to, and when it is stale, is decided in `kept.py` and `storage/columns.py`.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from engine.disk import DAMAGED, read_arrays, write_arrays
from engine.storage.columns import Category, Columns
from engine.types import Projection

log = logging.getLogger(__name__)
_CATEGORIES = ("modality", "mime", "labels")


def write_projection(path: Path, projection: Projection, fitted_at: int) -> None:
    """Keep a projection, and when it was fitted in Unix seconds. Raises FolderError."""
    arrays = {name: getattr(projection, name) for name in ("places", "placed", "added", "shared")}
    about = np.array([projection.method, projection.note, str(fitted_at)])
    write_arrays(path, {**arrays, "ids": _packed(projection.ids), "about": about})


def read_projection(path: Path) -> tuple[Projection, int] | None:
    """Return a kept projection and when it was fitted; None where there is none, or a damaged one."""
    arrays = _read(path)
    if arrays is None:
        return None
    try:
        method, note, fitted_at = (str(part) for part in arrays["about"])
        # A map that an earlier version kept does not say what shares a place.
        shared = arrays.get("shared", np.full(len(arrays["places"]), -1, np.int32))
        parts = (arrays["places"], arrays["placed"], method, note, arrays["added"], shared)
        return Projection(_unpacked(arrays["ids"]), *parts), int(fitted_at)
    except (ValueError, KeyError) as error:
        _warn(path, error)
        return None


def write_columns(path: Path, version: str, columns: Columns) -> None:
    """Keep the columns of a version of a collection. Raises FolderError."""
    categories = {name: getattr(columns, name) for name in _CATEGORIES}
    values = {name: one.values for name, one in categories.items()}
    about = np.frombuffer(json.dumps([version, values]).encode(), np.uint8)
    codes = {name: one.codes for name, one in categories.items()}
    write_arrays(path, {**codes, "pair": columns.pair, "ids": _packed(columns.ids), "about": about})


def read_columns_file(path: Path, version: str) -> Columns | None:
    """Return kept columns; None where there are none, or of another version, or damaged ones."""
    arrays = _read(path)
    if arrays is None:
        return None
    try:
        kept, values = json.loads(arrays["about"].tobytes())
        if kept != version:
            return None
        values["labels"] = map(tuple, values["labels"])
        categories = {name: Category(arrays[name], tuple(values[name])) for name in _CATEGORIES}
        return Columns(_unpacked(arrays["ids"]), pair=arrays["pair"], **categories)
    except (ValueError, KeyError, TypeError) as error:
        _warn(path, error)
        return None


def _packed(ids: tuple[str, ...]) -> np.ndarray:
    """Return ids as bytes (size,) uint8: NumPy's text would take four for every letter."""
    return np.frombuffer("\n".join(ids).encode(), np.uint8)


def _unpacked(packed: np.ndarray) -> tuple[str, ...]:
    """Return the ids in bytes (size,) uint8. Raises ValueError for no text."""
    return tuple(packed.tobytes().decode().split("\n"))


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Return arrays as they were kept; None where there is no file, or a damaged one."""
    try:
        return read_arrays(path)
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        _warn(path, error)
        return None


def _warn(path: Path, error: Exception) -> None:
    log.warning("%s cannot be read and is made anew: %s", path.name, error)
