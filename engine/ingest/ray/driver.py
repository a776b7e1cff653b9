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

import logging
import pickle
import queue
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.disk import check_space
from engine.errors import GapscopeError, MediaError, ModelError, RayIngestError, SlowModelError
from engine.ingest.files import FileIngest, Found
from engine.ingest.pipeline import Batch, Ready
from engine.ingest.ray.workers import (
    Desk,
    Encoder,
    FarEmbedder,
    Parcel,
    Row,
    decoded,
    described,
    packets,
    to_table,
)
from engine.media.decode import Probe, captions_of
from engine.media.decoder import Decoder
from engine.media.parts import Limits
from engine.media.sources import SourceList
from engine.models.base import ModelChoice, slowest_ingested
from engine.models.catalog import describe
from engine.models.lender import SLOW_SECONDS
from engine.progress import Hooks, Progress
from engine.settings import PROJECT_DIR, Settings
from engine.storage.chroma import check_name
from engine.storage.data_folder import DataFolder
from engine.types import IngestReport, MediaItem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from ray.data import Dataset

_CONNECT_SECONDS = 5.0
_READER_CPUS = 0.25
_RESERVED = 0.25  # of the cores by actors: as much is left where a machine dies and its actors move
_SILENCE_SECONDS = 600.0
_RETRIES = 3  # of a task whose worker died; one that kills every worker must end the ingest
_AT_ONCE = 2  # calls in an actor: one prepares while the other embeds
_CORES_PER_WORKER = 4
_AGAIN = "What was stored is kept: run the same command again, and it goes on from there."
_JOIN = (
    "To use a cluster, start it with `ray start --head`, let this machine join it "
    "(`ray start --address=HEAD:6379`), and give HEAD:6379 as its address."
)


@dataclass(frozen=True)
class Share:
    """How many actors embed, what each reserves, and how many tasks read at once."""

    workers: int
    cpus: float
    gpus: int
    readers: int

    @property
    def threads(self) -> int:
        """Return the CPU threads of one actor: together they have as many as there are cores."""
        return max(1, round(self.cpus / _RESERVED))

    @property
    def window(self) -> int:
        """Return how many parcels may be on their way at once."""
        return 4 * self.workers + 4


def read_parcel(ticket: int, desk: Any, limits: Limits) -> Iterator[pa.Table]:
    """Fetch one parcel and yield what its files hold, decoded, in tables of one packet each."""
    import ray

    rows: Iterable[Row] = ()
    for reference in ray.get(desk.take.remote(ticket)):
        rows = decoded(ray.get(reference), limits)
    for packet in packets(rows):
        yield to_table([packet])


class Line:
    """Both ends of the Ray Data pipeline on the driver: parcels go in, rows with vectors come out.

    It starts with the first parcel, and can take as many as there are tickets.
    """

    def __init__(
        self, share: Share, model: FarEmbedder, settings: Settings, limits: Limits, *, tickets: int
    ) -> None:
        self.window = share.window
        self._share, self._model, self._settings = share, model, settings
        self._limits, self._tickets = limits, tickets
        slowest = max(model.seconds_per_item.values(), default=0.0)
        self._patience = max(_SILENCE_SECONDS, 20 * slowest * settings.batch_files)
        self._desk: Any = None
        self._references: dict[int, Any] = {}
        self._arrived: queue.SimpleQueue[list[Row] | str | GapscopeError] = queue.SimpleQueue()
        self._receiver = threading.Thread(target=self._receive, name="ray-rows", daemon=True)

    def send(self, number: int, parcel: Parcel) -> None:
        """Put a parcel into Ray's object store and on its way."""
        import ray

        if self._desk is None:
            self._desk = _here(Desk)
            self._receiver.start()
        self._references[number] = ray.put(parcel)
        self._desk.give.remote(number, [self._references[number]])

    def open(self, number: int) -> Parcel:
        """Return a parcel that is on its way."""
        import ray

        return ray.get(self._references[number])

    def drop(self, number: int) -> None:
        """Let go of the bytes of a parcel that is done."""
        del self._references[number]
        self._desk.drop.remote(number)

    def receive(self) -> list[Row]:
        """Wait for rows. Raises ModelError with a worker's words, or RayIngestError."""
        try:
            arrived = self._arrived.get(timeout=self._patience)
        except queue.Empty as error:  # a machine is gone, and Ray waits for another to take its place
            raise RayIngestError(
                f"Nothing has come back from the Ray cluster for {self._patience / 60:.0f} minutes. {_AGAIN}"
            ) from error
        if isinstance(arrived, str):
            raise ModelError(arrived)
        if isinstance(arrived, GapscopeError):
            raise arrived
        return arrived

    def close(self) -> None:
        """End the pipeline, wherever it is: without the desk its read tasks fail."""
        import ray

        if self._desk is not None:
            ray.kill(self._desk)
            self._receiver.join(timeout=10)

    def _receive(self) -> None:
        from ray.exceptions import RayError

        end = RayIngestError(f"Ray ended before every file had come back. {_AGAIN}")
        try:
            for table in self._dataset().iter_batches(
                batch_size=None, prefetch_batches=0, batch_format="pyarrow"
            ):
                for packed in table["packed"]:
                    self._arrived.put(pickle.loads(packed.as_buffer()))
        except (RayError, RuntimeError, OSError, ValueError) as error:
            end = _gave_up(error)
        finally:
            self._arrived.put(end)

    def _dataset(self) -> Dataset:
        """Return what decodes and embeds one parcel per ticket, on any machine and in any order."""
        import ray

        read = partial(read_parcel, desk=self._desk, limits=self._limits)
        with warnings.catch_warnings():  # Ray warns that retries will have another place in 2.64
            warnings.simplefilter("ignore")
            files = ray.data.read_datasource(
                _tickets(read, self._tickets),
                override_num_blocks=self._tickets,
                num_cpus=_READER_CPUS,
                concurrency=self._share.readers,
                ray_remote_args={"max_retries": _RETRIES},
            )
            return self._embedded(files)

    def _embedded(self, files: Dataset) -> Dataset:
        share, made_by = self._share, self._model.provenance
        settings = _far_settings(self._settings, share)
        return files.map_batches(
            Encoder,
            fn_constructor_args=(settings, ModelChoice.of(made_by), made_by),
            batch_size=1,
            batch_format="pyarrow",
            compute=_actors(share),
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_task_retries=_RETRIES,
        )


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
        tickets = -(-self._progress.total // self._settings.batch_files)
        with self._decoder() as decoder, closing(self._line(decoder.limits, max(1, tickets))) as line:
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
        parts = [MediaItem(row.item, _vector(row)) for row in rows if row.item]
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
    with _connected(address):
        share = divided(_machines(), workers, on_gpu=_uses_gpu(choice, settings))
        on_progress(Progress(f"Loading {choice.id} on a worker", 0, len(found.sources)))
        model = _described(choice, settings, share)
        if not accept_slow:
            _check_speed(model, share, len(found.sources))
        return RayIngest(collection, folder, model, Hooks(on_progress), share=share).run(found)


def _check_speed(model: FarEmbedder, share: Share, items: int) -> None:
    """Raise SlowModelError where all workers together would take longer than `ingest_files` may."""
    slowest = slowest_ingested(model.seconds_per_item) / share.workers
    if slowest * items > SLOW_SECONDS:
        where = f"{share.workers} Ray workers"
        raise SlowModelError(model.spec.id, where, seconds_per_item=slowest, items=items)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to Ray for a while; what it prints meanwhile, of dead workers too, goes to standard error."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        fix = "Install it with `pip install -r requirements-ray.txt`, on every machine of the cluster."
        raise RayIngestError(f"Ray cannot be imported ({error}). {fix}") from error
    _check_reachable(address)
    _keep_quiet()
    with redirect_stdout(sys.stderr):
        try:
            _start(address)
            yield
        except ray.exceptions.RayError as error:
            raise _gave_up(error) from error
        finally:
            ray.shutdown()


def _start(address: str | None) -> None:
    import ray

    try:
        ray.init(
            address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"py_modules": [str(PROJECT_DIR / "engine")], "excludes": ["**/__pycache__"]},
        )
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        token = "A cluster that asks for a token wants RAY_AUTH_MODE=token in the environment."
        raise RayIngestError(f"Ray cannot be used ({_first_line(error)}). {_JOIN} {token}") from error


def _check_reachable(address: str | None) -> None:
    """Raise RayIngestError where nobody answers: Ray itself waits for minutes, then aborts the process."""
    from ray._private.services import canonicalize_bootstrap_address  # the only reader of Ray's own rules

    try:
        found = canonicalize_bootstrap_address(address)
        if found is not None:
            host, _, port = found.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        shown = address or "that RAY_ADDRESS names"
        raise RayIngestError(
            f"The Ray cluster {shown} cannot be reached ({_first_line(error)}). {_JOIN}"
        ) from error


def _keep_quiet() -> None:
    """Leave standard error to our own words; Ray keeps its logs in the folder of its session."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


def _uses_gpu(choice: ModelChoice, settings: Settings) -> bool:
    return describe(choice.id).runner != "pocket" and set(settings.devices) != {"cpu"}


def divided(machines: Sequence[Mapping[str, float]], workers: int | None, *, on_gpu: bool) -> Share:
    """Divide machines, each as Ray's {"CPU": 8, "GPU": 1}, so that reading finds a core beside the actors.

    Raises RayIngestError where there are no cores, or more workers are asked for than there are GPUs.
    """
    cores = [machine.get("CPU", 0.0) for machine in machines]
    gpus = int(sum(machine.get("GPU", 0.0) for machine in machines)) if on_gpu else 0
    if not sum(cores):
        raise RayIngestError("The Ray cluster has no CPUs to work with. Let a machine that has some join it.")
    if gpus and (workers or 0) > gpus:
        raise RayIngestError(f"{workers} workers need a GPU each, and the Ray cluster has {gpus}.")
    count = workers or gpus or max(1, int(sum(cores) // _CORES_PER_WORKER))
    each = min(_RESERVED * sum(cores) / count, max(cores) / 2)
    readers = min(max(2, int(sum(cores))), 4 * count + 4)
    return Share(count, cpus=max(0.01, int(each * 100) / 100), gpus=min(1, gpus), readers=readers)


def _machines() -> list[Mapping[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _far_settings(settings: Settings, share: Share) -> Settings:
    device = "cuda:0" if share.gpus else "cpu"  # Ray shows an actor only the GPU that it gave it
    return settings.model_copy(update={"threads": share.threads, "device": device, "chroma_url": None})


def _described(choice: ModelChoice, settings: Settings, share: Share) -> FarEmbedder:
    """Ask a worker what the model is; the driver may be a machine that cannot load it."""
    import ray

    # max_calls ends the process afterwards, or it would keep the weights in memory.
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1)(described)
    model = ray.get(task.remote(_far_settings(settings, share), choice))
    if isinstance(model, str):
        raise ModelError(model)
    return model


def _here(actor: type) -> Any:
    """Start an actor on the driver's own machine, where it dies with the driver and with nobody else."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(actor).options(num_cpus=0, scheduling_strategy=here).remote()


def _tickets(read: Callable[[int], Iterator[pa.Table]], count: int) -> Any:
    """Return a source of so many read tasks, each for one parcel."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Tickets(Datasource):
        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, parallelism: int, *args: object, **options: object) -> list[ReadTask]:
            unknown = BlockMetadata(None, None, None, None)
            return [ReadTask(partial(read, ticket), unknown) for ticket in range(count)]

    return Tickets()


def _actors(share: Share) -> Any:
    from ray.data import ActorPoolStrategy

    return ActorPoolStrategy(
        size=share.workers,
        max_tasks_in_flight_per_actor=_AT_ONCE + 1,
        max_concurrent_calls_per_actor=_AT_ONCE,
        enable_true_multi_threading=True,
    )


def _vector(row: Row) -> np.ndarray | MediaError | None:
    """Return the vector (dim,) float32 of an item that is back, or why it has none."""
    return MediaError(row.reason) if row.reason else row.vector


def _without_bytes(probes: Iterable[Probe]) -> list[Probe]:
    return [replace(probed, data=b"") for probed in probes]


def _gave_up(error: BaseException) -> RayIngestError:
    cause = getattr(error, "cause", None) or error
    return RayIngestError(f"Ray gave up ({type(cause).__name__}: {_first_line(cause)}). {_AGAIN}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
