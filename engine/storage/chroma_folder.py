"""The folder of an embedded store on disk: who holds it, whether it opens, what was deleted from it."""

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
from typing import TYPE_CHECKING, Any

from engine.disk import folder_error
from engine.errors import StoreFailedError, StoreLockedError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_READS = 1_600_000  # rows that looking for damage may pass over: each look counts from the first row


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
        _put_aside(data_dir / "chroma")
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def _put_aside(folder: Path) -> None:
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


def open_folder(folder: Path) -> ClientAPI:
    """Open an embedded Chroma; a damaged one is put aside, to be made again from the ledger.

    Raises StoreFailedError where not even an empty one opens.
    """
    client = _open_whole(folder)
    if client is None:
        _put_aside(folder)
        client = _open_whole(folder)
    if client is None:
        raise StoreFailedError(str(folder), "an empty one cannot be opened; is the disk full?")
    return client


def _open_whole(folder: Path) -> ClientAPI | None:
    """Open an embedded Chroma, or return None where it is damaged."""
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.errors import InternalError

    client = None
    try:
        client = chromadb.PersistentClient(
            path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        for collection in client.list_collections():
            _touch(collection)
    except InternalError:
        if client is not None:
            client.close()
        # Chroma would hand its half-started system of this path to the next client.
        SharedSystemClient._identifier_to_system.pop(str(folder), None)
        return None
    return client


def _touch(collection: Collection) -> None:
    """Load the index and read vectors spread over it: a file that was lost or cut shows here."""
    total = collection.count()
    reads = max(3, min(16, _READS // max(1, total)))
    for offset in sorted({total * part // reads for part in range(reads)}) if total else ():
        collection.get(limit=1, offset=offset, include=["embeddings"])
