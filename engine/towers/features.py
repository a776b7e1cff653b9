"""The features of a collection's captioned pictures, kept until the collection changes; trains nothing.

Pocket's networks make them (`models/pocket/features.py`), whatever model made the collection's vectors.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.analysis.gap import joined
from engine.disk import DAMAGED, folder_error, read_arrays, write_arrays
from engine.errors import FolderError, MediaError, TowerError
from engine.media.images import THUMBNAIL_PX
from engine.models.lender import Models
from engine.models.pocket.recipe import FEATURES
from engine.progress import CancelledError, Hooks, Progress
from engine.storage.columns import last_change, read_items
from engine.storage.data_folder import DataFolder
from engine.types import Failure, Modality

log = logging.getLogger(__name__)
MAX_PAIRS = 1_000  # every step compares all of them with all; of more, so many are drawn
_BATCH = 32
_SIDE_PX = THUMBNAIL_PX  # as an ingest decodes for Pocket, so that the same file is the same vector
_Pair = tuple[str, str]  # the id of a picture, and that of its text
_ARRAYS = ("images", "texts")


@dataclass(frozen=True)
class PairFeatures:
    """Features of n pairs: images (n, 1280) and texts (n, 384) float32, row i with row i.

    In the order of the pictures' names. `pairs` is how many the collection has, `unread` how many of those
    that were drawn could not be read, and `reason` why the first of them could not.
    """

    images: np.ndarray = field(repr=False)
    texts: np.ndarray = field(repr=False)
    pairs: int
    unread: int = 0
    reason: str = ""

    def __len__(self) -> int:
        return len(self.images)


def pair_features(folder: DataFolder, models: Models, collection: str, hooks: Hooks) -> PairFeatures:
    """Return the features of a collection's pairs: as they were kept, or made now and kept.

    Raises CollectionNotFoundError, TowerError where it has no pairs that can be read, ModelError,
    CancelledError, StoreError and FolderError.
    """
    version, path = f"{FEATURES} {last_change(folder, collection)}", _path(folder, collection)
    kept = _kept(path, version)
    if kept is None:
        kept = _made(folder, models, collection, hooks)
        about = [version, str(kept.pairs), str(kept.unread), kept.reason]
        try:
            write_arrays(path, {"images": kept.images, "texts": kept.texts, "about": np.array(about)})
        except FolderError as error:  # a full disk: they are made again the next time
            log.warning("the features of %s are not kept: %s", collection, error)
    return kept


def forget(folder: DataFolder, collection: str) -> None:
    """Delete the kept features of a collection. Raises FolderError."""
    path = _path(folder, collection)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise folder_error(path.parent, error) from error


def _path(folder: DataFolder, collection: str) -> Path:
    name = hashlib.sha256(collection.encode()).hexdigest()[:16]
    return folder.settings.data_dir / "features" / f"{name}.npz"


def _kept(path: Path, version: str) -> PairFeatures | None:
    """Return kept features; None where there are none, or of another version, or damaged ones."""
    try:
        arrays = read_arrays(path)
        kept, pairs, unread, reason = (str(part) for part in arrays["about"])
        if kept != version:
            return None
        return PairFeatures(arrays["images"], arrays["texts"], int(pairs), int(unread), reason)
    except FileNotFoundError:
        return None
    except (*DAMAGED, KeyError) as error:
        log.warning("%s cannot be read and is made anew: %s", path.name, error)
        return None


def _made(folder: DataFolder, models: Models, collection: str, hooks: Hooks) -> PairFeatures:
    pairs = _pairs(folder, collection)
    if not pairs:
        raise TowerError(
            f"{collection!r} has no picture with a caption of its own: two towers are trained on such pairs."
        )
    network = models.features(lambda stage: hooks.on_progress(Progress(stage, 0, 0)))
    rows: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    drawn, failed = _drawn(pairs), []
    for start in range(0, len(drawn), _BATCH):
        if hooks.cancelled():
            raise CancelledError
        hooks.on_progress(Progress("Reading the pairs", start, len(drawn), unit="pairs"))
        some, faults = _read(folder, collection, drawn[start : start + _BATCH], network.prepare)
        failed += faults
        if some:
            rows["images"].append(network.encode("image", [picture for picture, _ in some]))
            rows["texts"].append(network.encode("text", [text for _, text in some]))
    reason = f"{failed[0].name}: {failed[0].reason}" if failed else ""
    if not rows["images"]:
        raise TowerError(f"None of the {len(drawn):,} pairs of {collection!r} can be read. {reason}")
    images, texts = (np.concatenate(rows[name]) for name in _ARRAYS)
    return PairFeatures(images, texts, len(pairs), len(failed), reason)


def _pairs(folder: DataFolder, collection: str) -> list[_Pair]:
    """Return the captioned pictures by their names, each with one text of its own."""
    named: dict[str, list[tuple[str, str]]] = {"image": [], "text": []}
    pair_of: dict[str, str] = {}
    for modality, id_, name, pair, *_ in folder.ledger.names(collection):
        if modality in named:
            named[modality].append((name or "", id_))
            pair_of[id_] = pair or id_
    images, texts = ([id_ for _, id_ in sorted(named[modality])] for modality in ("image", "text"))
    left, right = joined(images, texts, pair_of)
    return [(images[a], texts[b]) for a, b in zip(left, right, strict=True)]


def _drawn(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Return all pairs, or MAX_PAIRS of them at random, always the same, in their order."""
    if len(pairs) <= MAX_PAIRS:
        return list(pairs)
    rows = np.random.default_rng(0).choice(len(pairs), MAX_PAIRS, replace=False)
    return [pairs[row] for row in np.sort(rows)]


def _read(
    folder: DataFolder, collection: str, pairs: Sequence[_Pair], prepare: Callable[[Modality, Any], Any]
) -> tuple[list[tuple[Any, Any]], list[Failure]]:
    """Return the pairs that can be read, prepared; and why the others cannot, one of each pair."""
    modality_of: dict[str, Modality] = {}
    for image, text in pairs:
        modality_of |= {image: "image", text: "text"}
    items = {item.id: item for item in read_items(folder, collection, modality_of, modality_of)}
    read: list[tuple[Any, Any]] = []
    failed: list[Failure] = []
    for pair in pairs:
        found = [items[id_] for id_ in pair if id_ in items]
        if len(found) < len(pair):  # deleted since the pairs were listed
            continue
        try:
            image, text = (prepare(item.modality, folder.open_item(item, side_px=_SIDE_PX)) for item in found)
            read.append((image, text))
        except MediaError as error:
            failed.append(Failure(found[0].name, error.reason))
    return read, failed
