"""An ingest on the machines of a Ray cluster: they decode and embed, this process reads and writes.

This process, the driver, owns the ledger, the library and the store, and nobody else writes. It reads
every file, leaves out what is stored, and hands the rest as parcels of `batch_files` files to a Ray Data
pipeline: read tasks decode on any machine, an actor per copy of the model embeds. Back come rows that
each carry their file's hash, item and vector; the order in which they arrive means nothing. Only so
many parcels are on their way at once, and their bytes wait in Ray's object store, which spills to disk.

What a cluster needs: the command runs on a machine of it (`ray start --address=HEAD:6379 --num-cpus=0`
is enough for one that only holds the files); the same Python and requirements on every machine; the
model's files in every machine's Hugging Face cache, or in one that they share. The code of `engine/` is
sent along. Pocket is converted once per machine. Tried: Ray on one machine, also as three nodes of which
one was killed on the way. Not tried: machines apart, GPUs, and a cluster that grows while it works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.disk import check_space
from engine.errors import MediaError, SlowModelError
from engine.ingest.files import FileIngest, Found
from engine.ingest.pipeline import Batch, Ready
from engine.ingest.ray.cluster import connected, described_far, divided, machines, uses_gpu
from engine.ingest.ray.line import Line, Share
from engine.ingest.ray.workers import (
    FarEmbedder,
    Parcel,
    Row,
)
from engine.media.decode import Probe, captions_of
from engine.media.decoder import Decoder
from engine.media.parts import Limits
from engine.media.sources import SourceList
from engine.models.base import ModelChoice, slowest_ingested
from engine.models.lender import SLOW_SECONDS
from engine.progress import Hooks, Progress
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder
from engine.types import IngestReport, MediaItem

if TYPE_CHECKING:
    import numpy as np


@dataclass
class _Sent:
    """A batch of files whose parcel is on its way; `missing` are files and captions not yet back whole."""

    found: Found
    number: int
    ids: frozenset[str]
    missing: set[str]


class RayIngest(FileIngest):
    """An ingest whose files are decoded and embedded on the workers of a Ray cluster.

    Batches are finished in the order they were sent, so that what is skipped, refused and stored is
    what `FileIngest` would skip, refuse and store.
    """

    def __init__(
        self, collection: str, folder: DataFolder, embedder: FarEmbedder, hooks: Hooks, *, share: Share
    ) -> None:
        super().__init__(collection, folder, embedder, hooks)
        self._share, self._model = share, embedder
        self._captions: set[str] = set()
        self._rows: dict[str, dict[int, Row]] = {}  # by file or caption, then by place in the file

    def _read_ahead(self, reader: ThreadPoolExecutor, batches: Iterable[Sequence[Any]]) -> Iterator[Batch]:
        """Yield finished batches while others are on their way; stop when cancelled."""
        tickets = max(1, len(self._cut))
        with self._decoder() as decoder, closing(self._line(decoder.limits, tickets)) as line:
            left, on_way = enumerate(batches), deque[_Sent]()
            while not self._cancelled():
                following = next(left, None) if len(on_way) < line.window else None
                if following:
                    on_way.append(self._send(line, decoder, *following))
                elif on_way:
                    self._note(line.receive(), on_way)
                else:
                    return
                while on_way and not on_way[0].missing:
                    yield self._finish(line, decoder, on_way.popleft())

    def _line(self, limits: Limits, tickets: int) -> Line:
        return Line(self._share, self._model, self._settings, limits, tickets=tickets)

    def _send(self, line: Line, decoder: Decoder, number: int, inputs: Sequence[Any]) -> _Sent:
        """Send what is not stored of a batch of files; their bytes are with Ray from here on."""
        check_space(self._library.data_dir, min_free_bytes=int(self._settings.min_free_disk_mb * 1e6))
        found = self._look(decoder, inputs)
        parcel = Parcel(found.wanted, self._new_captions(found))
        ids = frozenset([probed.sha256 for probed in parcel.files] + [id_ for id_, _ in parcel.captions])
        if ids:
            line.send(number, parcel)
        found.wanted, found.repeated = _without_bytes(found.wanted), _without_bytes(found.repeated)
        return _Sent(found, number, ids, set(ids))

    def _new_captions(self, found: Found) -> list[tuple[str, str]]:
        """Return the captions to embed; of a file that fails, they are left out when it comes back."""
        media = [caption for probed in (*found.wanted, *found.repeated) for caption in captions_of(probed)]
        texts = {one.item.id: one.content for one in media}
        new = [(id_, texts[id_]) for id_ in texts if id_ not in found.known and id_ not in self._captions]
        self._captions.update(id_ for id_, _ in new)
        return new

    def _note(self, rows: Sequence[Row], on_way: Iterable[_Sent]) -> None:
        """Keep rows that are waited for; one that comes twice is not."""
        for row in rows:
            for sent in on_way:
                if row.file in sent.missing:
                    parts = self._rows.setdefault(row.file, {})
                    parts[row.place] = row
                    if len(parts) == row.parts:
                        sent.missing.remove(row.file)

    def _finish(self, line: Line, decoder: Decoder, sent: _Sent) -> Batch:
        files = line.open(sent.number).files if sent.ids else []
        batch = self._take(sent.found, decoder.each(self._landed, files))
        for id_ in sent.ids:
            del self._rows[id_]
        if sent.ids:
            line.drop(sent.number)
        return batch

    def _landed(self, probed: Probe) -> Batch:
        """Take the parts of a file that are back. Raises MediaError where it failed as a whole."""
        rows = [row for _, row in sorted(self._rows[probed.sha256].items())]
        parts = [MediaItem(row.item, _vector(row), row.notes) for row in rows if row.item]
        if not parts:
            raise MediaError(rows[0].reason)
        return self._parts_ready(probed, parts, rows[0].thumbnail)

    def _prepared(self, media: MediaItem) -> Ready:
        caption = self._rows.get(media.item.id) if isinstance(media.content, str) else None
        return super()._prepared(MediaItem(media.item, _vector(caption[0])) if caption else media)


def ingest_on_ray(
    folder: DataFolder,
    collection: str,
    found: SourceList,
    *,
    choice: ModelChoice | None = None,
    address: str | None = None,
    workers: int | None = None,
    accept_slow: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> IngestReport:
    """Ingest sources on a Ray cluster, by default with what made the collection; see `FileIngest.run`.

    address is "host:port" of a cluster that this machine is part of; without one, Ray's own rules hold:
    RAY_ADDRESS, a cluster started here, else one of this machine's cores alone. workers are the copies of
    the model. Standard output goes to standard error meanwhile, for this whole process. Raises
    RayIngestError, and what `ingest_files` raises.
    """
    check_name(collection)
    folder.finish_swaps()
    choice, settings = choice or folder.choice_of(collection), folder.settings
    on_progress(Progress("Starting Ray", 0, len(found.sources)))
    with connected(address):
        share = divided(machines(), workers, on_gpu=uses_gpu(choice, settings))
        on_progress(Progress(f"Loading {choice.id} on a worker", 0, len(found.sources)))
        model = described_far(choice, settings, share)
        if not accept_slow:
            _check_speed(model, share, len(found.sources))
        return RayIngest(collection, folder, model, Hooks(on_progress), share=share).run(found)


def _check_speed(model: FarEmbedder, share: Share, items: int) -> None:
    """Raise SlowModelError where all workers together would take longer than `ingest_files` may."""
    slowest = slowest_ingested(model.seconds_per_item) / share.workers
    if slowest * items > SLOW_SECONDS:
        where = f"{share.workers} Ray workers"
        raise SlowModelError(model.spec.id, where, seconds_per_item=slowest, items=items)


def _vector(row: Row) -> np.ndarray | MediaError | None:
    """Return the vector (dim,) float32 of an item that is back, or why it has none."""
    return MediaError(row.reason) if row.reason else row.vector


def _without_bytes(probes: Iterable[Probe]) -> list[Probe]:
    return [replace(probed, data=b"") for probed in probes]
