"""A collection's files, with captions, labels and columns, out as a data set: a folder, a zip, or Parquet."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.datasets.entries import LeftOut
from engine.datasets.export_folder import FolderPlace, FolderWriter, ZipPlace
from engine.datasets.export_parquet import ParquetRows
from engine.datasets.export_rows import DatasetRow, Tally, media_rows, text_rows
from engine.errors import CollectionError, ExportError, MediaError
from engine.media.metadata import kind_of
from engine.progress import CancelledError, Progress
from engine.storage.captions import Caption, read_captions
from engine.storage.data_folder import DataFolder
from engine.storage.library import Library
from engine.types import MODALITIES, Item, Modality

_ITEMS = 500  # in memory at once


@dataclass(frozen=True)
class MediaExport:
    """What an export wrote: files with so many captions, and texts of their own.

    `left_out` are files that are not in it, by reason, and `notes` what is written in another form.
    """

    collection: str
    path: Path
    files: int
    captions: int
    texts: int
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    seconds: float


class Writer(Protocol):
    """Writes the rows of a data set in one form."""

    def file(self, row: DatasetRow, file: Path) -> None:
        """Write a file with what is said of it. Raises OSError, UnknownFormatError."""
        ...

    def text(self, row: DatasetRow) -> None:
        """Write a text of its own. Raises OSError."""
        ...

    def finish(self, title: str, tally: Tally) -> None:
        """Write what is left. Raises OSError."""
        ...


def export_media(
    folder: DataFolder,
    collection: str,
    path: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> MediaExport | None:
    """Write a collection as a data set: Parquet or a zip by the path's suffix, else a folder that is new.

    Ingesting it again gives the same items. None, and nothing left there, where cancelled. Raises
    CollectionNotFoundError, CollectionError where there is nothing to write, ExportError, StoreError,
    FolderError.
    """
    started, total = time.monotonic(), folder.store.info(collection).total
    counts = folder.ledger.counts()
    recorded = sum(counts.get((collection, modality), 0) for modality in MODALITIES)
    if not recorded:
        raise CollectionError(f"There is nothing to export: no items of {collection!r} are recorded here.")
    kinds = {name: kind_of(types) for name, types in folder.ledger.metadata_types(collection).items()}
    tally, items = Tally(), _Items(folder, collection)
    if total > recorded:
        tally.leave(f"{total - recorded:,} items are of another data folder", collection)

    def tell(done: int) -> None:
        if cancelled():
            raise CancelledError
        passed = time.monotonic() - started
        on_progress(Progress("Writing", done, recorded, elapsed_seconds=passed, unit="items"))

    try:
        with _writing(path, kinds) as writer:
            captions = read_captions(folder, collection)
            write_rows(writer, items.of_media(), items.of_texts(), captions, folder.library, tally, tell)
            writer.finish(collection, tally)
    except CancelledError:
        return None
    return MediaExport(
        collection,
        path,
        tally.files,
        tally.captions,
        tally.texts,
        tally.left_out,
        tally.notes,
        time.monotonic() - started,
    )


def write_rows(
    writer: Writer,
    media: Iterable[Item],
    texts: Iterable[Item],
    captions: Mapping[str, Sequence[Caption]],
    library: Library,
    tally: Tally,
    tell: Callable[[int], None] = lambda done: None,
) -> None:
    """Write items that have files with their captions, by pair, and then the texts that are none of those.

    What cannot be written is counted in `tally`; tell hears how many items are done. Raises OSError.
    """
    written: set[str] = set()
    done = 0
    for item, row in media_rows(media, captions, tally):
        try:
            writer.file(row, library.media_path(row.media, row.mime))
        except (FileNotFoundError, MediaError) as error:
            tally.leave(error.reason if isinstance(error, MediaError) else "The file is gone", row.name)
            continue
        written.add(item.pair)
        tally.files, tally.captions = tally.files + 1, tally.captions + len(row.captions)
        done += 1 + len(row.captions)
        tell(done)
    for row in text_rows(texts, written):
        writer.text(row)
        tally.texts, done = tally.texts + 1, done + 1
        tell(done)


class _Items:
    """The items of a collection in the order of their names, few in memory at once."""

    def __init__(self, folder: DataFolder, collection: str) -> None:
        self._ledger, self._collection = folder.ledger, collection
        self._ids: dict[Modality, list[str]] = {modality: [] for modality in MODALITIES}
        named = ((name or "", id_, kind) for kind, id_, name, *_ in folder.ledger.names(collection))
        for _, id_, kind in sorted(named):
            self._ids[kind].append(id_)

    def of_media(self) -> Iterator[Item]:
        for modality in MODALITIES:
            if modality != "text":
                yield from self._of(modality)

    def of_texts(self) -> Iterator[Item]:
        return self._of("text")

    def _of(self, modality: Modality) -> Iterator[Item]:
        ids = self._ids[modality]
        for start in range(0, len(ids), _ITEMS):
            some = ids[start : start + _ITEMS]
            place = {id_: row for row, id_ in enumerate(some)}
            items, _ = self._ledger.get(self._collection, modality, some)
            yield from sorted(items, key=lambda item: place[item.id])


@contextmanager
def _writing(path: Path, kinds: Mapping[str, str]) -> Iterator[Writer]:
    """Lend a writer of what a path's suffix says; no one sees half of it. Raises ExportError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_dir() and (_is_file(path) or any(path.iterdir())):
            raise ExportError(path.name, "is a folder that holds something. Choose a new name.")
        if path.exists() and not path.is_dir() and not _is_file(path):
            raise ExportError(path.name, "is a file, and no .zip or .parquet. Choose a new name.")
        with ExitStack() as stack:
            stack.callback(_remove, draft)
            with _writer(path, draft, kinds) as writer:
                yield writer
            draft.replace(path)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}. Choose another place."
        raise ExportError(path.name, problem) from error


@contextmanager
def _writer(path: Path, draft: Path, kinds: Mapping[str, str]) -> Iterator[Writer]:
    if path.suffix.lower() == ".parquet":
        with ParquetRows(draft, kinds) as rows:
            yield rows
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(draft, "w") as archive, FolderWriter(ZipPlace(archive), kinds) as folder:
            yield folder
    else:
        with FolderWriter(FolderPlace(draft), kinds) as folder:
            yield folder


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".zip")


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)
