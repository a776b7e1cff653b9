"""One ONNX Runtime session shared by a few threads; knows nothing of texts or pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.errors import WeightsError


def _load_errors() -> tuple[type[Exception], ...]:
    """Return ONNX Runtime's own exceptions, which share no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (value for value in vars(state).values() if isinstance(value, type))
    return (RuntimeError, *(kind for kind in own if issubclass(kind, Exception)))


class Runner:
    """Runs chunks of a batch side by side, each on one thread.

    Two one-threaded streams gave 97 pictures/s where one two-threaded session gave 75 to 92 (two
    cores, EfficientNet-Lite2): a small network does not fill two cores by itself.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _load_errors() as error:
            raise WeightsError(
                f"The converted weights {path} cannot be loaded ({error}). Delete the folder "
                f"{path.parent}; it is built again on the next start."
            ) from error
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pocket")

    def run(self, chunks: Sequence[dict[str, np.ndarray]]) -> list[np.ndarray]:
        """Return the network's first output for all chunks of named inputs, in order.

        Inputs are (b, ...) of the network's own dtypes; those of Pocket give (b, ...) float32.
        """
        if len(chunks) == 1:
            return [self._one(chunks[0])]
        return list(self._pool.map(self._one, chunks))

    def _one(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Return the first output for one chunk, as in `run`."""
        return self._session.run(None, feeds)[0]
