"""Files of vectors written by other means than the engine's own, good ones and bad ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import (
    VectorFileError,
)
from engine.vector_files.rows import VectorRow
from engine.vector_files.table import VectorFile
from tests.helpers.data import unit_table

FORMATS = (".parquet", ".npz")


def vectors(count: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def columns(count: int = 3, **changed: object) -> dict[str, object]:
    """Return the columns of a good file, some changed, those of None left out."""
    good = {"id": [f"row {n}" for n in range(count)], "vector": vectors(count), "modality": ["text"] * count}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def is_wide(value: object) -> bool:
    """Tell whether a column is of lists."""
    return any(isinstance(one, list | np.ndarray) for one in value)


def save(path: Path, given: dict[str, object]) -> Path:
    """Write columns as they are into a Parquet or NPZ, not by the engine's own writers."""
    if path.suffix == ".npz":
        np.savez(path, **{name: np.array(value) for name, value in given.items()})
        return path
    arrays = {
        name: pa.array([None if row is None else list(row) for row in value] if is_wide(value) else value)
        for name, value in given.items()
    }
    pq.write_table(pa.table(arrays), path)
    return path


def refused(path: Path, **options: object) -> str:
    with pytest.raises(VectorFileError) as caught:
        VectorFile(path).check(**options)
    assert str(caught.value).startswith(path.name)
    return str(caught.value)


def rows_of(path: Path) -> tuple[list[VectorRow], np.ndarray]:
    pages = list(VectorFile(path).batches())
    return [row for page in pages for row in page.rows], np.concatenate([page.vectors for page in pages])


def vector_file(count: int = 6, **changed: object) -> io.BytesIO:
    """Return an NPZ of vectors as a browser uploads it, some arrays changed, those of None left out."""
    out = io.BytesIO()
    good = {
        "id": np.array([f"row {n}" for n in range(count)], np.str_),
        "vector": unit_table(count).vectors,
        "modality": np.array(["text", "image"] * (count // 2), np.str_),
    }
    np.savez(out, **{name: one for name, one in {**good, **changed}.items() if one is not None})
    out.seek(0)
    return out


NAN = np.full((6, 8), np.nan, np.float32)


TWICE = [f"row {n}" for n in (0, 1, 2, 3, 0, 1)]
