"""Which questions carry a note: forty that should, written before the rules, and captions that should not."""

from __future__ import annotations

import json

import pytest

from engine.search.language import is_foreign
from engine.search.notes import WORD, doubt, english_only
from engine.search.search import Query
from engine.search.unrelated import MEASURING, Unrelated
from engine.types import Filters, Hit, Item
from tests.helpers.data import ROOT, real_photos, sample_rows, sources

FORTY = json.loads((ROOT / "tests" / "data" / "questions-without-meaning.json").read_text("utf-8"))
SAYS = {
    "other language": "does not look like English",
    "no known word": "no word here",
    "negation": "do not follow",
    "unrelated": "nothing to do with",
}
ENGLISH_WITH_FOREIGN_WORDS = [
    *("two men die in the desert", "un bateau", "a café in paris", "123", "dog", "a bee on a flower"),
    *("komodo dragon", "taj mahal", "pizza margherita", "a matador", "piano", "a red car"),
    "los angeles skyline",
]
OTHER_LANGUAGES = [
    *("eine Biene auf einer Blume", "un perro en el agua", "пчела на цветке", "花", "roter Apfel"),
]


def said(text: str, model: str = "somebody/model", pieces=None) -> str:
    """Return the doubt where the best score stands out, so that the words alone speak."""
    hit = Hit(1, Item("0" * 64, "image", "one", "image/png", ""), 0.5, 1)
    return doubt(text, [model], pieces, {"image": (hit,)}, lambda: Unrelated({"image": 0.2}))


@pytest.fixture
def pocket_says(pocket):
    def of(text: str) -> str:
        return said(text, "pocket", pocket.pieces(WORD.findall(text)))

    return of


def test_the_forty_are_ten_of_each_kind():
    assert {kind: len(set(questions)) for kind, questions in FORTY.items()} == dict.fromkeys(SAYS, 10)


@pytest.mark.parametrize("kind", ["other language", "no known word", "negation"])
def test_words_alone_tell_three_of_the_kinds(kind, pocket_says):
    missed = [text for text in FORTY[kind] if SAYS[kind] not in pocket_says(text)]
    assert len(missed) <= 1, missed


def test_no_caption_of_the_samples_is_taken_for_anything_by_its_words(pocket_says):
    captions = [row["caption"] for row in sample_rows()]
    assert len(captions) == 195
    assert [caption for caption in captions if pocket_says(caption)] == []


@pytest.mark.slow
def test_nine_in_ten_of_the_forty_carry_a_note_and_few_captions_do(workspace, tmp_path):
    """The rates that docs/measuring.md gives, over the index, where pictures alone answer."""
    workspace.ingest("samples", sources([real_photos(tmp_path / "photos", 195)]))

    def note(text: str) -> str:
        trace = workspace.search(
            Query(text=text), collection="samples", k=1, filters=Filters(("image",)), patience_seconds=600
        )
        assert trace.notes == ((trace.doubt,) if trace.doubt else ())
        return trace.doubt

    notes = {text: note(text) for questions in FORTY.values() for text in questions}
    right = {kind: [text for text in FORTY[kind] if says in notes[text]] for kind, says in SAYS.items()}
    captions = [row["caption"] for row in sample_rows()]
    noted = [caption for caption in captions if note(caption)]
    assert sum(map(bool, notes.values())) >= 36 and sum(map(len, right.values())) >= 36, right
    assert len(captions) == 195 and len(noted) <= 0.05 * len(captions), noted


def test_short_questions_are_told_apart_by_language(pocket_says):
    short = json.loads((ROOT / "tests" / "data" / "short-questions.json").read_text("utf-8"))
    says = SAYS["other language"]
    assert [text for text in short["english"] if says in pocket_says(text)] == []
    found = [text for text in short["other languages"] if says in pocket_says(text)]
    assert (len(short["english"]), len(short["other languages"])) == (80, 60) and len(found) >= 52
    english = "sentence-transformers/clip-ViT-B-32"  # a model whose vocabulary is not asked
    assert [text for text in short["english"] if says in said(text, english)] == []
    assert sum(says in said(text, english) for text in short["other languages"]) >= 38


@pytest.mark.parametrize("text", ENGLISH_WITH_FOREIGN_WORDS)
def test_english_and_what_may_be_is_taken_for_english(text, pocket_says):
    assert pocket_says(text) == ""


@pytest.mark.parametrize("text", OTHER_LANGUAGES)
def test_other_languages_are_told(text, pocket_says):
    assert SAYS["other language"] in pocket_says(text)


def test_language_is_said_of_models_that_are_known_for_english_alone():
    text = "ein roter Hund auf der Wiese"
    assert said(text) == said(text, "google/embeddinggemma-2") == said(text, "no/such-model") == ""
    assert "clip-ViT-B-32 can read nothing else" in said(text, "sentence-transformers/clip-ViT-B-32")
    assert english_only(["pocket", "towers:mine", "Qwen/Qwen3-VL-Embedding-2B"]) == ["pocket", "towers:mine"]


def test_a_model_whose_pieces_are_not_known_is_judged_by_three_words():
    assert is_foreign("manzana verde grande", ["manzana", "verde", "grande"], None)
    assert not is_foreign("manzana verde", ["manzana", "verde"], None)


@pytest.mark.parametrize("text", ["an x-ray of a hand", "-5 degrees", "black - white", "No. 5", "a knot"])
def test_a_minus_or_a_negation_is_only_what_is_one(text):
    assert said(text) == ""


@pytest.mark.parametrize("text", ["a man who doesn’t smile", "NOT a cat", "-people", "beach −people"])
def test_negation_is_told_however_it_is_written(text):
    assert SAYS["negation"] in said(text)


def test_emoji_mean_something_to_models_that_are_not_of_english_alone():
    assert said("🐝") == "" and "no word here" in said("?!") and "no word here" in said("🐝", "pocket")


def test_one_modality_that_stands_out_is_enough_and_what_was_not_measured_is_not_judged():
    def hits(modality: str, score: float):
        return (Hit(1, Item("0" * 64, modality, "one", "", ""), score, 1),)

    def of(limits, **scores: float) -> str:
        found = {one: hits(one, score) for one, score in scores.items()}
        return doubt("a dog", ["a/b"], None, found, lambda: limits)

    both = Unrelated({"image": 0.3, "text": 0.2})
    assert "the best of the pictures scores 0.30, and unrelated questions" in of(both, image=0.3)
    assert of(both, image=0.3, text=0.1).count("unrelated questions") == 2
    assert of(both, image=0.3, text=0.21) == of(both) == of(Unrelated({"text": 0.2}), image=0.1) == ""
    assert of(Unrelated(measuring=True), image=0.1) == MEASURING
