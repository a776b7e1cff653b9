"""What a question asks for: its words, the colour of what, how many, and what is to be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from engine.models.pocket.reranker import colours
from engine.vectors import normalise

_STOP_WORDS = """
a an the this that these those its his her their some any and or but of in on at by to for from with without
into onto over under up down near beside behind between against is are was were be being it as very there
photo picture image
"""
_STOP = frozenset(_STOP_WORDS.split())
_NUMBERS = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "twelve": 12, "single": 1, "pair": 2, "couple": 2, "dozen": 12},
    **{str(number): number for number in range(1, 13)},
}
_QUOTED = re.compile(r'["“”„«»]([^"“”„«»]+)["“”„«»]|(?<!\w)[\'‘]([^\'‘’]+)[\'’](?!\w)')
_SAYS = re.compile(
    r"\b(?:says?|saying|reads|reading|spells?|titled|labell?ed|named|called|text|words?|letters)\b\s+(.+)",
    re.I,
)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MOST_WORDS = 32
_PROMPT = "a photo of {}"  # as the classes are worded; the mean of both did best on the training split


@dataclass(frozen=True)
class ParsedQuestion:
    """A question in parts; vectors are unit length around the middle of Pocket's text space.

    vector: (d,) float32 of the whole; words: (w, d) float32 of its content words and of each two in a row,
    colours and numbers left out; colours: pairs of a place in `colours.NAMES` and the row in `words` of what
    has it (None where nothing follows); count: how many things, or None; said: the words that the picture
    may have written on it.
    """

    vector: np.ndarray = field(repr=False)
    words: np.ndarray = field(repr=False)
    colours: tuple[tuple[int, int | None], ...] = ()
    count: int | None = None
    said: tuple[str, ...] = ()


def parse(text: str, encode: Callable[[Sequence[str]], np.ndarray], middle: np.ndarray) -> ParsedQuestion:
    """Take a question apart. encode gives unit vectors (n, d) float32 of n texts; middle: (d,) float32."""
    tokens = [token for token in _WORD.findall(text.lower()) if token not in _STOP][:_MOST_WORDS]
    plain = [token for token in tokens if colours.asked(token) is None and token not in _NUMBERS]
    pairs = [f"{one} {other}" for one, other in pairwise(plain)]
    vectors = encode([text, _PROMPT.format(text), *plain, *pairs])
    around = normalise(vectors - middle)
    return ParsedQuestion(
        vector=normalise(around[:2].mean(0, keepdims=True))[0],
        words=around[2:],
        colours=tuple(_colours(tokens)),
        count=next((_NUMBERS[token] for token in tokens if token in _NUMBERS), None),
        said=tuple(_marked(text) or plain),
    )


def _colours(tokens: Sequence[str]) -> list[tuple[int, int | None]]:
    """Return every colour with the row of the next word that is neither a colour nor a number."""
    found: list[tuple[int, int | None]] = []
    rows = 0
    waiting: list[int] = []
    for token in tokens:
        colour = colours.asked(token)
        if colour is not None:
            waiting.append(colour)
        elif token not in _NUMBERS:
            found += [(one, rows) for one in waiting]
            waiting, rows = [], rows + 1
    return found + [(one, None) for one in waiting]


def _marked(text: str) -> list[str]:
    """Return the words in quotation marks, or else those after "says", "reads" or "labelled"."""
    quoted = " ".join(first or second for first, second in _QUOTED.findall(text))
    if not quoted and (after := _SAYS.search(text)):
        quoted = after.group(1)
    return [word for word in _WORD.findall(quoted.lower()) if word not in ("that", "the", "a")]
