"""Media files and thumbnails under the data folder, by content hash; knows nothing of vectors."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.disk import folder_error
from engine.errors import FolderError, GapscopeError, MediaError
from engine.media.formats import media_suffixes, suffix_of

if TYPE_CHECKING:
    from engine.models.base import EvidenceCodec

log = logging.getLogger(__name__)
_HASH = re.compile(r"[0-9a-f]{64}")


class Library:
    """Saves, finds and deletes media by the SHA-256 of its content."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._pins = threading.Lock()
        self._pinned: Counter[str] = Counter()
        try:
            for folder in ("media", "thumbs"):
                (data_dir / folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=data_dir):
                pass
        except OSError as error:
            raise folder_error(data_dir, error) from error

    def media_path(self, media: str, mime: str) -> Path:
        """Return where this medium lives, in the data folder. Raises UnknownFormatError."""
        return self._path("media", media, suffix_of(mime))

    def thumbnail_path(self, media: str) -> Path:
        """Return where the WebP thumbnail of this medium lives. Raises GapscopeError for no SHA-256."""
        return self._path("thumbs", media, ".webp")

    def evidence_path(self, media: str, revision: str) -> Path:
        """Return where what a reranker of this revision has read from a medium is kept.

        Raises GapscopeError for no SHA-256.
        """
        return self._path("evidence", media, f".{revision}.npz")

    def question_path(self, name: str) -> Path:
        """Return where a picture that somebody asked with is kept, by the SHA-256 of its file.

        Raises MediaError for a name that is none.
        """
        if not _HASH.fullmatch(name):
            raise MediaError(f"{name!r} is not the hash of a picture (64 hexadecimal digits).")
        return self.data_dir / "questions" / f"{name}.webp"

    def evidence(self, media: str, codec: EvidenceCodec, make: Callable[[], Any]) -> tuple[Any, bool]:
        """Return what a reranker prepared of a medium, and whether it was made just now; it is kept.

        Where it cannot be kept (a full disk) it is made again the next time.
        """
        path = self.evidence_path(media, codec.revision)
        try:
            return codec.unpack(path.read_bytes()), False
        except (OSError, ValueError):  # never made, or damaged
            prepared = make()
        try:
            path.unlink(missing_ok=True)  # what is damaged may be as long as what is right
            self._write(path, codec.pack(prepared))
        except (OSError, FolderError) as error:
            log.warning("what was read from a medium is not kept: %s", str(error))
        return prepared, True

    def save(self, media: str, mime: str, data: bytes, thumbnail: bytes) -> None:
        """Store a medium and its thumbnail (empty: none); the same content is written once.

        Raises FolderError.
        """
        self._write(self.media_path(media, mime), data)
        if thumbnail:
            self._write(self.thumbnail_path(media), thumbnail)

    def pin(self, media: str) -> None:
        """Keep `delete` from a medium until `release`: an ingest saves it before anything refers to it."""
        with self._pins:
            self._pinned[media] += 1

    def release(self, media: str) -> None:
        """Let a pinned medium be deleted again; call it once for every `pin`."""
        with self._pins:
            self._pinned[media] -= 1
            if self._pinned[media] <= 0:
                del self._pinned[media]

    def delete(self, media: str) -> None:
        """Remove a medium and its thumbnail; one that is not there is fine. Raises FolderError."""
        with self._pins:
            if self._pinned[media]:
                return
        paths = [self._path("media", media, suffix) for suffix in media_suffixes()]
        try:
            for path in [*paths, self.thumbnail_path(media), *self._evidence_of(media)]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self.data_dir, error) from error

    def _evidence_of(self, media: str) -> list[Path]:
        """Return what rerankers of any revision have read from a medium."""
        return list(self.evidence_path(media, "").parent.glob(f"{media}.*"))

    def _path(self, kind: str, media: str, suffix: str) -> Path:
        if not _HASH.fullmatch(media):
            raise GapscopeError(f"{media!r} is not the hash of a medium (64 hexadecimal digits).")
        return self.data_dir / kind / media[:1] / f"{media}{suffix}"

    def _write(self, path: Path, data: bytes) -> None:
        # A name of its own: two threads may save the same content at the same time.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            if path.exists() and path.stat().st_size == len(data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                temporary.replace(path)  # a reader never sees half a file
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self.data_dir, error) from error
