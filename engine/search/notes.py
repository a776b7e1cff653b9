"""What is said of an answer that may mean nothing: one note, which of four reasons it is and what to do.

Pure rules over what a search knows: the words, what the model reads of them, and the best scores beside those
that unrelated questions get (`unrelated.py`). The first reason that holds is given: without known words
nothing else can be told, and another language explains everything below it. That models of pictures and words
do not follow negation: NegBench (Alhamoud et al. 2025).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from engine.models.catalog import describe
from engine.search.language import is_foreign
from engine.search.unrelated import MEASURING, Unrelated
from engine.types import PLURAL, Hit, Modality

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SHORT_PIECES = 2.0  # letters: "didgeridoo" is spelled in pieces of 2.5, "qwrtzp" in pieces of 1.5
_NEGATION = re.compile(
    r"""\b(?:without|except|excluding|neither|nor|never|none|nobody|nothing|minus|cannot|not|no(?!\.)
    |[a-z]+n['’]t)\b""",
    re.I | re.X,
)
_MINUS = re.compile(r"(?:^|\s)[-−–](?=[^\W\d_])")  # "beach -people", but neither "x-ray" nor "-5"


def doubt(
    text: str,
    models: Sequence[str],
    pieces: Sequence[int | None] | None,
    retrieved: Mapping[Modality, Sequence[Hit]],
    unrelated: Callable[[], Unrelated],
) -> str:
    """Return why an answer may mean nothing, with what to do, or "" where nothing speaks for that.

    text: the question in words, "" where it is none; models: the ids of those that read it; pieces: how many
    the embedder has for each of `WORD`'s finds, None for a word that it has none for, and None as a whole
    where it cannot be asked. `unrelated` is asked only where the words themselves are in order.
    """
    if not text:
        return ""
    readers = english_only(models)
    said = _no_known_word(text, readers, pieces) or language(text, readers, pieces) or _negation(text)
    if said:
        return said
    known = unrelated()
    best = {one: max(hit.score for hit in hits) for one, hits in retrieved.items() if hits}
    return _no_nearer(best, known.limits) or (MEASURING if known.measuring else "")


def english_only(models: Sequence[str]) -> list[str]:
    """Return those of some models that are known to read English and nothing else."""
    return [one for one in models if describe(one).languages == ("en",)]


def language(text: str, readers: Sequence[str], pieces: Sequence[int | None] | None = None) -> str:
    """Return that models of English alone cannot read a question, or ""; for no `readers` it is ""."""
    words = WORD.findall(text)
    unknown = None if pieces is None else sum(one != 1 for one in pieces)
    if not readers or not is_foreign(text, words, unknown):
        return ""
    names = " and ".join(map(_short, readers))
    return (
        f"This does not look like English, and {names} can read nothing else: the order is arbitrary. Ask in "
        f"English, or choose a model that reads other languages."
    )


def _no_known_word(text: str, readers: Sequence[str], pieces: Sequence[int | None] | None) -> str:
    words = WORD.findall(text)
    if not words:
        drawn = any(unicodedata.category(char) == "So" for char in text)
        known = drawn and not readers  # models for many languages have read emoji too
    elif pieces is None:
        known = True
    else:
        known = any(_is_known(word, count) for word, count in zip(words, pieces, strict=True))
        known = known or not any(_in_latin(word) for word in words)  # then it is the language
    if known:
        return ""
    who = _short(readers[0]) if readers else "this model"
    return f"There is no word here that {who} knows, so that the order is arbitrary. Say it in words."


def _is_known(word: str, pieces: int | None) -> bool:
    return pieces is not None and (pieces == 1 or len(word) / pieces >= _SHORT_PIECES)


def _in_latin(word: str) -> bool:
    return any(char.isascii() for char in word)


def _negation(text: str) -> str:
    found = _NEGATION.search(text)
    if not found and not _MINUS.search(text):
        return ""
    said = f"“{found[0]}”" if found else "a minus"
    return (
        f"Models of this kind do not follow {said}: what is ruled out counts as asked for, and may come "
        f"first. Ask for what should be there instead."
    )


def _no_nearer(best: Mapping[Modality, float], limits: Mapping[Modality, float]) -> str:
    """Return that nothing found is nearer than unrelated questions come; one modality that is, is enough."""
    if not best or not all(one in limits and score <= limits[one] for one, score in best.items()):
        return ""
    scores = "; ".join(
        f"the best of the {PLURAL[one]} scores {score:.2f}, and unrelated questions get up to "
        f"{limits[one]:.2f} from them"
        for one, score in best.items()
    )
    return (
        f"What was found may have nothing to do with this question: {scores}. Ask in other words, or for "
        f"something that this collection has."
    )


def _short(model: str) -> str:
    return "Pocket" if model == "pocket" else model.rsplit("/", 1)[-1]
