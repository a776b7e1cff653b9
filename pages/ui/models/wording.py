"""Models in words: names, sizes, speeds, and what one is good for; draws nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.models.base import INGESTED
from engine.models.catalog import TOWERS
from pages.ui.wording import duration, plural

if TYPE_CHECKING:
    from engine.models.base import LoadedModel
    from engine.models.readiness import Readiness
    from engine.types import Modality

_ONE: dict[Modality, str] = {"text": "text", "image": "picture", "audio": "sound", "video": "video"}


def short(id_: str) -> str:
    """Return a model's name as a label: a folder's or towers' own name, a hub id without its organisation."""
    if id_ == "pocket":
        return "Pocket"
    return Path(id_.removeprefix(TOWERS)).name or id_


def size(bytes_: int | float | None) -> str:
    if bytes_ is None:
        return "unknown"
    return f"{bytes_ / 1e9:,.1f} GB" if bytes_ >= 1e8 else f"{bytes_ / 1e6:,.1f} MB"


def count(parameters: int | None) -> str:
    if parameters is None:
        return "unknown"
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:,.0f} M"


def kinds(modalities: tuple[Modality, ...]) -> str:
    return ", ".join(plural(one) for one in modalities) or "read from the model"


def speeds(model: LoadedModel) -> str:
    """Return what was measured when the model was loaded: "picture 0.11 s, text 0.01 s"."""
    what = "pair with a " if model.kind == "reranker" else ""
    parts = [f"{what}{_ONE[one]} {_seconds(value)}" for one, value in model.seconds_per_item.items() if value]
    return ", ".join(parts) or "not measured"


def estimate(model: LoadedModel, items: int) -> str:
    """Return how long so many items of the slowest kind would take here."""
    told = {key: value for key, value in model.seconds_per_item.items() if key in INGESTED}
    if not told:
        return "It embeds neither texts nor pictures, and no other file can be added yet."
    modality, seconds = max(told.items(), key=lambda row: row[1])
    return (
        f"About {_seconds(seconds)} a {_ONE[modality]} on {model.device} (measured on one), so "
        f"{items:,} would take about {duration(seconds * items)}."
    )


def state(one: Readiness, loaded: set[str]) -> str:
    if one.spec.id in loaded:
        return "in memory"
    return "ready" if one.runnable else (one.reason or "").split(":")[0]  # what to do is told elsewhere


def _seconds(value: float) -> str:
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"
