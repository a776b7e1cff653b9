"""One small piece of content per modality, always the same: to measure a model, and to recognise it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.types import Frames, Modality, Sound

WORDS = "a photo of a cat on a red chair"


def probe(modality: Modality) -> Any:
    """Return a sentence, a picture of 640 x 480, 5 s of sound or 8 frames, the same on every machine."""
    if modality == "text":
        return WORDS
    if modality == "image":
        from PIL import Image

        return Image.fromarray(_gradient(480, 640))
    if modality == "audio":
        seconds = np.arange(5 * 16_000, dtype=np.float32) / 16_000
        return Sound((0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32), 16_000)
    return Frames(np.stack([np.roll(_gradient(224, 224), 8 * step, axis=1) for step in range(8)]), 2.0)


def _gradient(height: int, width: int) -> np.ndarray:
    """Return a smooth picture: (height, width, 3) uint8 RGB."""
    down, across = np.mgrid[0:height, 0:width]
    channels = (255 * down / height, 255 * across / width, 127 + 127 * np.sin(across / 37 + down / 23))
    return np.stack(channels, axis=-1).astype(np.uint8)
