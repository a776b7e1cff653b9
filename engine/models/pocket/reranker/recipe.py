"""The reranker's recipe and learned weights as data (weights.json, by benchmarks/train_reranker.py)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.types import Provenance

FILE = Path(__file__).with_name("weights.json")


@dataclass(frozen=True)
class RerankerRecipe:
    """The parsed file. `features_revision` changes with what is read from a picture, `revision` with all.

    `weights` maps the name of a feature (see `features.py`) to its learned weight.
    """

    image: dict[str, Any] = field(repr=False)
    regions: dict[str, Any] = field(repr=False)
    anchors: dict[str, Any] = field(repr=False)
    text: dict[str, Any] = field(repr=False)
    shades: dict[str, list[str]] = field(repr=False)
    colour_words: dict[str, str] = field(repr=False)
    weights: dict[str, float] = field(repr=False)
    features_revision: str
    revision: str


def load(path: Path = FILE) -> RerankerRecipe:
    """Parse a recipe file."""
    data = json.loads(path.read_bytes())
    read = {key: value for key, value in data.items() if key not in ("weights", "trained_on")}
    return RerankerRecipe(
        data["image"],
        data["regions"],
        data["anchors"],
        data["text"],
        data["colours"]["shades"],
        data["colours"]["words"],
        data["weights"],
        f"{data['version']}-{_digest(read)}",
        f"{data['version']}-{_digest({**read, 'weights': data['weights']})}",
    )


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]


RECIPE = load()
PROVENANCE = Provenance("pocket-reranker", RECIPE.revision, dim=1)
