"""The file of a kept pair of heads, with what it was trained on; trains nothing and embeds nothing.

A file is never written over: another training under the same name has another revision, and lies beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from engine.disk import DAMAGED, read_arrays, write_arrays
from engine.errors import WeightsError
from engine.models.catalog import TOWERS
from engine.types import Provenance

_FOLDER = "towers"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ARRAYS = ("image_weights", "image_bias", "text_weights", "text_bias")


@dataclass(frozen=True)
class TrainedOn:
    """What a pair of heads was trained on and how, as a collection records it of what made its vectors."""

    collection: str
    pairs: int
    temperature: float
    start: str
    mismatched: float
    steps: int
    seed: int
    features: str

    def __str__(self) -> str:
        wrong = f", {self.mismatched:.0%} of them mismatched" if self.mismatched else ""
        return (
            f"trained on {self.pairs:,} pairs of {self.collection!r}{wrong}: temperature "
            f"{self.temperature:g}, {self.start} features of {self.features}, {self.steps:,} steps, "
            f"seed {self.seed}; for teaching, not for retrieval"
        )


@dataclass(frozen=True)
class Heads:
    """Two linear heads: a vector is features @ weights + bias at unit length.

    image_weights (1280, d), text_weights (384, d), image_bias and text_bias (d,), all float32.
    """

    trained_on: TrainedOn
    image_weights: np.ndarray = field(repr=False)
    image_bias: np.ndarray = field(repr=False)
    text_weights: np.ndarray = field(repr=False)
    text_bias: np.ndarray = field(repr=False)

    @property
    def dim(self) -> int:
        """Return how many numbers a vector has."""
        return len(self.image_bias)

    @property
    def revision(self) -> str:
        """Return what differs where the heads, or what they were trained on, do."""
        digest = hashlib.sha256(json.dumps(asdict(self.trained_on), sort_keys=True).encode())
        for array in self.arrays().values():
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()[:12]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights and biases by name, shapes (n, d) and (d,), float32."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def provenance(self, model: str) -> Provenance:
        """Return what a collection records of the vectors that these heads make."""
        return Provenance(model, self.revision, self.dim, training=str(self.trained_on))


def keep(data_dir: Path, name: str, heads: Heads) -> str:
    """Write heads into the data folder; returns their revision. Raises FolderError, or WeightsError."""
    about = np.frombuffer(json.dumps(asdict(heads.trained_on)).encode(), np.uint8)
    folder, revision = _folder(data_dir, f"{TOWERS}{name}"), heads.revision
    write_arrays(folder / f"{revision}.npz", {**heads.arrays(), "about": about})
    return revision


def find(data_dir: Path, model: str, revision: str | None) -> str:
    """Return the revision of a kept model that is meant: the one given, or the newest.

    Raises WeightsError where it is not in this data folder.
    """
    found = _folder(data_dir, model).glob(f"{revision or '*'}.npz")
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        which = f" of revision {revision}" if revision else ""
        raise WeightsError(
            f"The heads of {model}{which} are not in {_folder(data_dir, model)}: they were never kept, or "
            f"deleted. Train them again and keep them under a new name, or re-embed with another model what "
            f"they had made."
        )
    return newest.stem


def read(data_dir: Path, model: str, revision: str) -> Heads:
    """Return kept heads. Raises WeightsError where they are not here, or not as they were written."""
    find(data_dir, model, revision)
    path = _folder(data_dir, model) / f"{revision}.npz"
    try:
        heads = _heads(read_arrays(path))
    except (*DAMAGED, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if heads.revision != revision:
        raise _damaged(path)
    return heads


def _heads(arrays: Mapping[str, np.ndarray]) -> Heads:
    about = TrainedOn(**json.loads(arrays["about"].tobytes()))
    return Heads(about, **{name: arrays[name] for name in _ARRAYS})


def _folder(data_dir: Path, model: str) -> Path:
    name = model.removeprefix(TOWERS)
    if not _NAME.fullmatch(name):
        raise WeightsError(f"{model!r} names no kept model: a name has letters, digits, dots, - and _.")
    return data_dir / _FOLDER / name


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"The heads in {path} are damaged. Delete that file, and train and keep them again.")
