"""The text in a picture, by rapidocr; a small look first, so that ordinary photographs do not pay for it.

The weights are the package's own files, named by their paths: rapidocr would otherwise download what
it misses, in the middle of a question.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import WeightsError
from engine.models.pocket.recipe import verified
from engine.models.pocket.reranker.recipe import RECIPE

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


class Reader:
    """Reads lines of text; safe to share between threads, one picture at a time."""

    def __init__(self) -> None:
        """Open the detector and the recogniser. Raises WeightsError where the package is missing or torn."""
        self._lock = threading.Lock()
        detector, recogniser = verified(RECIPE.text["detector"]), verified(RECIPE.text["recogniser"])
        try:
            self._gate, self._full = (
                _engine(detector, recogniser, RECIPE.text[side]) for side in ("gate_px", "read_px")
            )
        except ImportError as error:
            raise WeightsError(
                f"The package rapidocr cannot be imported ({error}). Install what requirements.txt lists."
            ) from error
        self.read(_sign())  # it opens its networks when they are first used: now, and not in a question

    def read(self, picture: Image) -> tuple[str, ...]:
        """Return the lines of text in an upright RGB picture, in the order they were found."""
        rule = RECIPE.text
        if not self.has_text(picture):
            return ()
        with self._lock:
            found = self._full(_bgr(picture, rule["read_px"]), use_det=True, use_cls=False, use_rec=True)
        if getattr(found, "txts", None) is None:
            return ()
        sure = zip(found.txts, found.scores, strict=True)
        return tuple(text for text, score in sure if score >= rule["least_score"] and _is_text(text))

    def has_text(self, picture: Image) -> bool:
        """Tell whether a small look finds anything like a line of text: the gate before `read`."""
        pixels = _bgr(picture, RECIPE.text["gate_px"])
        with self._lock:
            seen = self._gate(pixels, use_det=True, use_cls=False, use_rec=False)
        return seen.boxes is not None and len(seen.boxes) > 0


def _is_text(line: str) -> bool:
    """Tell whether a line is more than a stray mark that looks like a letter."""
    return sum(one.isalnum() for one in line) >= RECIPE.text["least_letters"]


def _engine(detector: Path, recogniser: Path, side_px: int) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.model_path": str(detector),
            "Rec.model_path": str(recogniser),
            "Det.limit_side_len": side_px,
            "Det.limit_type": "max",
            "Det.box_thresh": RECIPE.text["gate_score"],
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )


def _sign() -> Image:
    """Return a small picture with a word on it."""
    from PIL import Image, ImageDraw, ImageFont

    sign = Image.new("RGB", (160, 64), "white")
    ImageDraw.Draw(sign).text((16, 12), "EXIT", "black", ImageFont.load_default(32))
    return sign


def _bgr(picture: Image, side_px: int) -> np.ndarray:
    """Return the picture with its longer side at most side_px: (h, w, 3) uint8, blue first."""
    copy = picture.copy()
    copy.thumbnail((side_px, side_px))
    return np.ascontiguousarray(np.asarray(copy)[:, :, ::-1])
