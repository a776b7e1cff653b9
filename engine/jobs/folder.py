"""The jobs on disk: a folder for each, with `job.json` and, for an upload, its files; runs nothing."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from engine.datasets.find import from_files
from engine.disk import check_space, folder_error
from engine.jobs.spec import Files, JobSpec, from_json, new_id, to_json
from engine.media.sources import SourceList
from engine.storage.data_folder import DataFolder

log = logging.getLogger(__name__)


class JobFolder:
    """The folder `jobs` of a data folder."""

    def __init__(self, data_folder: DataFolder) -> None:
        self._data = data_folder
        self._path = data_folder.settings.data_dir / "jobs"

    def read(self) -> list[JobSpec]:
        """Return what an earlier run left, oldest first; uploads that were cut short are removed."""
        for folder in self._path.glob("*/"):
            if not (folder / "job.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
        found = []
        for path in sorted(self._path.glob("*/job.json")):
            try:
                found.append(from_json(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError, KeyError):
                log.warning("the job in %s cannot be read and is left alone", path.parent)
        return found

    def save(self, spec: JobSpec) -> None:
        """Write what a job is to do. Raises FolderError."""
        folder = self._path / spec.id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / "job.json.draft"
            draft.write_text(to_json(spec), encoding="utf-8")
            draft.replace(folder / "job.json")
        except OSError as error:
            raise folder_error(self._data.settings.data_dir, error) from error

    def remove(self, spec: JobSpec) -> None:
        """Delete a job's folder with its files."""
        shutil.rmtree(self._path / spec.id, ignore_errors=True)

    def copy_in(self, files: Iterable[tuple[str, IO[bytes]]]) -> tuple[str, Files]:
        """Copy files into the folder of a new job; returns its id, and under which name each is stored.

        Raises FolderError, and leaves nothing behind then.
        """
        settings = self._data.settings
        check_space(settings.data_dir, min_free_bytes=int(settings.min_free_disk_mb * 1e6))
        id_ = new_id()
        folder = self._path / id_
        names = []
        try:
            folder.mkdir(parents=True)
            for number, (name, stream) in enumerate(files):
                stored = f"{number:06d}{Path(name).suffix.lower()[:8] if name.endswith('.zip') else ''}"
                with (folder / stored).open("wb") as target:
                    shutil.copyfileobj(stream, target, 1 << 20)
                names.append((name, stored))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise folder_error(settings.data_dir, error) from error
        return id_, tuple(names)

    def file(self, spec: JobSpec, stored: str) -> Path:
        """Return where a file of a job lies."""
        return self._path / spec.id / stored

    def sources(self, spec: JobSpec, names: Files) -> SourceList:
        """Return uploaded files as sources, under the names that people know."""
        files: dict[str, Path] = {}
        for name, stored in names:
            # A second file of the same name is shown under it too; captions belong to the first.
            files[f"{stored}/{name}" if name in files else name] = self.file(spec, stored)
        return from_files(files, max_file_bytes=self._data.settings.max_file_bytes)
