"""Proves how a question is taken apart, and what its parts are worth against made-up evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.models.pocket.reranker import colours
from engine.models.pocket.reranker.features import FEATURES, features
from engine.models.pocket.reranker.question import ParsedQuestion, parse
from engine.vectors import normalise
from tests.helpers.pocket_reranker import some

KINDS = normalise(np.random.default_rng(1).normal(size=(1000, 8)))


class Encoder:
    """Gives every text a vector of its own, and remembers what it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.texts = list(texts)
        return normalise(
            np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
        )


def taken(text: str) -> tuple[ParsedQuestion, list[str]]:
    """Return the question and what its vectors stand for."""
    encoder = Encoder()
    return parse(text, encoder, np.zeros(8, np.float32)), encoder.texts[2:]


def scored(text: str, *pictures) -> dict[str, list[float]]:
    """Return every feature of the pictures by name."""
    rows = features(taken(text)[0], pictures, KINDS)
    return {name: rows[:, place].tolist() for place, name in enumerate(FEATURES)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red mug on the table", ["mug", "table", "mug table"]),
        ("two dogs", ["dogs"]),
        ("a photo of a cat", ["cat"]),
        ("the of a", []),
        ("", []),
        ("Don't stop!", ["don't", "stop", "don't stop"]),
        ("Äpfel 日本", ["äpfel", "日本", "äpfel 日本"]),
    ],
)
def test_words_leave_out_colours_numbers_and_small_words(text, words):
    question, stand_for = taken(text)
    assert stand_for == words
    assert question.words.shape == (len(words), 8)
    np.testing.assert_allclose(np.linalg.norm(question.vector), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a red mug", [("red", "mug")]),
        ("a red and white flag", [("red", "flag"), ("white", "flag")]),
        ("a big blue car near a green tree", [("blue", "car"), ("green", "tree")]),
        ("the mug is red", [("red", None)]),
        ("two golden retrievers", [("yellow", "retrievers")]),
        ("a mug", []),
    ],
)
def test_a_colour_belongs_to_the_next_thing(text, wanted):
    question, words = taken(text)
    found = [(colours.NAMES[colour], None if row is None else words[row]) for colour, row in question.colours]
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "count"),
    [("three keys", 3), ("a pair of shoes", 2), ("7 apples", 7), ("a dozen eggs", 12), ("keys", None)],
)
def test_how_many(text, count):
    assert taken(text)[0].count == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a sign that says "Keep Left"', ("keep", "left")),
        ("a sign that says keep left", ("keep", "left")),
        ("a book titled War and Peace", ("war", "and", "peace")),
        ("ein Schild „Ausfahrt“", ("ausfahrt",)),
        ("the dog's bowl", ("dog's", "bowl")),
        ("exit", ("exit",)),
        ("", ()),
    ],
)
def test_what_may_be_written(text, said):
    assert taken(text)[0].said == said


def test_a_very_long_question_costs_a_bounded_number_of_texts():
    assert len(taken("word " * 5000)[1]) <= 64


# ── features ─────────────────────────────────────────────────────────────────────────────────────


def test_words_that_are_read_count_by_their_share_and_forgive_one_letter():
    lines = (("KEEP LEFT",), ("KEEP RIGHT",), ("KEEPLEFT",), ("NOTHING",), (), ("SCHO0L",), ("S C H O O L",))
    pictures = [replace(some(), text=text) for text in lines]
    assert scored('a sign "keep left"', *pictures)["read"] == [1, 0.5, 1, 0, 0, 0, 0]
    assert scored('a sign "school"', *pictures)["read"] == [0, 0, 0, 0, 0, 1, 1]


def test_as_many_as_asked_for_is_best_and_what_cannot_be_counted_is_between():
    pictures = [some(things=count) for count in (1, 2, 3, 4, 9, 0)]
    assert scored("three keys", *pictures)["count"] == [-1, 0, 1, 0, -1, 0]
    assert scored("keys", *pictures)["count"] == [0] * 6


def test_the_colour_is_looked_for_where_the_thing_is():
    """Two cells: one shows the mug and one does not; only the colour of the first matters."""
    question, _ = taken("a red mug")
    mug = question.words[0]

    def picture(of_mug: str, of_other: str):
        shares = np.zeros((1, 2, 11), np.float16)
        shares[0, 0, colours.NAMES.index(of_mug)] = shares[0, 1, colours.NAMES.index(of_other)] = 1
        cells = np.stack([mug, -mug])[None].astype(np.float16)
        return replace(some(), cells=cells, colours=shares, shown=np.ones((1, 2), np.float16))

    red, blue = scored("a red mug", picture("red", "blue"), picture("blue", "red"))["colour"]
    assert red > -0.1
    assert blue < -3
    assert scored("a mug", picture("red", "blue"))["colour"] == [0]


def test_classes_equal_their_formula_in_float64():
    picture = replace(
        some(), probabilities=np.random.default_rng(3).dirichlet(np.ones(1000)).astype(np.float16)
    )
    likeness = KINDS.astype(np.float64) @ taken("a mug")[0].vector
    wanted = np.log((picture.probabilities.astype(np.float64) * np.exp(15 * likeness)).sum())
    np.testing.assert_allclose(scored("a mug", picture)["classes"], [wanted], rtol=1e-4)


def test_no_question_about_words_is_worth_nothing():
    found = scored("the of", some(), some(1))
    assert found["words"] == found["colour"] == found["count"] == found["read"] == [0, 0]


def test_features_have_one_row_per_picture_in_order():
    pictures = [some(seed) for seed in range(5)]
    question = taken("three red mugs")[0]
    rows = features(question, pictures, KINDS)
    assert (rows.shape, rows.dtype) == ((5, len(FEATURES)), np.float32)
    assert np.isfinite(rows).all()
    assert (features(question, pictures[::-1], KINDS)[::-1] == rows).all()
    assert features(question, [], KINDS).shape == (0, len(FEATURES))
