"""The models in memory: loaded once per process, lent to whoever asks, unloaded when nobody uses them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, overload

from engine.errors import ModelError, ModelKindError, ModelMemoryError
from engine.models.base import Embedder, Kind, LoadedModel, ModelChoice, ModelSpec, Reranker
from engine.models.device import Device, devices, free_bytes, is_out_of_memory, release
from engine.types import Modality

if TYPE_CHECKING:
    from engine.settings import Settings

log = logging.getLogger(__name__)
OnStage = Callable[[str], None]


class Weights(Protocol):
    """One copy of a model in memory, as `load` returns it; views of other widths and prompts share it.

    `memory_bytes` is what it occupies, `seconds_per_item` what one item of a modality took.
    """

    kind: Kind
    spec: ModelSpec
    memory_bytes: int
    seconds_per_item: Mapping[Modality, float]

    def view(self, choice: ModelChoice) -> Embedder | Reranker:
        """Return a light wrapper with the width and the prompts of a choice."""
        ...

    def close(self) -> None:
        """Let the memory go, also where somebody still holds a view."""
        ...


@dataclass(eq=False)
class _Entry:
    weights: Weights
    device: Device
    shown: LoadedModel
    leases: int = 1  # of whoever had it loaded: it is nobody's to unload before its first use

    def is_for(self, key: ModelChoice) -> bool:
        """Tell whether it was loaded for this key, or is what the key names with all defaults filled in."""
        return key in (self.shown.choice, ModelChoice.of(self.shown.provenance).weights)


@dataclass(eq=False)
class _Loading:
    choice: ModelChoice
    thread: int
    stage: str

    def words_for(self, key: ModelChoice) -> str:
        """Return what somebody who waits for `key` is told."""
        waiting = f"Waiting: {self.choice.id} is being loaded ({self.stage})"
        return self.stage if key == self.choice else waiting


class LoadedModels:
    """The one owner of models in memory, shared by all visitors; safe to call from several threads.

    `load` brings a model into memory, `needs` tells the bytes that will take (None: unknown) and
    `would_fit` names the models that fit into so many bytes of a device; the three get the part of a
    choice that concerns the weights. `device_of` tells where a choice is loaded, by default on the
    first of the devices. None of them may use a model of this owner.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[ModelChoice, Device, OnStage], Weights],
        needs: Callable[[ModelChoice, Device], int | None],
        would_fit: Callable[[Device, int], Iterable[str]],
        device_of: Callable[[ModelChoice], Device] | None = None,
    ) -> None:
        self._load, self._needs, self._would_fit = load, needs, would_fit
        self._device_of = device_of or (lambda choice: devices(settings)[0])
        # Held while memory is measured and given back, so that no load counts what is half unloaded.
        self._memory = threading.RLock()
        # Held for moments, never during a load; guards what follows.
        self._changed = threading.Condition()
        self._table: dict[ModelChoice, _Entry] = {}  # least recently used first
        self._loading: _Loading | None = None  # whoever sets it has the right to load
        self._closed = False

    @overload
    def use(
        self, choice: ModelChoice, kind: Literal["embedder"] = ..., on_stage: OnStage = ...
    ) -> AbstractContextManager[Embedder]: ...

    @overload
    def use(
        self, choice: ModelChoice, kind: Literal["reranker"], on_stage: OnStage = ...
    ) -> AbstractContextManager[Reranker]: ...

    @overload
    def use(
        self, choice: ModelChoice, kind: Kind, on_stage: OnStage = ...
    ) -> AbstractContextManager[Embedder | Reranker]: ...

    @contextmanager
    def use(
        self, choice: ModelChoice, kind: Kind = "embedder", on_stage: OnStage = lambda stage: None
    ) -> Iterator[Any]:
        """Lend a model for the length of a with block, loading it if need be; nobody unloads it meanwhile.

        The view is not to be used after the block. One load runs at a time; on_stage is told in words
        what is being waited for, also by those who wait for the load of another visitor. They never
        load the same model twice, but try anew where that load fails.
        Raises ModelKindError for a model of another kind, ModelMemoryError for one that does not fit
        with everything idle unloaded (then nothing is unloaded, unless the size was known only by
        trying), and whatever `load` raises; the other models go on working.
        """
        entry = self._claim(choice.weights, on_stage) or self._load_claimed(choice.weights, on_stage)
        try:
            if entry.weights.kind != kind:
                raise ModelKindError(choice.id, entry.weights.kind, kind)
            yield entry.weights.view(choice)
        finally:
            self._give_back(entry)

    def list(self) -> list[LoadedModel]:
        """Return the models in memory, least recently used first."""
        with self._changed:
            return [replace(entry.shown, in_use=entry.leases) for entry in self._table.values()]

    def is_loaded(self, choice: ModelChoice) -> bool:
        """Tell whether the model can be used without loading it."""
        with self._changed:
            return self._find(choice.weights) is not None

    def stage(self) -> tuple[ModelChoice, str] | None:
        """Return what is being loaded right now and how far it is, in words."""
        with self._changed:
            return (self._loading.choice, self._loading.stage) if self._loading else None

    def unload(self, choice: ModelChoice) -> bool:
        """Unload a model; False where it is not loaded or somebody uses it."""
        with self._memory:
            with self._changed:
                entry = self._find(choice.weights)
                if entry is None or entry.leases:
                    return False
                del self._table[entry.shown.choice]
            device = entry.device
            try:
                entry.weights.close()
            finally:
                del entry  # or its weights would outlive the release
                release(device)
        return True

    def close(self) -> None:
        """Unload every model; one in use goes when it is given back, and no other is lent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            keys = [*self._table]
        for key in keys:
            self.unload(key)

    def _find(self, key: ModelChoice) -> _Entry | None:
        return next((entry for entry in self._table.values() if entry.is_for(key)), None)

    def _claim(self, key: ModelChoice, on_stage: OnStage) -> _Entry | None:
        """Wait for a lease on the model, or for the right to load it (None)."""
        told = ""  # nothing yet, so that the first look never waits
        while True:
            with self._changed:
                self._changed.wait_for(partial(self._is_news, key, told))
                if self._closed:
                    raise ModelError("Gapscope is shutting down and lends no more models. Start it again.")
                if entry := self._find(key):
                    entry.leases += 1
                    return entry
                if self._loading is None:
                    self._loading = _Loading(key, threading.get_ident(), f"Loading {key.id}")
                    return None
                told = self._loading.words_for(key)
            on_stage(told)  # with no lock held: it may take its time, or leave by an exception

    def _is_news(self, key: ModelChoice, told: str) -> bool:
        """Tell whether somebody who waits for `key` and knows `told` has anything to do."""
        if self._loading is None or self._closed:
            return True
        if self._loading.thread == threading.get_ident():
            raise RuntimeError("a load must not use another model of this owner: it would wait for itself")
        return self._loading.words_for(key) != told

    def _give_back(self, entry: _Entry) -> None:
        with self._changed:
            entry.leases -= 1
            self._table[entry.shown.choice] = self._table.pop(entry.shown.choice)  # the most recently used
            closed = self._closed
        if closed:
            self.unload(entry.shown.choice)

    def _load_claimed(self, key: ModelChoice, on_stage: OnStage) -> _Entry:
        """Load a model and lend it; lets the next load begin, however this one ends."""
        started = time.perf_counter()
        try:
            self._say(f"Loading {key.id}", on_stage)
            device = self._device_of(key)
            weights = self._load_fitting(key, device, lambda words: self._say(words, on_stage))
            shown = _shown(key, device, weights, time.perf_counter() - started)
            entry = _Entry(weights, device, shown)
            with self._changed:
                self._table[key] = entry
            return entry
        finally:
            with self._changed:
                self._loading = None
                self._changed.notify_all()

    def _say(self, words: str, on_stage: OnStage) -> None:
        with self._changed:
            if self._loading:
                self._loading.stage = words
            self._changed.notify_all()
        on_stage(words)

    def _load_fitting(self, key: ModelChoice, device: Device, say: OnStage) -> Weights:
        needed = self._needs(key, device)
        if needed is not None:
            self._make_room(key, device, needed, say)
        weights = self._attempt(key, device, say)
        if weights is None:
            say(f"Memory ran out: unloading what nobody uses, then loading {key.id} again")
            for other in self._idle(device):
                self.unload(other)
            release(device)
            weights = self._attempt(key, device, say)
        if weights is None:
            release(device)
            free = free_bytes(device)
            self._refuse(key, device, needed=needed if needed and needed > free else None, free=free)
        return weights

    def _attempt(self, key: ModelChoice, device: Device, say: OnStage) -> Weights | None:
        """Load, or return None where memory runs out; by then nothing holds the half of a model."""
        try:
            return self._load(key, device, say)
        except (MemoryError, RuntimeError, OSError, ModelError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("%s ran out of memory on %s: %s", key.id, device.name, str(error))  # a record is kept
            return None

    def _make_room(self, key: ModelChoice, device: Device, needed: int, say: OnStage) -> None:
        """Unload the least recently used until `needed` bytes are free, and nothing where that is in vain."""
        if free_bytes(device) >= needed:
            return
        with self._memory:
            release(device)
            idle = self._idle(device)
            reachable = free_bytes(device) + sum(idle.values())
            if reachable < needed:
                self._refuse(key, device, needed=needed, free=reachable)
            for other in idle:
                if free_bytes(device) >= needed:
                    return
                say(f"Unloading {other.id} to make room for {key.id}")
                self.unload(other)
            if (free := free_bytes(device)) < needed:  # lent meanwhile, or held by something else
                self._refuse(key, device, needed=needed, free=free)

    def _idle(self, device: Device) -> dict[ModelChoice, int]:
        """Return the models that nobody uses with their bytes; keys alone keep no model alive."""
        with self._changed:
            idle = {key: one for key, one in self._table.items() if one.device.name == device.name}
            return {key: one.shown.memory_bytes for key, one in idle.items() if not one.leases}

    def _refuse(self, key: ModelChoice, device: Device, *, needed: int | None, free: int) -> NoReturn:
        fitting = self._would_fit(device, free)
        needed_gb = None if needed is None else needed / 1e9
        raise ModelMemoryError(key.id, device.name, needed_gb=needed_gb, free_gb=free / 1e9, fitting=fitting)


def _shown(key: ModelChoice, device: Device, weights: Weights, seconds: float) -> LoadedModel:
    view = weights.view(key)
    return LoadedModel(
        choice=key,
        kind=weights.kind,
        provenance=view.provenance,
        modalities=view.modalities,
        device=device.name,
        memory_bytes=weights.memory_bytes,
        load_seconds=seconds,
        seconds_per_item=dict(weights.seconds_per_item),
    )
