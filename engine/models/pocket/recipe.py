"""Pocket's recipe as data (recipe.json): which weights, which prompts, which sizes, from where."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import WeightsError
from engine.types import Provenance

_FILE = Path(__file__).with_name("recipe.json")
_PARTS = ("text", "image", "anchors")
_REMARKS = ("source", "wording_source", "method", "chosen_on")


@dataclass(frozen=True)
class Recipe:
    """The parsed recipe; `revision` changes whenever anything that shapes a vector does."""

    text: dict[str, Any] = field(repr=False)
    image: dict[str, Any] = field(repr=False)
    anchors: dict[str, Any] = field(repr=False)
    revision: str

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the import names of the packages that carry the weights and label texts."""
        return tuple(part["package"] for part in (self.text, self.image, self.anchors))


def _load() -> Recipe:
    data = json.loads(_FILE.read_bytes())
    shaping = {key: value for key, value in data.items() if key not in _PARTS}
    for part in _PARTS:
        shaping[part] = {key: value for key, value in data[part].items() if key not in _REMARKS}
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:10]
    return Recipe(data["text"], data["image"], data["anchors"], f"{data['version']}-{digest}")


RECIPE = _load()
PROVENANCE = Provenance("pocket", RECIPE.revision, dim=384)
FEATURES = f"pocket {RECIPE.revision}"  # what made a feature; changes with whatever shapes a vector too


def package_file(part: dict[str, Any], key: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises WeightsError naming the package to install.
    """
    spec = importlib.util.find_spec(part["package"])
    roots = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(roots[0], part["folder"], part[key]) if roots else None
    if path is None or not path.is_file():
        package = part["package"].replace("_", "-")
        raise WeightsError(
            f"Pocket needs {part[key]} of the package {package}, which is not installed. "
            f"Install what requirements.txt lists."
        )
    return path


def verified(part: dict[str, Any]) -> Path:
    """Return the weight file after checking its SHA-256. Raises WeightsError where it differs."""
    path = package_file(part, "weights")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != part["sha256"]:
        raise WeightsError(
            f"The weights {path} have SHA-256 {found}, but {part['sha256']} is wanted. "
            f"Reinstall the package {part['package'].replace('_', '-')}."
        )
    return path
