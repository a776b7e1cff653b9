"""Words for the engine's terms, as a person would say them."""

from __future__ import annotations

from engine.types import Modality

_PLURAL: dict[Modality, str] = {"text": "texts", "image": "pictures", "audio": "sounds", "video": "videos"}


def plural(modality: Modality) -> str:
    return _PLURAL[modality]
