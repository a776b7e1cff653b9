"""Embedders through sentence-transformers: one copy of the weights, and light views of it.

A view adds what a person may choose without another copy: width, prompts, pixel limits. What is on
disk and on which device it is loaded are the business of `files.py` and `load.py`.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ModalityError, ModelError, ModelOptionError, WeightsError
from engine.media.pixels import within_aspect
from engine.models.base import EncodingTask, Kind, ModelChoice, ModelSpec
from engine.models.device import Device
from engine.models.hub.batches import Batches
from engine.models.hub.inputs import (
    at_least_two,
    check_aspect,
    clean_words,
    resampled,
    shrunk,
    to_input,
    to_message,
    to_mixed,
    video_options,
    windows,
)
from engine.models.hub.limits import image_side, marks, model_pixel_limits, sound_limits
from engine.models.hub.opening import library_errors, remedy
from engine.models.probes import probe
from engine.types import MODALITIES, Frames, Modality, Provenance, Sound, to_fingerprint
from engine.vectors import normalise, truncate

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)
_CHEAP_SECONDS = 5.0
# Fingerprints that are kept were taken of these: one of a further kind would agree with none of them.
_FINGERPRINTED: tuple[Modality, ...] = ("text", "image")
LARGE_INGEST = 1_000  # items from which starting a process per device pays
WORDS = ("cat", "dog", "sky")  # that every tokenizer tells apart
_ALIKE = 1e-6


class EmbedderWeights:
    """One loaded embedder: the owner of its memory and of who may use it next."""

    kind: Kind = "embedder"

    def __init__(
        self,
        spec: ModelSpec,
        made_by: Provenance,
        towers: Mapping[Modality, SentenceTransformer],
        device: Device,
        *,
        batch_items: int,
        devices: Sequence[str] = (),
    ) -> None:
        self.spec, self.device, self.made_by = spec, device, made_by
        self._devices = tuple(devices)
        self.modalities: tuple[Modality, ...] = tuple(one for one in MODALITIES if one in towers)
        self.dim = made_by.dim
        self._towers = dict(towers)
        self._batches = Batches(spec.id, device, batch_items)
        self._pooling = threading.Lock()  # the queues of a pool take one call at a time
        self._pool: tuple[dict[str, Any], int] | None = None
        self._fingerprints: dict[Provenance, str] = {}
        self.memory_bytes = sum(tensor_bytes(tower) for tower in _distinct(self._towers))
        self.seconds_per_item: Mapping[Modality, float] = {one: self._measure(one) for one in self.modalities}
        self._check_words()

    def view(self, choice: ModelChoice) -> SentenceEmbedder:
        """Return an embedder with this choice's width, prompts and pixel limits. Raises ModelOptionError."""
        view = SentenceEmbedder(self, choice)
        if view.provenance not in self._fingerprints:
            self._fingerprints[view.provenance] = view.fingerprint()
        view.provenance = replace(view.provenance, fingerprint=self._fingerprints[view.provenance])
        return view

    def close(self) -> None:
        """Let go of the model; views of it cannot be used afterwards."""
        self._towers.clear()

    def tower(self, modality: Modality) -> SentenceTransformer:
        """Return the model that embeds this modality. Raises ModalityError, or ModelError once closed."""
        if not self._towers:
            raise ModelError(f"{self.spec.id} was unloaded; ask again.")
        if modality not in self._towers:
            raise ModalityError(self.spec.id, modality, self.modalities)
        return self._towers[modality]

    def encode(
        self,
        task: EncodingTask,
        modality: Modality,
        inputs: Sequence[Any],
        prompt: str,
        processing: dict[str, Any],
    ) -> np.ndarray:
        """Embed n inputs of sentence-transformers: (n, width) float32 as the model gives them, at full width.

        task is "query" or "document"; questions go ahead of documents after the batch that runs.
        Where memory runs out, the batch is halved and stays so.
        """
        tower = self.tower(modality)
        call = tower.encode_query if task == "query" else tower.encode_document
        options = {"prompt": prompt, "show_progress_bar": False, "processing_kwargs": processing}
        if self._pool and task == "document" and inputs:
            rows = self._in_pool(modality, call, list(inputs), options)
            if rows is not None:
                return rows
        parts = self._batches.run(
            task, modality, inputs, lambda part: call(part, batch_size=len(part), **options)
        )
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    @contextmanager
    def spread(self, items: int) -> Iterator[int]:
        """Encode documents on all devices while it lasts, where there are several and many items.

        Yields how many devices work. Every device gets a process with its own copy, by
        sentence-transformers' own pool; questions stay with the copy of this process.
        """
        towers = list(_distinct(self._towers))
        devices = self._devices
        if len(devices) < 2 or items < LARGE_INGEST or len(towers) > 1 or self._pool:
            yield 1
            return
        started = self._processes(towers[0])
        if started is None:
            yield 1
            return
        self._pool = started, len(devices)
        try:
            yield len(devices)
        finally:
            self._pool = None
            with self._pooling:
                towers[0].stop_multi_process_pool(started)

    def _processes(self, tower: SentenceTransformer) -> dict[str, Any] | None:
        """Start a process per device, or return None where that fails."""
        with self._batches.alone():  # no question may meet the weights on their way to the CPU and back
            try:
                with _hidden_script():
                    return tower.start_multi_process_pool(list(self._devices))
            except library_errors() as error:
                log.warning(
                    "%s: no processes for several devices (%s); going on with one", self.spec.id, error
                )
                return None
            finally:
                tower.to(self.device.name)  # the start takes it to the CPU, and leaves it there

    def _in_pool(
        self, modality: Modality, call: Callable[..., Any], inputs: list[Any], options: dict[str, Any]
    ) -> np.ndarray | None:
        """Return vectors (n, width) float32 from the processes of `spread`; None where they failed."""
        with self._pooling:
            if not self._pool:
                return None
            pool, devices = self._pool
            chunk = max(1, -(-len(inputs) // devices))
            try:
                options = {**options, "batch_size": min(chunk, self._batches.size(modality))}
                return np.asarray(call(inputs, pool=pool, chunk_size=chunk, **options), np.float32)
            except library_errors() as error:
                log.warning("%s: a process failed (%s); going on without", self.spec.id, error)
                self._pool = None
        return None

    def _measure(self, modality: Modality) -> float:
        """Return the seconds one item takes, after a first one that warms up where that is cheap."""
        view = SentenceEmbedder(self, ModelChoice(self.spec.id))
        for _ in range(2):
            started = time.perf_counter()
            view.encode_query(modality, [probe(modality)])
            seconds = time.perf_counter() - started
            if seconds > _CHEAP_SECONDS:
                break
        return seconds

    def _check_words(self) -> None:
        """Raise WeightsError where all words embed alike: transformers makes up a missing tokenizer."""
        if "text" not in self.modalities:
            return
        rows = SentenceEmbedder(self, ModelChoice(self.spec.id)).encode_query("text", WORDS)
        if np.ptp(rows, axis=0).max() < _ALIKE:
            raise alike(self.spec.id)


class SentenceEmbedder:
    """An `base.Embedder`: loaded weights seen with one width, one pair of prompts, one pixel limit."""

    def __init__(self, weights: EmbedderWeights, choice: ModelChoice) -> None:
        self._weights, self.spec, self.modalities = weights, weights.spec, weights.modalities
        self.provenance = _resolved(weights, choice)
        hears = "audio" in self.modalities
        self._rate_hz, self._window = sound_limits(weights.tower("audio")) if hears else (0, 0)
        self._marks = marks(weights.tower("text")) if "text" in self.modalities else frozenset()
        self.image_side_px = self._image_side() if "image" in self.modalities else None

    def prepare(self, modality: Modality, content: Any) -> Any:
        """Clean text; reduce a picture of more than 4 megapixels; cut sound into windows.

        Raises ModalityError, or MediaError for what this model cannot take.
        """
        self._weights.tower(modality)
        if modality == "text":
            return clean_words(content, self._marks)
        if modality == "image":
            if self.provenance.max_pixels:
                check_aspect(content)
            else:
                content = within_aspect(content)
            return shrunk(content, self.image_side_px)
        if modality == "audio":
            return windows(resampled(content, self._rate_hz), self._window)
        return at_least_two(content)

    def encode_document(self, modality: Modality, prepared: Sequence[Any]) -> np.ndarray:
        """Embed prepared inputs: (n, dim) float32, rows of unit length. Raises ModelError."""
        return self._encode("document", modality, prepared, self.provenance.document_prompt)

    def encode_query(self, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
        """Embed questions: (n, dim) float32, rows of unit length. Raises ModelError."""
        prepared = [self.prepare(modality, one) for one in contents]
        return self._encode("query", modality, prepared, self.provenance.query_prompt)

    def encode_mixed(
        self, task: EncodingTask, contents: Sequence[Sequence[tuple[Modality, Any]]]
    ) -> np.ndarray:
        """Embed n inputs of several parts each, such as a picture with its caption: (n, dim) float32.

        task is "query" or "document". Of sound longer than the model's window the first window counts.
        Raises ModalityError where the model takes no such mixture, ModelError where it fails.
        """
        prepared = [[(kind, self._one(kind, content)) for kind, content in parts] for parts in contents]
        inputs = [self._mixed(parts) for parts in prepared]
        videos = [[content for kind, content in parts if kind == "video"] for parts in prepared]
        prompt = getattr(self.provenance, f"{task}_prompt")
        kinds = {kind for parts in contents for kind, _ in parts} or {self.modalities[0]}
        kind = max(kinds, key=self._weights.seconds_per_item.__getitem__)  # its batches are short enough
        if not any(videos):
            return self._finish(self._weights.encode(task, kind, inputs, prompt, self._processing()))
        rows = [
            self._weights.encode(task, kind, [one], prompt, self._processing(shown))
            for one, shown in zip(inputs, videos, strict=True)
        ]
        return self._finish(np.concatenate(rows))

    def fingerprint(self) -> str:
        """Return the vectors of a fixed sentence and picture, to tell those of other releases apart."""
        kinds = [one for one in self.modalities if one in _FINGERPRINTED] or self.modalities[:1]
        return ".".join(to_fingerprint(self.encode_query(one, [probe(one)])[0]) for one in kinds)

    def spread(self, items: int) -> AbstractContextManager[int]:
        """Use every device for a large ingest; see `EmbedderWeights.spread`."""
        return self._weights.spread(items)

    def _mixed(self, parts: Sequence[tuple[Modality, Any]]) -> Any:
        kinds = [modality for modality, _ in parts]
        model = self._weights.tower(self.modalities[0])
        mixture = tuple(sorted(kinds)) if len(kinds) > 1 else "".join(kinds)
        if len(set(kinds)) == len(kinds) and model.supports(mixture):
            return to_mixed(parts)
        if model.supports("message") and kinds:
            return to_message(parts)
        raise ModalityError(self.spec.id, " with ".join(kinds), self.modalities)

    def _one(self, modality: Modality, content: Any) -> Any:
        prepared = self.prepare(modality, content)
        return prepared[0] if modality == "audio" else prepared

    def _encode(
        self, task: EncodingTask, modality: Modality, prepared: Sequence[Any], prompt: str
    ) -> np.ndarray:
        """Embed n prepared inputs: (n, dim) float32, rows of unit length. Raises ModelError."""
        self._weights.tower(modality)
        if modality == "audio":
            return self._encode_windows(task, prepared, prompt)
        if modality == "video":
            return self._encode_videos(task, prepared, prompt)
        inputs = [to_input(modality, one) for one in prepared]
        return self._finish(self._weights.encode(task, modality, inputs, prompt, self._processing()))

    def _encode_windows(self, task: EncodingTask, prepared: Sequence[list[Sound]], prompt: str) -> np.ndarray:
        """Embed each of n clips as the mean of its windows' vectors, weighted by their length.

        (n, dim) float32, rows of unit length.
        """
        cut = list(chain.from_iterable(prepared))
        inputs = [to_input("audio", window) for window in cut]
        rows = self._finish(self._weights.encode(task, "audio", inputs, prompt, {}))
        weighted = rows * np.array([[window.seconds] for window in cut], np.float32).reshape(-1, 1)
        ends = np.cumsum([len(one) for one in prepared])[:-1]
        sums = [part.sum(axis=0) for part in np.split(weighted, ends)] if prepared else []
        return normalise(np.stack(sums)) if sums else rows

    def _encode_videos(self, task: EncodingTask, prepared: Sequence[Frames], prompt: str) -> np.ndarray:
        """Embed n videos one by one: their times go to the processor beside them, not with them.

        (n, dim) float32, rows of unit length.
        """
        rows = [
            self._weights.encode(task, "video", [to_input("video", one)], prompt, self._processing([one]))
            for one in prepared
        ]
        return self._finish(np.concatenate(rows) if rows else np.zeros((0, self._weights.dim), np.float32))

    def _finish(self, rows: np.ndarray) -> np.ndarray:
        """Cut rows (n, width) float32 to this view's dim: (n, dim) float32, rows of unit length.

        Raises ModelError for a row that is zero or not finite.
        """
        try:
            return normalise(truncate(rows, self.provenance.dim))
        except ValueError as error:
            dtype = self.provenance.dtype
            fix = "Load it with float32." if dtype != "float32" else remedy(self.spec.id)
            raise ModelError(
                f"{self.spec.id} gave a vector that is zero or not finite at {dtype}. {fix}"
            ) from error

    def _processing(self, videos: Sequence[Frames] = ()) -> dict[str, Any]:
        """Return what the processor is told of this view's pixel limits, and of the videos of one input."""
        options = {"video": video_options(videos)} if videos else {}
        if self.provenance.max_pixels is None:
            return options
        size = {"shortest_edge": self.provenance.min_pixels, "longest_edge": self.provenance.max_pixels}
        return {**options, "image": {"size": size}}

    def _image_side(self) -> int | None:
        if self.provenance.max_pixels:
            return int(self.provenance.max_pixels**0.5)
        return image_side(self._weights.tower("image"))


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Keep new processes from running the script of this one again: under Streamlit it is a page."""
    script, nothing = sys.modules["__main__"], ModuleType("__main__")
    sys.modules["__main__"] = nothing
    try:
        yield
    finally:
        if sys.modules["__main__"] is nothing:
            sys.modules["__main__"] = script


def _resolved(weights: EmbedderWeights, choice: ModelChoice) -> Provenance:
    """Return what the vectors of a view are made by. Raises ModelOptionError for what cannot be had."""
    made_by, limits = weights.made_by, pixel_limits(weights)
    least = choice.min_pixels if choice.min_pixels is not None else made_by.min_pixels
    most = choice.max_pixels if choice.max_pixels is not None else made_by.max_pixels
    if limits is None and (choice.min_pixels, choice.max_pixels) != (None, None):
        raise ModelOptionError(weights.spec.id, "pixel limits", f"{least} to {most}", "pictures of one size")
    if limits is not None and not (least and most and 0 < least <= most):
        allowed = "min_pixels of at least 1 and max_pixels that is not smaller"
        raise ModelOptionError(weights.spec.id, "min_pixels and max_pixels", f"{least} and {most}", allowed)
    return Provenance(
        model=weights.spec.id,
        revision=made_by.revision,
        dim=_width(weights, choice.dim),
        dtype=made_by.dtype,
        query_prompt=made_by.query_prompt if choice.query_prompt is None else choice.query_prompt,
        document_prompt=made_by.document_prompt if choice.document_prompt is None else choice.document_prompt,
        min_pixels=least if limits else None,
        max_pixels=most if limits else None,
        libraries=made_by.libraries,
    )


def _width(weights: EmbedderWeights, wanted: int | None) -> int:
    full = weights.dim
    known = tuple(dim for dim in weights.spec.dims if dim < full)
    if wanted is None or wanted == full or wanted in known:
        return wanted or full
    if not known and weights.spec.dim is None and 0 < wanted < full:
        return wanted  # a model that the catalog does not know: its card says which widths are good
    allowed = ", ".join(str(one) for one in (full, *known)) if weights.spec.dim else f"1 to {full}"
    raise ModelOptionError(weights.spec.id, "width", wanted, allowed)


def pixel_limits(weights: EmbedderWeights) -> tuple[int, int] | None:
    """Return the model's own (min_pixels, max_pixels), or None where its pictures have one size."""
    return model_pixel_limits(weights.tower("image")) if "image" in weights.modalities else None


def _distinct(towers: Mapping[Modality, SentenceTransformer]) -> Iterator[SentenceTransformer]:
    return iter({id(tower): tower for tower in towers.values()}.values())


def alike(model: str) -> WeightsError:
    """Return the error for a model to which all words are one."""
    return WeightsError(
        f"{model} takes {', '.join(WORDS)} for the same: its tokenizer is missing or damaged. {remedy(model)}"
    )


def tensor_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of a model's parameters and buffers."""
    tensors = chain(model.parameters(), model.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
