"""The calibration of a collection for mixed searches: its sample is read, and what it gave is kept.

Kept in the ledger's state with the version of the collection it was made of, so that only the first question
after a write waits for it. What is computed of the sample is in `analysis/crowding.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.analysis.crowding import Calibration, Outranked, Spread, calibrate
from engine.errors import FolderError
from engine.storage.chroma import CollectionInfo
from engine.storage.columns import last_change, read_columns
from engine.storage.data_folder import DataFolder
from engine.types import VectorTable

log = logging.getLogger(__name__)
# Of each modality. The mean of so many unit rows is off by about sqrt(0.5 / 1,000) = .02; gaps are .5 to .9.
ROWS = 1_000
SEED = 0
_FORMAT = 1
_CALIBRATING = threading.Lock()  # of thirty visitors after one ingest, the first does it for all


def calibration(folder: DataFolder, collection: str, info: CollectionInfo | None = None) -> Calibration:
    """Return the calibration of a collection as it is now: kept, or made of a sample of each modality.

    `info` is what the store just said of it, where that is known: to ask again takes milliseconds. Raises
    CollectionNotFoundError, StoreError, FolderError, and ProjectionError where it is empty.
    """
    with _CALIBRATING:
        version = _version(folder, collection, info)
        kept = folder.ledger.get_state(_key(collection))
        found = _read(kept, version) if kept else None
        if found is None:
            tables, pair_of = _sample(folder, collection)
            found = calibrate(tables, pair_of)
            try:
                folder.ledger.set_state(_key(collection), _written(found, version))
            except FolderError as error:  # a full disk: it is made again the next time
                log.warning("the calibration of %s is not kept: %s", collection, error)
        return found


def forget_calibration(folder: DataFolder, collection: str) -> None:
    """Forget what was kept of a collection that is no more. Raises FolderError."""
    folder.ledger.drop_state(_key(collection))


def _sample(folder: DataFolder, collection: str) -> tuple[dict[Any, VectorTable], dict[str, int]]:
    """Return up to ROWS rows of each modality, and the number of every id's pair.

    The order is drawn over pairs and not over items, so that a caption is taken with its picture.
    """
    columns = read_columns(folder, collection)
    drawn = np.random.default_rng(SEED).permutation(int(columns.pair.max()) + 1)[columns.pair]  # (n,)
    tables = {}
    for modality in columns.present:
        rows = np.flatnonzero(columns.modality.where(modality))
        rows = rows[np.argsort(drawn[rows], kind="stable")[:ROWS]]
        tables[modality] = folder.store.vectors(collection, modality, (columns.ids[row] for row in rows))
    pairs = columns.pair.tolist()
    place = {id_: row for row, id_ in enumerate(columns.ids)}
    return tables, {id_: pairs[place[id_]] for table in tables.values() for id_ in table.ids}


def _version(folder: DataFolder, collection: str, info: CollectionInfo | None) -> str:
    parts = f"{_FORMAT} {ROWS} {SEED} {last_change(folder, collection, info)}"
    return hashlib.sha256(parts.encode()).hexdigest()


def _key(collection: str) -> str:
    return f"calibration of {collection}"


def _written(found: Calibration, version: str) -> str:
    means = {
        one: base64.b64encode(mean.astype("<f4").tobytes()).decode() for one, mean in found.means.items()
    }
    return json.dumps({**asdict(found), "means": means, "version": version})


def _read(text: str, version: str) -> Calibration | None:
    """Return a kept calibration; None where it is of another version of the collection."""
    data = json.loads(text)
    if data["version"] != version:
        return None
    return Calibration(
        rows=data["rows"],
        means={one: np.frombuffer(base64.b64decode(row), "<f4") for one, row in data["means"].items()},
        spreads={
            asks: {answers: Spread(**one) for answers, one in row.items()}
            for asks, row in data["spreads"].items()
        },
        nearest=data["nearest"],
        outranked={
            asks: {answers: Outranked(**one) for answers, one in row.items()}
            for asks, row in data["outranked"].items()
        },
    )
