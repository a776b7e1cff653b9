"""The folder of an embedded store on disk: who holds it, what crashed in it, what was deleted from it."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from engine.disk import folder_error
from engine.errors import StoreLockedError

_SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def own(data_dir: Path) -> Any:
    """Return the lock that makes this process the folder's only one; `release` it in the end.

    Raises StoreLockedError, which names the other process, or FolderError.
    """
    from filelock import FileLock, Timeout

    owner = data_dir / "store.owner"
    lock = FileLock(data_dir / "store.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        known = owner.read_text(encoding="utf-8", errors="replace") if owner.exists() else "unknown"
        raise StoreLockedError(data_dir, known) from None
    except OSError as error:
        raise folder_error(data_dir, error) from error
    command = " ".join(Path(part).name for part in sys.argv[:3])
    try:
        owner.write_text(f"process {os.getpid()}, {command}", encoding="utf-8")
    except OSError as error:
        lock.release()
        raise folder_error(data_dir, error) from error
    return lock


@contextmanager
def crash_marker(data_dir: Path) -> Iterator[None]:
    """Put a damaged index aside: one that crashed the process on opening would do so every time.

    The index is then made again from the ledger.
    """
    marker = data_dir / "store.opening"
    if marker.exists():
        put_aside(data_dir / "chroma")
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def put_aside(folder: Path) -> None:
    """Rename a damaged folder, so that an empty one can take its place."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.damaged-{time.time_ns()}"))


def sweep_deleted(folder: Path) -> None:
    """Remove vector folders of deleted collections, which Chroma leaves behind; run while closed."""
    database = folder / "chroma.sqlite3"
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            kept = {row[0] for row in db.execute("SELECT id FROM segments")}
    except sqlite3.Error:
        return  # opening the store will tell what is wrong
    for path in folder.iterdir():
        is_segment = path.is_dir() and _SEGMENT.fullmatch(path.name)
        if is_segment and path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
