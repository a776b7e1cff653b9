"""Pocket's text tower: all-MiniLM-L6-v2 on ONNX Runtime; cuts text after 256 word pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from engine.models.pocket.recipe import RECIPE
from engine.models.pocket.runtime import Runner

_CHUNK = 8
# 256 word pieces are rarely more than 1,500 characters: longer text only costs tokenising time.
_MAX_CHARS = 4_096
_UNKNOWN = "[UNK]"


class TextTower:
    """Texts to unit vectors of 384 numbers."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(RECIPE.text["max_tokens"])
        self._tokenizer.enable_padding()
        self._runner = Runner(folder / "text.onnx", threads)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed n texts: (n, 384) float32, rows of unit length, in the order given."""
        if not texts:
            return np.zeros((0, 384), np.float32)
        # Texts of like length share a chunk, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
        rows = self._runner.run([self._feeds([texts[i] for i in chunk]) for chunk in chunks])
        vectors = np.empty((len(texts), rows[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(rows)
        return vectors

    def pieces(self, words: Sequence[str]) -> list[int | None]:
        """Return into how many word pieces each word falls; None for one with characters it does not know."""
        given = [word[:_MAX_CHARS].encode("utf-8", "replace").decode("utf-8") for word in words]
        found = self._tokenizer.encode_batch(given, add_special_tokens=False)
        return [None if _UNKNOWN in one.tokens else sum(one.attention_mask) for one in found]

    def _feeds(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Return the word pieces of b texts and which of them are no padding: (b, longest) int64 each."""
        # A command line or a JSON file can bring half a surrogate pair, which is no Unicode text.
        cut = [text[:_MAX_CHARS].encode("utf-8", "replace").decode("utf-8") for text in texts]
        encoded = self._tokenizer.encode_batch(cut)
        return {
            "ids": np.array([one.ids for one in encoded], np.int64),
            "mask": np.array([one.attention_mask for one in encoded], np.int64),
        }
