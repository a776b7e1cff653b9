"""A question against what was read from pictures: one row of named features per picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

import numpy as np

from engine.models.pocket.reranker.evidence import Evidence
from engine.models.pocket.reranker.question import ParsedQuestion
from engine.models.pocket.reranker.recipe import RECIPE

_FOCUS = 10.0  # how sharply the cells that show a thing are told from the others
_LEAST_SHARE = 0.02  # so that a colour that is not there costs much, and not everything
_ALIKE = 0.8  # "SCHO0L" is read for "school"


def features(question: ParsedQuestion, pictures: Sequence[Evidence], kinds: np.ndarray) -> np.ndarray:
    """Return the features of n pictures: (n, len(FEATURES)) float32.

    kinds: the classes (1000, d) float32, unit rows. Every row depends on its own picture alone. A feature
    is a function of the question, the picture and `likely`: (1000,) float32, exp(β cos(question, class)).
    """
    likely = np.exp(RECIPE.anchors["classes_beta"] * (kinds @ question.vector))  # (1000,)
    rows = [[feature(question, one, likely) for feature in FEATURES.values()] for one in pictures]
    return np.array(rows, np.float32).reshape(len(pictures), len(FEATURES))


def _whole(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return the similarity of the whole picture, seen at two sizes."""
    return float(picture.whole @ question.vector)


def _region(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return the similarity of the region that fits best: a small thing in a corner counts."""
    return float((picture.regions @ question.vector).max())


def _classes(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return log Σ_c p(c | picture) exp(β cos(question, class)): any class may be the one that is meant."""
    return float(np.log(picture.probabilities.astype(np.float32) @ likely))


def _common(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return how unlike all kinds at once the picture is: one that is near everything answers anything.

    The normaliser of an inverted softmax (Smith et al. 2017) over the classes, in place of questions.
    """
    return -float(picture.common)


def _words(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return the mean over words of the cell that shows each best (MaxSim, Khattab and Zaharia 2020)."""
    if not len(question.words):
        return 0.0
    return float((_cells(picture) @ question.words.T).max(axis=0).mean())


def _colour(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return the mean log share of each colour asked for, where the thing that has it is seen."""
    if not question.colours:
        return 0.0
    shares = picture.colours.reshape(-1, picture.colours.shape[-1]).astype(np.float32)  # (cells, 11)
    found = []
    for colour, row in question.colours:
        vector = question.vector if row is None else question.words[row]
        seen = np.exp(_FOCUS * (_cells(picture) @ vector)) * picture.shown.reshape(-1).astype(np.float32)
        found.append(np.log(_LEAST_SHARE + float(seen @ shares[:, colour]) / (seen.sum() + 1e-9)))
    return float(np.mean(found))


def _count(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return 1 for as many things as asked for, down to -1; 0 where nothing is asked or can be counted."""
    if question.count is None or not picture.things:
        return 0.0
    return 1.0 - min(abs(question.count - picture.things), 2)


def _read(question: ParsedQuestion, picture: Evidence, likely: np.ndarray) -> float:
    """Return the share of the words to be read that are read in the picture."""
    return _share_read(question.said, picture.text)


def _share_read(words: Sequence[str], lines: Sequence[str]) -> float:
    if not words or not lines:
        return 0.0
    text = " ".join(lines).lower()
    glued = text.replace(" ", "")  # letters set wide are read as words, and words set close as one
    found = [
        (len(word) > 3 and word in glued) or any(_alike(word, one) for one in (*text.split(), glued))
        for word in words
    ]
    return sum(found) / len(words)


def _alike(word: str, read: str) -> bool:
    return word == read or (len(word) > 3 and SequenceMatcher(None, word, read).ratio() >= _ALIKE)


def _cells(picture: Evidence) -> np.ndarray:
    """Return the vectors of a picture's cells, row by row: (h * w, d) float32."""
    return picture.cells.reshape(-1, picture.cells.shape[-1]).astype(np.float32)


FEATURES: dict[str, Callable[[ParsedQuestion, Evidence, np.ndarray], float]] = {
    "whole": _whole,
    "region": _region,
    "classes": _classes,
    "common": _common,
    "words": _words,
    "colour": _colour,
    "count": _count,
    "read": _read,
}
