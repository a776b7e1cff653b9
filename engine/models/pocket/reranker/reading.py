"""The text in a picture, by rapidocr; a small look first, so that ordinary photographs do not pay for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.models.pocket.reranker.recipe import RECIPE

if TYPE_CHECKING:
    from PIL.Image import Image


class Reader:
    """Reads lines of text; safe to share between threads, one picture at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gate = _engine(RECIPE.text["gate_px"])
        self._full = _engine(RECIPE.text["read_px"])

    def read(self, picture: Image) -> tuple[str, ...]:
        """Return the lines of text in an upright RGB picture, in the order they were found."""
        rule = RECIPE.text
        with self._lock:
            seen = self._gate(_bgr(picture, rule["gate_px"]), use_det=True, use_cls=False, use_rec=False)
            if seen.boxes is None or not len(seen.boxes):
                return ()
            found = self._full(_bgr(picture, rule["read_px"]), use_det=True, use_cls=False, use_rec=True)
        if getattr(found, "txts", None) is None:
            return ()
        sure = zip(found.txts, found.scores, strict=True)
        return tuple(text for text, score in sure if score >= rule["least_score"] and _is_text(text))


def _is_text(line: str) -> bool:
    """Tell whether a line is more than a stray mark that looks like a letter."""
    return sum(one.isalnum() for one in line) >= RECIPE.text["least_letters"]


def _engine(side_px: int) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.limit_side_len": side_px,
            "Det.limit_type": "max",
            "Det.box_thresh": RECIPE.text["gate_score"],
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )


def _bgr(picture: Image, side_px: int) -> np.ndarray:
    """Return the picture with its longer side at most side_px: (h, w, 3) uint8, blue first."""
    copy = picture.copy()
    copy.thumbnail((side_px, side_px))
    return np.ascontiguousarray(np.asarray(copy)[:, :, ::-1])
