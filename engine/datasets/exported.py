"""Data sets that were written to be fetched: a zip or a Parquet per collection, kept in the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.datasets.export import MediaExport, export_media
from engine.disk import check_space, folder_error
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder

FORMS = (".zip", ".parquet")


@dataclass(frozen=True)
class Exported:
    """A file that was written: where, how large in bytes, and when in Unix seconds."""

    path: Path
    size_bytes: int
    written_at: float


class Exports:
    """The folder `exports` of a data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._path = folder.settings.data_dir / "exports"

    def write(self, collection: str, form: str, **hooks: Any) -> MediaExport | None:
        """Write a collection in one of FORMS in place of what was there; as `export.export_media`."""
        settings = self._folder.settings
        check_space(settings.data_dir, min_free_bytes=int(settings.min_free_disk_mb * 1e6))
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            for draft in self._path.glob(f".{collection}{form}.*"):  # of a process that was killed
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(settings.data_dir, error) from error
        return export_media(self._folder, collection, self._at(collection, form), **hooks)

    def of(self, collection: str) -> list[Exported]:
        """Return what is there of a collection, in the order of FORMS."""
        found = []
        for form in FORMS:
            path = self._at(collection, form)
            try:
                status = path.stat()
            except OSError:  # never written, or deleted
                continue
            found.append(Exported(path, status.st_size, status.st_mtime))
        return found

    def delete(self, collection: str, form: str) -> None:
        """Delete one file; one that is not there is fine. Raises FolderError."""
        try:
            self._at(collection, form).unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self._path, error) from error

    def forget(self, collection: str) -> None:
        """Delete what is there of a collection. Raises FolderError."""
        for form in FORMS:
            self.delete(collection, form)

    def _at(self, collection: str, form: str) -> Path:
        if form not in FORMS:
            raise ValueError(f"{form!r} is none of {FORMS}")
        return self._path / f"{check_name(collection)}{form}"
