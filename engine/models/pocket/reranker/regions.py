"""EfficientNet-Lite2 before its pooling, on ONNX Runtime: class evidence at every place of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.models.pocket.runtime import Runner
from engine.vectors import normalise

FILES = ("regions.onnx", "classifier.npz")


class RegionNetwork:
    """Pictures to features, features to classes, classes to the text space; safe to share between threads.

    anchors: (1000, d) float32, a unit vector per class.
    """

    def __init__(self, folder: Path, anchors: np.ndarray, threads: int) -> None:
        self._runner = Runner(folder / FILES[0], threads)
        with np.load(folder / FILES[1]) as arrays:
            self._weights, self._bias = arrays["weights"], arrays["bias"]  # (1000, 1280), (1000,)
        self.anchors = anchors  # (1000, d)
        self.middle = anchors.mean(0)  # (d,): what all classes have in common says nothing of a picture
        self.kinds = normalise(anchors - self.middle)  # (1000, d): the classes around their middle

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Return the features of the pixels (h, w, 3) uint8 RGB of a picture: (1280, h / 32, w / 32) float32.

        h and w are multiples of 32.
        """
        return self._runner.run([{"pixels": pixels[None]}])[0][0]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the classifier's logits of features (..., 1280) float32: (..., 1000) float32."""
        return features @ self._weights.T + self._bias

    def probabilities(self, logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return the softmax of logits / temperature over the classes: (..., 1000) float32 in [0, 1]."""
        scaled = logits / temperature
        powers = np.exp(scaled - scaled.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def anchored(self, logits: np.ndarray, temperature: float) -> np.ndarray:
        """Return logits (..., 1000) as unit vectors (..., d) of the text space around its middle, float32.

        ConSE over all classes at a temperature above 1, less the mean of the anchors: what stays is
        how this picture differs from any other, which the twenty likeliest classes alone do not say.
        """
        vectors = self.probabilities(logits, temperature) @ self.anchors - self.middle
        flat = normalise(vectors.reshape(-1, vectors.shape[-1]).astype(np.float32))
        return flat.reshape(vectors.shape)
