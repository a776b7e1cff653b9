"""What a disk can refuse: the words for it, the space kept free, and archives written whole or not at all."""

from __future__ import annotations

import errno
import shutil
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from engine.errors import FolderError

# What NumPy raises for a file that is no archive, or half of one; FileNotFoundError is among them.
DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile)


def folder_error(path: Path, error: OSError) -> FolderError:
    """Turn an OSError of a write into the sentence that says which trouble it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(path, "is on a full disk", "Free some space, then try again.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return FolderError(path, "cannot be written", "Give it write permission, or set GAPSCOPE_DATA_DIR.")
    problem = f"cannot be used ({error.strerror})"
    return FolderError(path, problem, "Set GAPSCOPE_DATA_DIR to a folder that can be written.")


def check_space(folder: Path, *, min_free_bytes: int) -> None:
    """Raise FolderError while the disk has less free than wanted: Chroma reports no failed write."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise folder_error(folder, error) from error
    if free < min_free_bytes:
        raise FolderError(
            folder,
            f"is on a disk with only {free / 1e6:,.0f} MB free; {min_free_bytes / 1e6:,.0f} MB are kept "
            f"free (setting GAPSCOPE_MIN_FREE_DISK_MB)",
            "Free some space, then try again: what was stored is kept.",
        )


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep named arrays, any shape (n, ...) and dtype but object, whole or not at all. Raises FolderError."""
    draft = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        draft.replace(path)  # a reader never sees half a file
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise folder_error(path.parent, error) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return arrays as they were kept, by name, any shape (n, ...) and dtype. Raises what DAMAGED lists."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
