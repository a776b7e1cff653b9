"""Names of clusters: the words and weights of the paper, checked by hand and by slow counting."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.cluster_names import names, weigh, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog on the beach with its 2 balls", ["dog", "beach", "balls"]),
        ("The dog's well-known Trick, isn't it?", ["dog", "well-known", "trick"]),
        ("Ein Hund läuft über die Straße", ["ein", "hund", "läuft", "über", "die", "straße"]),
        ("x y 1984 http://example.org/a_b", ["http", "example", "org"]),
        ("ы" * 31 + " кот", ["кот"]),
        ("", []),
        ("🐕 … !", []),
    ],
)
def test_words_are_lower_case_without_stop_words_and_numbers(text, expected):
    assert words(text) == expected


def test_names_are_the_words_that_are_special_to_a_cluster():
    labels = [0, 0, 1, 1, 2, -1]
    texts = ["photo dog ball", "photo dog", "photo cat", "photo cat sofa", "", "photo dog dog dog cat"]
    # A = 9 / 3; "photo" has f = 4, so that tf log(1 + A / f) is 1.12 beside 1.83 of "dog" and 1.39 of "ball".
    assert names(labels, texts, 3) == ("dog, ball, photo", "cat, sofa, photo", "cluster 3")


def test_names_are_unique_and_noise_names_nothing():
    assert names([0, 1, 2], ["dog", "dog", "cat"], 3) == ("dog", "dog (2)", "cat")
    assert names([-1, -1], ["dog", "cat"], 0) == ()
    assert names([1], ["dog"], 2) == ("cluster 1", "dog")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["dog", "cat", "ball", "sea", "sun"]), max_size=12), min_size=1, max_size=4
    )
)
def test_weights_are_those_of_grootendorst(classes):
    terms = [Counter(words) for words in classes]
    mean = sum(map(len, classes)) / len(classes)
    for some, best in zip(classes, weigh(terms, top=5), strict=True):
        weight = {
            word: some.count(word) * math.log(1 + mean / sum(other.count(word) for other in classes))
            for word in set(some)
        }
        assert [weight[word] for word in best] == pytest.approx(sorted(weight.values(), reverse=True))
        assert set(best) == set(weight)
