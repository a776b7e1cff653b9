"""How many items go through a model at once, and whose turn it is; one for every loaded model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from engine.errors import ModelError
from engine.models.base import EncodingTask
from engine.models.device import Device, is_out_of_memory, release
from engine.models.hub.opening import first_line, library_errors
from engine.models.question_first import Turns
from engine.types import Modality

log = logging.getLogger(__name__)
_BATCH_SECONDS = 1.0  # a question waits for one batch: where an item takes long, batches are short


class Batches:
    """Runs a model batch by batch; safe from several threads.

    Questions go ahead of documents after the batch that runs. Where memory runs out the batch is
    halved, and stays so. A batch holds as many items as took about a second lately, at most `most`.
    """

    def __init__(self, model: str, device: Device, most: int) -> None:
        self._model, self._device, self._most = model, device, most
        self._turns = Turns()
        self._limit: dict[Modality, int] = {}
        self._pace: dict[Modality, float] = {}  # seconds an item took lately

    def alone(self) -> AbstractContextManager[None]:
        """Keep the model from everybody else, for the length of a with block."""
        return self._turns.documents()

    def size(self, modality: Modality) -> int:
        """Return how many items the next batch may hold."""
        pace = self._pace.get(modality, 0.0)
        in_time = int(_BATCH_SECONDS / pace) if pace > 0 else self._most
        return max(1, min(self._limit.get(modality, self._most), in_time))

    def run(
        self,
        task: EncodingTask,
        modality: Modality,
        items: Sequence[Any],
        forward: Callable[[list[Any]], np.ndarray],
        *,
        most: int | None = None,
    ) -> list[np.ndarray]:
        """Return what `forward` gives for one part of the items after the other, order kept.

        `forward` gives a row per item, (b, width) or (b,) of any float dtype; returned are these as float32.
        Raises ModelError for what the model's library says, and for memory that one item exceeds.
        """
        parts, start = [], 0
        while start < len(items):
            size = min(self.size(modality), most or self._most)
            part = self._forward(task, modality, list(items[start : start + size]), forward)
            if part is not None:
                parts.append(part)
                start += size
        return parts

    def _forward(
        self,
        task: EncodingTask,
        modality: Modality,
        part: list[Any],
        forward: Callable[[list[Any]], np.ndarray],
    ) -> np.ndarray | None:
        """Return the rows of one batch, (b, width) or (b,) float32.

        None where memory ran out and a smaller one may do. Raises ModelError as `run` does.
        """
        try:
            with self._turns.question() if task == "query" else self._turns.documents():
                started = time.perf_counter()
                rows = np.asarray(forward(part), np.float32)
                self._pace[modality] = (time.perf_counter() - started) / len(part)
                return rows
        except library_errors() as error:
            if not is_out_of_memory(error):
                raise self._failed(modality, error) from error
        release(self._device)  # outside the handler: its traceback would keep the tensors alive
        if len(part) == 1:
            raise ModelError(
                f"{self._model} ran out of memory with one {modality} item on {self._device.name}. "
                f"Lower its pixel limit, unload other models, or choose a smaller one."
            )
        self._limit[modality] = len(part) // 2
        log.warning("%s: out of memory, %d %s items a batch now", self._model, len(part) // 2, modality)
        return None

    def _failed(self, modality: Modality, error: BaseException) -> ModelError:
        return ModelError(f"{self._model} failed on {modality}: {first_line(error)}")
