"""What lies in Chroma: names and metadata of its collections, metadata of items, and distances.

Pure; knows Chroma's forms but not its client, which is for `chroma.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import Any

from engine.media.metadata import from_keys, to_keys
from engine.storage.staging import StagingName
from engine.types import Item, Modality, Provenance

# Recall@10 and @100 of 1.000 at 100,000 x 512 where Chroma's defaults reach 0.983.
HNSW = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 200}
SCHEMA = 1


def chroma_name(name: str, modality: Modality) -> str:
    """Return what the collection of one modality is called in Chroma."""
    return f"gapscope.{name}.{modality}"


def old_name(staging: StagingName, modality: Modality) -> str:
    """Return what a collection is called while it gives way to what was staged."""
    return f"gapscope-old.{staging}.{modality}"


def is_staged(metadata: Mapping[str, Any]) -> bool:
    """Tell of a collection's metadata whether it is still being made."""
    return "made_as" in metadata and not metadata.get("gapscope")


def made_as(metadata: Mapping[str, Any] | None, staging: StagingName) -> bool:
    """Tell of a collection's metadata whether it was made under this hidden name."""
    return (metadata or {}).get("made_as") == staging


def collection_metadata(name: str, made_by: Provenance, modality: Modality) -> dict[str, Any]:
    """Return the metadata of a new collection: what made it, with what, and when."""
    # Without the key "gapscope" nobody is shown it; "made_as" tells later what a swap has put in place.
    staged = isinstance(name, StagingName)
    return {
        **({"made_as": name} if staged else {"gapscope": SCHEMA}),
        "collection": name,
        "modality": modality,
        **{key: value for key, value in asdict(made_by).items() if value is not None},
        "distance": "cosine",
        "hnsw": " ".join(f"{key}={value}" for key, value in HNSW.items()),
        "versions": " ".join(f"{p}={version(p)}" for p in ("chromadb", "onnxruntime", "pillow")),
        "created_at": int(time.time()),
    }


def provenance_of(metadata: Mapping[str, Any] | None) -> Provenance:
    """Return what made a collection, from the metadata that `collection_metadata` gave it."""
    known = {field.name for field in fields(Provenance)}
    return Provenance(**{key: value for key, value in (metadata or {}).items() if key in known})


def to_metadata(item: Item) -> dict[str, Any]:
    """Return an item as Chroma's metadata, less its id and the fields that say nothing."""
    apart = ("id", "metadata")
    metadata = {field.name: getattr(item, field.name) for field in fields(item) if field.name not in apart}
    metadata["labels"] = list(item.labels)
    said = {key: value for key, value in metadata.items() if value not in (None, "", [])}
    return said | to_keys(item.metadata)


def to_item(id_: str, metadata: Any) -> Item:
    """Return the item that `to_metadata` wrote; keys that are not known are left out."""
    known = {field.name for field in fields(Item)}
    given = dict(metadata or {})
    values = {key: value for key, value in given.items() if key in known}
    values["labels"] = tuple(values.get("labels") or ())
    values["metadata"] = from_keys(given)
    return Item(id=id_, **{"pair": id_, "name": "", "mime": "", **values})


def similarity(distance: float) -> float:
    """Return the cosine in [-1, 1] of Chroma's cosine distance in [0, 2]."""
    return max(-1.0, min(1.0, 1.0 - float(distance)))
