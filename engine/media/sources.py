"""Finds the files to ingest in paths, folders and zips, with their captions; reads no media.

Captions follow the `imagefolder` convention of the Hugging Face datasets library: a
`metadata.jsonl` or `metadata.csv` beside the files, `file_name` relative to it, and `caption` or
`text`; `label` or `labels` are kept too, and other columns as metadata. Several rows for one file give it
several captions.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import posixpath
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import MediaError, TooLargeError, UnreadableMediaError
from engine.media.formats import media_suffixes
from engine.media.metadata import ColumnChoice, TextColumns, cleaned_value, left_out, metadata_of
from engine.text import clean_name, clean_text
from engine.types import Failure, Metadata

SIDECARS = ("metadata.jsonl", "metadata.csv")
MAX_CAPTION_CHARS = 2_000
_OWN = ("file_name", "caption", "text", "label", "labels")
MAX_SIDECAR_BYTES = 100_000_000
_COMPANION = re.compile(r"(readme|licen[cs]es?|copying)([-_.].*)?")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")

_MEDIA_SUFFIXES = {".jpeg", ".tif", ".heif", *media_suffixes()}
# What zipfile raises on hostile bytes; a wrong password is a RuntimeError, a broken stream a zlib.error.
_ZIP_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AssertionError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)


@dataclass(frozen=True)
class Source:
    """One file to ingest; `read` returns its bytes or raises MediaError."""

    name: str
    read: Callable[[], bytes] = field(repr=False)
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = ()


@dataclass(frozen=True)
class SourceList:
    """The files found, and what was wrong with the lists of captions."""

    sources: tuple[Source, ...]
    failed: tuple[Failure, ...] = ()

    def __add__(self, other: SourceList) -> SourceList:
        return SourceList(self.sources + other.sources, self.failed + other.failed)


@dataclass(frozen=True)
class _Row:
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metadata: Metadata = ()


def find_sources(paths: Iterable[Path], *, max_file_bytes: int) -> SourceList:
    """List the files of these paths (files, folders with all below them, zips), in a stable order.

    Folders come first, then single files, which may hold a `metadata.jsonl`. A path that does not
    exist becomes a Failure; links that lead out of a folder are not followed.
    """
    found = SourceList(())
    beside: dict[Path, dict[str, Path]] = {}  # files of one folder may hold each other's captions
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            found += SourceList((), (Failure(clean_name(str(path)), _no_file(error)),))
            continue
        if stat.S_ISDIR(mode):
            found += from_folder(path, max_file_bytes=max_file_bytes)
        else:
            beside.setdefault(path.parent, {})[path.name] = path
    for files in beside.values():
        found += from_files(files, max_file_bytes=max_file_bytes)
    return found


def _no_file(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | ValueError):
        return "There is no such file."
    return f"The file cannot be opened: {error.strerror}."


def from_folder(folder: Path, *, max_file_bytes: int) -> SourceList:
    """List a folder; hidden files, README and licence files, and symbolic links are left out.

    A folder below it that cannot be opened becomes a Failure.
    """
    files: dict[str, Path] = {}
    failed: list[Failure] = []

    def unreadable(error: OSError) -> None:
        failed.append(
            Failure(clean_name(str(error.filename)), f"The folder cannot be opened: {error.strerror}.")
        )

    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=False):
        folders[:] = sorted(name for name in folders if not _skipped(name))
        for name in sorted(names):
            path = Path(parent, name)
            if not _skipped(name) and not path.is_symlink():
                files[path.relative_to(folder).as_posix()] = path
    return from_files(files, max_file_bytes=max_file_bytes) + SourceList((), tuple(failed))


def from_files(files: Mapping[str, Path], *, max_file_bytes: int) -> SourceList:
    """List files under the names they should be known by (an upload keeps its name so)."""
    readers = {name: file_reader(path, max_file_bytes) for name, path in files.items()}
    plain = {name: read for name, read in readers.items() if not _is_zip(name, files[name])}
    found = _with_captions(plain, {name: file_reader(files[name], MAX_SIDECAR_BYTES) for name in plain})
    for name in readers:
        if _is_zip(name, files[name]):
            found += from_zip(files[name], max_file_bytes=max_file_bytes, name=name)
    return found


def from_zip(path: Path, *, max_file_bytes: int, name: str | None = None) -> SourceList:
    """List a zip; members are read one by one when their turn comes, never unpacked to disk."""
    try:
        archive = _Archive(path)
    except _ZIP_ERRORS as error:
        failure = Failure(clean_name(name or path.name), f"The zip cannot be read: {error}.")
        return SourceList((), (failure,))
    kept = [member for member in archive.names if not _skipped_path(member)]
    return _with_captions(
        {member: archive.reader(member, max_file_bytes) for member in kept},
        {member: archive.reader(member, MAX_SIDECAR_BYTES) for member in kept},
    )


class _Archive:
    """A zip kept open while its members are read, one at a time, whichever thread asks.

    Opening it anew for each member took 43 ms of a list of 10,000: seven minutes in all.
    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._turn = threading.Lock()
        self._members = {
            info.filename.replace("\\", "/"): info for info in self._zip.infolist() if not info.is_dir()
        }

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def reader(self, name: str, max_bytes: int) -> Callable[[], bytes]:
        info = self._members[name]

        def read() -> bytes:
            if info.file_size > max_bytes:
                raise _too_large(info.file_size, max_bytes)
            try:
                with self._turn, self._zip.open(info) as stream:
                    # The size in the directory is only a claim: read one byte past the limit.
                    data = stream.read(max_bytes + 1)
            except _ZIP_ERRORS as error:
                raise UnreadableMediaError(f"The zip member cannot be read: {error}.") from error
            if len(data) > max_bytes:
                raise _too_large(len(data), max_bytes)
            return data

        return read


def _is_zip(name: str, path: Path) -> bool:
    return name.lower().endswith(".zip") and path.is_file()


def _skipped(name: str) -> bool:
    """Tell what is no medium by its name; `license-plate.jpg` is one, `LICENSE-MIT` is not."""
    lower = name.lower()
    if name.startswith((".", "__MACOSX")) or lower in _SYSTEM_FILES:
        return True
    return bool(_COMPANION.fullmatch(lower)) and posixpath.splitext(lower)[1] not in _MEDIA_SUFFIXES


def _skipped_path(name: str) -> bool:
    return any(_skipped(part) for part in name.split("/") if part not in ("", ".", ".."))


def file_reader(path: Path, max_bytes: int) -> Callable[[], bytes]:
    """Return a function that reads a regular file of at most so many bytes.

    It raises TooLargeError or UnreadableMediaError.
    """

    def read() -> bytes:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
                raise UnreadableMediaError("This is not a regular file.")
            if found.st_size > max_bytes:
                raise _too_large(found.st_size, max_bytes)
            return path.read_bytes()
        except OSError as error:
            raise UnreadableMediaError(f"The file cannot be opened: {error.strerror}.") from error

    return read


def _too_large(size: int, limit: int) -> TooLargeError:
    return TooLargeError("The file", size / 1e6, limit / 1e6, "MB", "GAPSCOPE_MAX_FILE_MB")


def _with_captions(
    files: Mapping[str, Callable[[], bytes]], sidecar_readers: Mapping[str, Callable[[], bytes]]
) -> SourceList:
    rows: dict[str, _Row] = {}
    failed: list[Failure] = []
    for name in files:
        if posixpath.basename(name) in SIDECARS:
            _read_sidecar(name, sidecar_readers[name], files, rows, failed)
    sources = tuple(
        Source(clean_name(name), read, **vars(rows.get(name, _Row())))
        for name, read in files.items()
        if posixpath.basename(name) not in SIDECARS
    )
    return SourceList(sources, tuple(failed))


def _read_sidecar(
    name: str,
    read: Callable[[], bytes],
    files: Mapping[str, object],
    rows: dict[str, _Row],
    failed: list[Failure],
) -> None:
    shown, folder = clean_name(name), posixpath.dirname(name)
    try:
        text = read().decode("utf-8-sig")
    except MediaError as error:
        failed.append(Failure(shown, error.reason))
        return
    except UnicodeDecodeError:
        failed.append(Failure(shown, "The list of captions is not UTF-8 text."))
        return
    parsed = _json_rows(text) if name.endswith(".jsonl") else _csv_rows(text)
    choice = ColumnChoice()
    for line, row in parsed:
        problem = row if isinstance(row, str) else _add_row(row, folder, files, rows, choice)
        if problem:
            failed.append(Failure(shown, f"Line {line}: {problem}"))
    if left := left_out(choice.left):
        failed.append(Failure(shown, left))


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # ValueError also for a number of 5,000 digits
            yield number, "this is not one JSON object."
            continue
        yield number, row if isinstance(row, dict) else "this is not one JSON object."


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Yield the rows; a column of numbers holds numbers, which only shows at its end."""
    columns = TextColumns()
    for _, row in _csv_texts(text):
        columns.see({} if isinstance(row, str) else row)
    for line, row in _csv_texts(text):
        if isinstance(row, str):
            yield line, row
        else:
            yield line, {key: cell if key in _OWN else columns.read(key, cell) for key, cell in row.items()}


def _csv_texts(text: str) -> Iterator[tuple[int, dict[str, object] | str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.reader.line_num, f"this is not CSV: {error}."
            continue
        yield reader.line_num, {key: value for key, value in row.items() if key is not None}


def _add_row(
    row: Mapping[str, object],
    folder: str,
    files: Mapping[str, object],
    rows: dict[str, _Row],
    choice: ColumnChoice,
) -> str | None:
    file_name = row.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        return "there is no file_name."
    name = posixpath.normpath(posixpath.join(folder, file_name.replace("\\", "/")))
    if name not in files:
        return f"{clean_name(file_name)} is not among the files."
    given = row.get("caption") or row.get("text") or ""
    listed = given if isinstance(given, list) else [given]
    captions = [caption for caption in listed if isinstance(caption, str)]
    if len(captions) < len(listed):
        return f"the caption of {clean_name(file_name)} is not text."
    before = rows.get(name, _Row())
    cleaned = (clean_text(caption)[:MAX_CAPTION_CHARS].strip() for caption in captions)
    kept = dict.fromkeys((*before.captions, *filter(None, cleaned)))
    labels = tuple(dict.fromkeys((*before.labels, *_labels(row))))
    rows[name] = _Row(tuple(kept), labels, metadata_of((*before.metadata, *_others(row, choice))))
    return None


def _others(row: Mapping[str, object], choice: ColumnChoice) -> Iterator[tuple[str, object]]:
    """Yield the plain values of other columns; a nested one, as datasets have for boxes, is no fault."""
    for key, value in row.items():
        if key not in _OWN and cleaned_value(value) is not None and (name := choice.add(key)):
            yield name, value


def _labels(row: Mapping[str, object]) -> Iterator[str]:
    # 0 is a label too: class numbers start there.
    value = next((row[key] for key in ("labels", "label") if row.get(key) not in (None, "", [])), [])
    values = value if isinstance(value, list) else str(value).split(";")
    for label in values:
        cleaned = clean_text(str(label))[:100]
        if cleaned:
            yield cleaned
