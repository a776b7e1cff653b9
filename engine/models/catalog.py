"""The table of models: id -> what it is, and how to load it; loads nothing by itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import UnknownModelError
from engine.models.base import Embedder, ModelSpec
from engine.models.pocket.recipe import RECIPE

if TYPE_CHECKING:
    from engine.settings import Settings

DEFAULT_MODEL = "pocket"

POCKET = ModelSpec(
    id="pocket",
    kind="embedder",
    revision=RECIPE.revision,
    modalities=("text", "image"),
    dim=384,
    parameters=22_713_216 + 6_092_072,  # MiniLM-L6 + EfficientNet-Lite2
    memory_gb=0.4,
    licence="Apache-2.0",
    note="Offline on a CPU. Knows a thousand kinds of things; not colours, counts or relations.",
)

CATALOG: dict[str, ModelSpec] = {POCKET.id: POCKET}


def get_spec(model: str) -> ModelSpec:
    """Return the catalog entry. Raises UnknownModelError with the known ids."""
    try:
        return CATALOG[model]
    except KeyError:
        raise UnknownModelError(model, CATALOG) from None


def why_not(spec: ModelSpec) -> str | None:
    """Return why this model cannot run here, or None where it can."""
    missing = [name for name in RECIPE.packages if importlib.util.find_spec(name) is None]
    if spec.id == POCKET.id and missing:
        return f"not installed: {', '.join(missing)}"
    return None


def load_embedder(
    model: str, settings: Settings, on_stage: Callable[[str], None] = lambda stage: None
) -> Embedder:
    """Load a model, converting Pocket's weights on first use. Raises ModelError.

    on_stage is told in words what is being waited for.
    """
    spec = get_spec(model)
    from engine.models.pocket.embedder import Pocket

    return Pocket.load(spec, settings.data_dir / "models", settings.threads, on_stage)
