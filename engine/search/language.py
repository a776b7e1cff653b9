"""Whether a question is in another language than a model's: by its letters, then by py3langid, offline."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# The languages that questions are told apart in. Of all 140 that py3langid knows, the rarer ones (Latin and
# Esperanto among them) take more English names for themselves than they find questions.
_TOLD_APART = [
    *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "no", "fi", "pl", "cs", "tr", "hu", "ro"),
    *("ru", "uk", "el", "ar", "he", "hi", "zh", "ja", "ko", "vi", "id"),
]
# So many times as likely as English. With Pocket's vocabulary that is wrong for none of 80 short English
# questions, none of the samples' captions and 1 of 1,000 definitions of things (timm's), and finds 54 of 60
# short questions in 22 other languages (without a vocabulary 0, 0, 3 and 40).
_LIKELIER = 5.0
_ENGLISH = re.compile(r"\b(?:the|of|with|and|from)\b", re.I)


def is_foreign(text: str, words: Sequence[str], unknown: int | None) -> bool:
    """Tell whether a question is not English; one that may be either is taken for English.

    words: those of `text`; unknown: how many of them a model for English has no piece of its own for, or
    None where that cannot be asked. One word in Latin letters is too little to tell: "piano" is a word of
    ten languages. Two are enough where the model knows neither, three where it does not know one of them or
    cannot be asked.
    """
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return False
    if sum(_is_latin(char) for char in letters) * 2 < len(letters):
        return True
    spelled = [word for word in words if word.isalpha()]
    if unknown == 0 or len(spelled) < 2 or (len(spelled) == 2 and (unknown or 0) < 2):
        return False
    if unknown is None and _ENGLISH.search(text):
        return False  # as most questions are: nothing need be loaded for these
    chances = dict(_identifier().rank(text))
    return max(chances.values()) >= _LIKELIER * chances["en"]


def _is_latin(char: str) -> bool:
    return char.isascii() or unicodedata.name(char, "").startswith("LATIN")


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    """Return the identifier, loaded from its own file of 4.6 MB by the first question that needs it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    made = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    made.set_languages([one for one in _TOLD_APART if one in made.labels])
    return made
