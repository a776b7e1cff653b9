"""Names for clusters from the texts of their members: class-based TF-IDF. Pure; clusters nothing itself.

Source: Grootendorst 2022 (BERTopic): a word t of a cluster c weighs tf(t, c) log(1 + A / f(t)), where tf is
how often it stands in the cluster's texts, f in those of all clusters, and A is the mean words of a cluster.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

WORDS = 3  # in a name
_LONGEST = 30  # characters of a word; longer ones are addresses, or sentences without spaces
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without English stop words, numbers and single letters."""
    return [word for word in map(_bare, _WORD.findall(text.lower())) if _tells(word)]


def _bare(word: str) -> str:
    return word[:-2] if word.endswith(("'s", "’s")) else word


def _tells(word: str) -> bool:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return (
        1 < len(word) <= _LONGEST and word not in ENGLISH_STOP_WORDS and "'" not in word and "’" not in word
    )


def names(labels: Sequence[int], texts: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a name for each cluster below count: "dog, beach, ball", or "cluster 3" without any words.

    labels[i] is the cluster of texts[i]; below 0 it belongs to none and its text counts nowhere. Cluster 2
    is the third. Names are unique: "dog, beach, ball (2)". Ties go by the alphabet.
    """
    found: list[Counter[str]] = [Counter() for _ in range(count)]
    for label, text in zip(labels, texts, strict=True):
        if label >= 0 and text:
            found[label].update(_WORD.findall(text.lower()))
    best = weigh([_terms(some) for some in found])
    return tuple(_unique(", ".join(some) or f"cluster {row + 1}" for row, some in enumerate(best)))


def _terms(found: Counter[str]) -> Counter[str]:
    """Return the words that tell something, with their counts; each is looked at once."""
    terms: Counter[str] = Counter()
    for word, count in found.items():
        if _tells(bare := _bare(word)):
            terms[bare] += count
    return terms


def weigh(terms: Sequence[Counter[str]], *, top: int = WORDS) -> list[list[str]]:
    """Return the heaviest words of every cluster by c-TF-IDF, heaviest first; terms[c] counts its words."""
    everywhere: Counter[str] = Counter()
    for some in terms:
        everywhere.update(some)
    mean = everywhere.total() / max(1, len(terms))
    return [
        sorted(some, key=lambda word: (-some[word] * math.log1p(mean / everywhere[word]), word))[:top]
        for some in terms
    ]


def _unique(wanted: Iterable[str]) -> list[str]:
    taken: Counter[str] = Counter()
    found = []
    for name in wanted:
        taken[name] += 1
        found.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return found
