"""The jobs on disk: a folder for each, with `job.json` and, for an upload, its files; runs nothing."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from engine.datasets.columns import Choices
from engine.datasets.plan import Plan
from engine.datasets.preview import plan_files
from engine.disk import check_space, folder_error
from engine.jobs.spec import JobSpec, Upload, from_json, new_id, to_json
from engine.storage.data_folder import DataFolder

_UPLOAD_NS = 24 * 3600 * 10**9  # so long a person may think about what was understood

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

    def remove(self, id_: str) -> None:
        """Delete the folder of a job, or of an upload, with its files."""
        shutil.rmtree(self._path / id_, ignore_errors=True)

    def copy_in(self, files: Iterable[tuple[str, IO[bytes]]]) -> Upload:
        """Copy files into the folder of a new job; uploads that nobody added within a day are removed.

        Raises FolderError, and leaves nothing behind then.
        """
        self._remove_old()
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
        return Upload(id_, tuple(names))

    def file(self, id_: str, stored: str) -> Path:
        """Return where a file of a job lies."""
        return self._path / id_ / stored

    def plan(self, upload: Upload, columns: Choices | None) -> Plan:
        """Return what is understood of uploaded files, under the names that people know."""
        files: dict[str, Path] = {}
        for name, stored in upload.files:
            # A second file of the same name is shown under it too; captions belong to the first.
            files[f"{stored}/{name}" if name in files else name] = self.file(upload.id, stored)
        return plan_files(files, max_file_bytes=self._data.settings.max_file_bytes, choices=columns)

    def _remove_old(self) -> None:
        for folder in self._path.glob("*/"):
            begun_ns = folder.name.split("-", 1)[0]
            is_old = begun_ns.isdigit() and time.time_ns() - int(begun_ns) > _UPLOAD_NS
            if is_old and not (folder / "job.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
