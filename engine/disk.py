"""What a disk can refuse: the words for a write that failed, and the space that is kept free."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from engine.errors import FolderError


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
