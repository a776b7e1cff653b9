"""Parcels of files on their way to the workers of Ray and back, so many at once; stores nothing.

Only the driver calls it. `workers.py` is what runs on the other side.
"""

from __future__ import annotations

import pickle
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import GapscopeError, ModelError, RayIngestError
from engine.ingest.ray.workers import (
    Desk,
    Encoder,
    FarEmbedder,
    Parcel,
    Row,
    decoded,
    packets,
    to_table,
)
from engine.media.parts import Limits
from engine.models.base import ModelChoice
from engine.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

_SILENCE_SECONDS = 600.0
RESERVED = 0.25  # of the cores by actors: as much is left where a machine dies and its actors move
_READER_CPUS = 0.25
_RETRIES = 3  # of a task whose worker died; one that kills every worker must end the ingest
_AT_ONCE = 2  # calls in an actor: one prepares while the other embeds
AGAIN = "What was stored is kept: run the same command again, and it goes on from there."


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
        return max(1, round(self.cpus / RESERVED))

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
                f"Nothing has come back from the Ray cluster for {self._patience / 60:.0f} minutes. {AGAIN}"
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

        end = RayIngestError(f"Ray ended before every file had come back. {AGAIN}")
        try:
            for table in self._dataset().iter_batches(
                batch_size=None, prefetch_batches=0, batch_format="pyarrow"
            ):
                for packed in table["packed"]:
                    self._arrived.put(pickle.loads(packed.as_buffer()))
        except (RayError, RuntimeError, OSError, ValueError) as error:
            end = gave_up(error)
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
        settings = far_settings(self._settings, share)
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


def far_settings(settings: Settings, share: Share) -> Settings:
    """Return the settings of a worker, which has a share of the machines and no store."""
    device = "cuda:0" if share.gpus else "cpu"  # Ray shows an actor only the GPU that it gave it
    return settings.model_copy(update={"threads": share.threads, "device": device, "chroma_url": None})


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


def gave_up(error: BaseException) -> RayIngestError:
    """Return the error of a run that Ray has ended, with its cause and the way out."""
    cause = getattr(error, "cause", None) or error
    return RayIngestError(f"Ray gave up ({type(cause).__name__}: {first_line(cause)}). {AGAIN}")


def first_line(error: BaseException) -> str:
    """Return an error's first line, without a full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
