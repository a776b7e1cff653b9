"""Writes rows as an `imagefolder` of the datasets library, into a folder or a zip; texts lie beside it.

Files and `metadata.jsonl` with `file_name`, `captions`, `labels` and the other columns. Texts of their own
are files below `texts/`, with `texts.jsonl`, which that library leaves alone; a README.md says all this.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol

from engine.datasets.columns import NAME_COLUMN
from engine.datasets.export_rows import DatasetRow, Tally, cells, column_names, path_of
from engine.errors import UnreadableMediaError

METADATA, TEXTS, README = "metadata.jsonl", "texts.jsonl", "README.md"
_IN_MEMORY = 8_000_000  # of each table, until the files before it are written


class Place(Protocol):
    """Where files are put: a folder or an archive."""

    def copy(self, name: str, file: Path) -> None:
        """Put a file there. Raises OSError."""
        ...

    def write(self, name: str, stream: IO[bytes]) -> None:
        """Put the rest of a stream there. Raises OSError."""
        ...


class FolderPlace:
    """A folder, which is made where it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def copy(self, name: str, file: Path) -> None:
        """Copy a file into the folder. Raises OSError."""
        shutil.copyfile(file, self._at(name))

    def write(self, name: str, stream: IO[bytes]) -> None:
        """Write a file of the folder. Raises OSError."""
        with self._at(name).open("wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)

    def _at(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        return path


class ZipPlace:
    """A zip that is being written, of at most so many bytes of files; only the tables are compressed."""

    def __init__(self, archive: zipfile.ZipFile, *, max_bytes: int | None = None) -> None:
        self._archive, self._max_bytes, self._bytes = archive, max_bytes, 0

    def copy(self, name: str, file: Path) -> None:
        """Put a file into the zip. Raises OSError, and MediaError where it is full."""
        info = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
        if self._max_bytes is not None and self._bytes + info.file_size > self._max_bytes:
            raise UnreadableMediaError(f"More than {self._max_bytes:,} bytes for one archive")
        self._bytes += info.file_size
        with file.open("rb") as source, self._archive.open(info, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def write(self, name: str, stream: IO[bytes]) -> None:
        """Write a member of the zip, compressed. Raises OSError."""
        info = zipfile.ZipInfo(name)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        with self._archive.open(info, "w", force_zip64=True) as target:
            shutil.copyfileobj(stream, target, 1 << 20)


class FolderWriter:
    """Writes rows one after the other; `kinds` are the other columns, with what they hold (`metadata.KINDS`).

    Open it with `with`, and end with `finish`. Every method raises OSError where it cannot write.
    """

    def __init__(self, place: Place, kinds: Mapping[str, str]) -> None:
        self._place, self._kinds, self._names = place, kinds, column_names(kinds)
        self._open = ExitStack()
        self._tables: dict[str, tempfile.SpooledTemporaryFile[bytes]] = {}
        self._number = 0

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def file(self, row: DatasetRow, file: Path) -> None:
        """Write a file with its line. Raises OSError, and UnknownFormatError for one of no known kind."""
        name = path_of(self._number + 1, row)
        self._place.copy(name, file)
        self._line(METADATA, name, row, {"captions": list(row.captions)})

    def text(self, row: DatasetRow) -> None:
        """Write a text of its own, with its line."""
        name = path_of(self._number + 1, row)
        self._place.write(name, io.BytesIO(row.text))
        self._line(TEXTS, name, row, {})

    def finish(self, title: str, tally: Tally) -> None:
        """Write the tables, and what a person should know of them."""
        for name, table in self._tables.items():
            table.seek(0)
            self._place.write(name, table)
        self._place.write(README, io.BytesIO(_readme(title, tally).encode()))

    def _line(self, table: str, name: str, row: DatasetRow, captions: Mapping[str, object]) -> None:
        self._number += 1
        if table not in self._tables:
            waiting = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed with the writer
            self._tables[table] = self._open.enter_context(waiting)
        line = {
            "file_name": name,
            **captions,
            "labels": list(row.labels),
            **cells(row, self._kinds, self._names),
            NAME_COLUMN: row.name,
        }
        self._tables[table].write(f"{json.dumps(line, ensure_ascii=False)}\n".encode())


def _readme(title: str, tally: Tally) -> str:
    """Return in words what a folder holds, and what is not in it."""
    lines = [
        f"# {title}",
        "",
        f"Written by Gapscope: {tally.files:,} files, {tally.captions:,} captions, {tally.texts:,} texts.",
        "",
        f"`{METADATA}` has a line for every file: captions in order, labels, other columns, and in "
        f"`{NAME_COLUMN}` what Gapscope calls it. The Hugging Face datasets library opens it with "
        f'`load_dataset("imagefolder", data_dir=...)`; `python -m engine ingest` takes it in again.',
        f"Texts of their own, if there are any, are in `texts/`, with a line each in `{TEXTS}`.",
    ]
    for left in tally.left_out:
        named = ", ".join(left.examples) + (", …" if left.count > len(left.examples) else "")
        lines += ["", f"Left out: {left.count:,}. {left.reason}: {named}"]
    return "\n".join([*lines, *(line for note in tally.notes for line in ("", note))]) + "\n"
