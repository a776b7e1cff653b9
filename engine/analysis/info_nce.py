"""The loss of CLIP over features times weights, with its gradients written out; trains nothing."""

from __future__ import annotations

import numpy as np


def loss_and_gradients(
    images: np.ndarray,
    texts: np.ndarray,
    image_weights: np.ndarray,
    text_weights: np.ndarray,
    temperature: float,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the symmetric InfoNCE loss in nats, and its gradients by both weights, float64.

    L = -(1/2n) Σ_i [log softmax_j(x_i · y_j / τ)_i + log softmax_j(x_j · y_i / τ)_i], x and y the features
    times weights at unit length. images (n, p), texts (n, q), image_weights (p, d), text_weights (q, d), all
    float64; the gradients are (p, d) and (q, d). Radford et al. 2021.
    """
    (x, x_lengths), (y, y_lengths) = _projected(images, image_weights), _projected(texts, text_weights)
    scores, n = x @ y.T / temperature, len(x)  # (n, n)
    by_image, by_text = _log_softmax(scores), _log_softmax(scores.T)
    loss = -(np.trace(by_image) + np.trace(by_text)) / (2 * n)
    pull = (np.exp(by_image) + np.exp(by_text).T - 2 * np.eye(n)) / (2 * n * temperature)  # dL / d(x · y)
    return (
        float(loss),
        images.T @ _through_length(pull @ y, x, x_lengths),
        texts.T @ _through_length(pull.T @ x, y, y_lengths),
    )


def _projected(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the products (n, d) at unit length, and how long they were (n, 1)."""
    raw = features @ weights
    lengths = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
    return raw / lengths, lengths


def _through_length(gradient: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the gradient (n, d) by rows that were made unit length, from the one by the unit rows."""
    return (gradient - (gradient * rows).sum(1, keepdims=True) * rows) / lengths


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
