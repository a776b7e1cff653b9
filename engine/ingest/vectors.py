"""Vectors that somebody else has made, from a file into a collection; a `FileIngest` whose model is the file.

The file is read twice: once to check every row, then to store them. Nothing is embedded, and what needs a
model says so later (`errors.ImportedVectorsError`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import (
    CollectionError,
    CollectionNotFoundError,
    MediaError,
    UnknownFormatError,
)
from engine.ingest.failures import with_failed
from engine.ingest.files import FileIngest
from engine.ingest.pipeline import Batch, Ready
from engine.media.decode import content_of, probe
from engine.media.decoder import Decoder
from engine.media.images import THUMBNAIL_PX, thumbnail
from engine.media.metadata import MAX_COLUMNS, disagreement, left_out, metadata_of
from engine.media.plain_text import MAX_CHARS, TEXT_MIME
from engine.media.sources import Source, read_file
from engine.models.base import DocumentEmbedder, ModelSpec
from engine.progress import Hooks, Progress
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder
from engine.text import clean_name, clean_text
from engine.types import (
    MODALITIES,
    Failure,
    IngestReport,
    Item,
    Metadata,
    Modality,
    Noted,
    Provenance,
)
from engine.vector_files.reading import Reading
from engine.vector_files.rows import Fault, VectorRow, is_item_id, item_id
from engine.vector_files.table import VectorFile
from engine.vectors import normalise

_MAX_LABEL_CHARS = 100
_SAME = 1e-6  # of numbers of a unit vector, written and read again


def import_vectors(
    folder: DataFolder,
    collection: str,
    path: Path,
    *,
    label: str | None = None,
    name: str | None = None,
    reading: Reading | None = None,
    table: tuple[str, Path] | None = None,
    ranges: np.ndarray | None = None,
    media_root: Path | None = None,
    skip_bad: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Store a file of vectors in a collection; run again, it stores nothing twice.

    label says what made the vectors: by default what the collection's are called, or the file's name. name
    is what an upload is called. reading, table and ranges (2, d), any float dtype, are `VectorFile`'s: which
    column is used as what, the table beside an array, and what int8 codes stand for. media_root is the folder
    that `media_path` may lead into, relative to it; without one no file is opened. Raises
    CollectionNameError, VectorFileError where a row is bad (unless skip_bad leaves it out, and lists it in
    the report) before anything is stored, CollectionModelError where other vectors are there, and a
    StoreError or FolderError.
    """
    check_name(collection)
    folder.finish_swaps()
    started = time.monotonic()
    file = VectorFile(path, name=name, reading=reading, table=table, ranges=ranges)
    made_by = Provenance.of_import(_label(folder, collection, label, file), file.dim)
    folder.store.check_model(collection, made_by)

    def show(done: int) -> None:
        passed = time.monotonic() - started
        on_progress(Progress("Checking the file", done, file.total, elapsed_seconds=passed, unit="rows"))

    faults = file.check(skip_bad=skip_bad, on_rows=show, cancelled=cancelled)
    if faults is None:
        return IngestReport(collection, made_by.model, 0, 0, (), time.monotonic() - started, cancelled=True)
    hooks = Hooks(on_progress, cancelled)
    job = VectorImport(collection, folder, _Given(made_by), hooks, media_root=media_root)
    return job.store_rows(file, faults)


def _label(folder: DataFolder, collection: str, label: str | None, file: VectorFile) -> str:
    """Return what is to be named as the maker of the vectors. Raises CollectionError for no readable one."""
    if label is None:
        label = Path(file.name).stem
        with suppress(CollectionNotFoundError):
            label = folder.store.made_by(collection).imported or label
    cleaned = " ".join(clean_text(label).split())[:_MAX_LABEL_CHARS]
    if not cleaned:
        raise CollectionError(f"{label!r} names no model: say in a few words what made the vectors.")
    return cleaned


class _Given:
    """Stands in the place of an embedder; what it is given to embed are the vectors themselves."""

    modalities = MODALITIES
    image_side_px = THUMBNAIL_PX

    def __init__(self, made_by: Provenance) -> None:
        self.provenance = made_by
        self.spec = ModelSpec(made_by.model, "embedder", MODALITIES, licence="", note="")

    def prepare(self, modality: Modality, content: Any) -> Any:
        return content

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Return n prepared vectors, (dim,) float32 each, as one matrix (n, dim) float32."""
        return np.stack(prepared)

    def spread(self, items: int) -> nullcontext[int]:
        return nullcontext(1)


# A row's number in the file, from 1; the row; its unit vector (d,) float32.
Numbered = tuple[int, VectorRow, np.ndarray]


@dataclass(frozen=True)
class _Picture:
    item: Item  # as it would be of the file alone
    data: bytes = field(repr=False)
    thumbnail: bytes = field(repr=False)
    notes: tuple[Noted, ...]


class VectorImport(FileIngest):
    """One run of a file's rows into one collection."""

    _stage = "Storing"

    def __init__(
        self,
        collection: str,
        folder: DataFolder,
        embedder: DocumentEmbedder,
        hooks: Hooks,
        *,
        media_root: Path | None,
    ) -> None:
        super().__init__(collection, folder, embedder, hooks)
        self._root = media_root.resolve() if media_root else None
        self._unread: Counter[Modality] = Counter()
        self._told: tuple[str, ...] = ()

    def store_rows(self, file: VectorFile, faults: Sequence[Fault]) -> IngestReport:
        """Store every row of a checked file but those that are bad."""
        self._store.check_model(self.collection, self._made_by)
        self._ledger.set_provenance(self.collection, self._made_by)
        without = {fault.row for fault in faults}
        self._told = (*file.notes, left_out(file.left_out))
        bad = tuple(Failure(f"{file.name}, row {fault.row}", str(fault)) for fault in faults)
        total = file.total - len(without)
        self._report(with_failed(replace(self._progress, total=total, unit="rows"), bad))
        report = self._whole(self._batches(file, without))
        return replace(report, notes=(*self._notes(), *report.notes))

    def _batches(self, file: VectorFile, without: set[int]) -> Iterator[list[Numbered]]:
        for page in file.batches(without):
            if len(page):
                yield list(zip(page.numbers, page.rows, normalise(page.vectors), strict=True))

    def _notes(self) -> Iterator[str]:
        yield from filter(None, self._told)
        for modality, count in self._unread.items():
            why = "only pictures can be kept yet" if self._root else "files are read on the command line only"
            yield f"The media_path of {count:,} rows of kind {modality} was not read: {why}."

    def _read(self, decoder: Decoder, inputs: Sequence[Numbered]) -> Batch:
        batch = Batch(len(inputs))
        held = self._held([item_id(row.id) for _, row, _ in inputs])
        fresh = [one for one in inputs if not self._settled(one, held, batch)]
        self._unread.update(row.modality for _, row, _ in inputs if row.media_path and not self._reads(row))
        pictures = decoder.each(partial(self._picture, decoder), [row for _, row, _ in fresh])
        for (number, row, vector), picture in zip(fresh, pictures, strict=True):
            if isinstance(picture, MediaError):
                reason = f"Its media file was not stored: {picture.reason}"
                batch.failed.append(Failure(_shown(number, row), reason))
                picture = None
            elif picture:
                batch.noted.append((picture.item.name, picture.notes))
            item = self._kept(_item(row), picture)
            before = held[item.id][0] if item.id in held else None
            if before:
                item = _completed(before, item)
            if item == before:
                batch.skipped += 1
            else:
                batch.ready.append(Ready(item, vector))
        return batch

    def _held(self, ids: list[str]) -> dict[str, tuple[Item, np.ndarray]]:
        """Return what is stored already of these, with its unit vector (d,) float32, by id."""
        found: dict[str, tuple[Item, np.ndarray]] = {}
        for modality in MODALITIES:
            stored = self._store.existing(self.collection, modality, ids)
            if stored:
                items, table = self._ledger.get(self.collection, modality, stored)
                found |= {item.id: (item, row) for item, row in zip(items, table.vectors, strict=True)}
        return found

    def _settled(self, one: Numbered, held: dict[str, tuple[Item, np.ndarray]], batch: Batch) -> bool:
        """Tell whether a row need not be stored, as it is there or cannot be beside what is; note which."""
        number, row, vector = one
        if item_id(row.id) not in held:
            return False
        stored, before = held[item_id(row.id)]
        differs = _differences(stored, _item(row))
        if not np.allclose(before, vector, atol=_SAME):
            differs.append("vector")
        if differs:
            words = (
                f"its id is stored already with another {', another '.join(differs)}. Give it another id, or"
            )
            reason = f"{words} delete the stored item first."
            batch.failed.append(Failure(_shown(number, row), reason))
        elif (stored.media is None and self._reads(row)) or _says_more(row.metadata, stored):
            return False
        else:
            batch.skipped += 1
        return True

    def _reads(self, row: VectorRow) -> bool:
        """Tell whether the media file of a row is to be read."""
        return bool(row.media_path) and self._root is not None and row.modality == "image"

    def _picture(self, decoder: Decoder, row: VectorRow) -> _Picture | None:
        """Read the picture of a row; None where it has none. Raises MediaError."""
        if not self._reads(row):
            return None
        read = partial(read_file, self._inside(row.media_path), self._settings.max_file_bytes)
        probed = probe(Source(row.media_path, read))
        if probed.modality != "image":
            raise UnknownFormatError("It is not a picture, as the row says it is.")
        first, *others = decoder.parts(probed)
        small = thumbnail(content_of(first.item, [first, *others]))
        return _Picture(first.item, probed.data, small, first.notes)

    def _kept(self, item: Item, picture: _Picture | None) -> Item:
        """Save the picture of an item, and return the item with it."""
        if picture is None:
            return item
        item = replace(
            item,
            media=picture.item.media,
            mime=picture.item.mime,
            size_bytes=picture.item.size_bytes,
            width_px=picture.item.width_px,
            height_px=picture.item.height_px,
        )
        if item.media not in self._saved:  # several rows may share one file
            self._save(item, picture.data, picture.thumbnail)
        return item

    def _inside(self, media_path: str) -> Path:
        """Return the path of a media file. Raises MediaError where it leads out of the allowed folder."""
        assert self._root is not None
        try:
            path = (self._root / media_path).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # NUL in it, or links in a circle
            raise MediaError("Its media_path is not a path.") from error
        if not path.is_relative_to(self._root):
            raise MediaError("Its media_path leads out of the folder of the file; only files in it are read.")
        return path


def _item(row: VectorRow) -> Item:
    """Return a row as an item, still without media."""
    own, text = item_id(row.id), clean_text(row.text)[:MAX_CHARS]
    is_text = row.modality == "text"
    return Item(
        id=own,
        modality=row.modality,
        name=clean_name(row.name or row.id),
        mime=TEXT_MIME if is_text else "",
        pair=item_id(row.pair) if row.pair else own,
        caption=text,
        labels=tuple(dict.fromkeys(filter(None, (clean_text(label)[:100] for label in row.labels)))),
        size_bytes=len(text.encode()) if is_text else 0,
        added_at=int(time.time()),
        given_id="" if own == row.id else row.id,
        given_pair="" if row.pair in ("", row.id) or is_item_id(row.pair) else row.pair,
        metadata=row.metadata,
    )


def _says_more(metadata: Metadata, stored: Item) -> bool:
    """Tell whether there is a column that a stored item has nothing of, and room for it."""
    return len(stored.metadata) < MAX_COLUMNS and not dict(metadata).keys() <= dict(stored.metadata).keys()


def _completed(stored: Item, new: Item) -> Item:
    """Return a stored item with the media and the columns that it is still without."""
    metadata = metadata_of((*stored.metadata, *new.metadata))
    if stored.media or not new.media:
        return replace(stored, metadata=metadata)
    return replace(new, metadata=metadata, added_at=stored.added_at)


def _shown(number: int, row: VectorRow) -> str:
    return f"row {number:,} ({clean_name(row.id)})"


def _differences(one: Item, other: Item) -> list[str]:
    """Return in words what two rows say differently of the same id."""
    words = {"modality": "modality", "caption": "text", "pair": "pair", "labels": "label", "name": "name"}
    found = [word for field, word in words.items() if getattr(one, field) != getattr(other, field)]
    return [*found, "metadata"] if disagreement(one.metadata, other.metadata) else found
