"""Proves that the embedded reranker looks at a picture in the light of the question, and stands any input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from engine.errors import ModalityError, ModelError, ModelOptionError, WeightsError
from engine.media.images import open_image
from engine.models import load as load_module
from engine.models.base import ModelChoice
from engine.models.catalog import POCKET_RERANKER
from engine.models.pocket.convert import ensure_converted, ensure_regions
from engine.models.pocket.reranker.evidence import Evidence
from engine.models.pocket.reranker.features import FEATURES
from engine.models.pocket.reranker.recipe import FILE, RECIPE, load
from engine.models.pocket.reranker.reranker import PocketReranker, PocketRerankerWeights
from engine.search.search import Query
from engine.settings import PROJECT_DIR
from engine.storage.library import Library
from engine.types import Filters
from tests.helpers.data import real_photos, sources
from tests.helpers.pictures import sign

PHOTOS = PROJECT_DIR / "sample_data" / "photos"
NAMES = ("giant-panda", "red-fire-truck", "bicycle", "strawberry")
QUESTIONS = {
    "empty": "",
    "white": " \t\n ",
    "stop words": "the of a in with",
    "one letter": "a",
    "punctuation": "?!… — ''\"\"",
    "german": "drei rote Äpfel auf einem Tisch",
    "japanese": "日本語のテキスト",
    "arabic": "مرحبا بالعالم",
    "emoji": "\U0001f98a\U0001f468\u200d\U0001f469",
    "half a pair": "half a pair \ud800",
    "control": "\x00\x01\x1b[31m",
    "long": ("three red boats and two blue signs that say harbour " * 100)[:4096],
    "one long word": "x" * 4096,
    "all kinds": 'two red mugs and a sign that says "open"',
}
SIZES = [(1, 1), (2, 3), (1, 4000), (4000, 1), (33, 31), (640, 480)]


@pytest.fixture(scope="module")
def reranker(models_dir) -> PocketReranker:
    return PocketReranker.load(POCKET_RERANKER, models_dir, 2, lambda stage: None)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [open_image((PHOTOS / f"{name}.jpg").read_bytes(), max_pixels=10**8)[0] for name in NAMES]


@pytest.fixture(scope="module")
def odd(reranker) -> list[Evidence]:
    """Return what is read from pictures that are no photographs."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    pictures = [Image.new("RGB", size, "black") for size in SIZES]
    pictures += [Image.new("RGB", (64, 64), "white"), Image.new("L", (64, 48), 128).convert("RGB")]
    pictures += [Image.fromarray(noise), sign("ONLY WORDS HERE", Image.new("RGB", (320, 200), "white"))]
    return [reranker.prepare("image", picture) for picture in pictures]


@pytest.fixture(scope="module")
def read(reranker, photos) -> list[Evidence]:
    return [reranker.prepare("image", picture) for picture in photos]


def ask(reranker: PocketReranker, question: str, pictures: list) -> np.ndarray:
    return reranker.score(("text", question), [("image", one) for one in pictures])


def mug(colour: str) -> Image.Image:
    """Return a mug of one colour on white."""
    picture = Image.new("RGB", (320, 320), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((190, 110, 270, 210), outline=colour, width=18)
    draw.rounded_rectangle((80, 80, 220, 250), 20, colour)
    draw.ellipse((80, 66, 220, 104), colour, "black", 3)
    return picture


def dots(count: int) -> Image.Image:
    """Return so many oranges on white."""
    picture = Image.new("RGB", (320, 320), "white")
    draw = ImageDraw.Draw(picture)
    for place in range(count):
        left, top = 30 + place % 2 * 150, 30 + place // 2 * 150
        draw.ellipse((left, top, left + 100, top + 100), "darkorange", "saddlebrown", 2)
    return picture


def in_a_corner(thing: Image.Image) -> Image.Image:
    """Return a wide plain picture with the thing small at its left end, where Pocket's centre cut is not."""
    picture = Image.new("RGB", (1000, 400), "lightsteelblue")
    picture.paste(thing.resize((180, 180)), (10, 10))
    return picture


def right_firsts(scores: np.ndarray) -> list[bool]:
    """Tell for each question (row) whether its own picture (same column) is strictly first."""
    return [bool((row[n] > np.delete(row, n)).all()) for n, row in enumerate(scores)]


def both(pocket, reranker, questions, pictures) -> tuple[np.ndarray, np.ndarray]:
    """Return Pocket's cosines and the reranker's scores: res[i][j] of question i and picture j."""
    cosines = pocket.encode_query("text", questions) @ pocket.encode_query("image", pictures).T
    return cosines, np.stack([ask(reranker, question, pictures) for question in questions])


# ── it looks at both ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("questions", "pictures"),
    [
        (["a red mug", "a blue mug"], [mug("firebrick"), mug("mediumblue")]),
        (["a green mug", "a yellow mug"], [mug("green"), mug("gold")]),
        (["one orange", "four oranges"], [dots(1), dots(4)]),
        (["two oranges", "three oranges"], [dots(2), dots(3)]),
    ],
    ids=["red and blue", "green and yellow", "one and four", "two and three"],
)
def test_what_pocket_orders_alike_is_ordered_by_the_question(pocket, reranker, questions, pictures):
    cosines, scores = both(pocket, reranker, questions, pictures)
    assert right_firsts(cosines) != [True, True]  # the stored vectors cannot tell
    assert right_firsts(scores) == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "questions",
    [['a sign that says "bakery"', 'a sign that says "hospital"'], ["bakery", "hospital"]],
    ids=["quoted", "bare"],
)
def test_the_same_scene_with_other_words_is_told_apart(pocket, reranker, photos, questions):
    pictures = [sign(words, photos[1]) for words in ("HOSPITAL", "BAKERY")][::-1]
    cosines, scores = both(pocket, reranker, questions, pictures)
    assert right_firsts(cosines) != [True, True]
    assert right_firsts(scores) == [True, True]


@pytest.mark.slow
def test_a_small_thing_in_a_corner_counts(pocket, reranker, photos):
    pictures = [in_a_corner(photos[0]), in_a_corner(photos[3])]
    cosines, scores = both(pocket, reranker, ["a giant panda", "a strawberry"], pictures)
    np.testing.assert_allclose(cosines[:, 0], cosines[:, 1], atol=1e-5)  # Pocket never sees it
    assert right_firsts(scores) == [True, True]


def test_photographs_are_found_by_what_they_show(reranker, read):
    questions = ["a giant panda", "a fire truck", "a bicycle", "a strawberry"]
    assert right_firsts(np.stack([ask(reranker, one, read) for one in questions])) == [True] * 4


# ── any input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_any_question_gets_finite_scores_of_any_picture(reranker, read, odd, question):
    scores = ask(reranker, question, [*read, *odd])
    assert scores.dtype == np.float32
    assert scores.shape == (len(read) + len(odd),)
    assert np.isfinite(scores).all()


def test_what_is_read_is_finite_and_its_vectors_are_unit(read, odd):
    for one in [*read, *odd]:
        for name in ("whole", "regions", "cells"):
            lengths = np.linalg.norm(getattr(one, name).astype(np.float32), axis=-1)
            np.testing.assert_allclose(lengths, 1, atol=5e-3)
        np.testing.assert_allclose(one.probabilities.astype(np.float32).sum(), 1, atol=0.01)
        assert np.isfinite(one.common)
        assert (one.regions.shape, one.probabilities.shape) == ((14, 384), (1000,))
        assert one.cells.shape[:2] == one.colours.shape[:2] == one.shown.shape
        assert max(one.shown.shape) <= 16


def test_only_the_picture_with_words_has_words(odd):
    assert [bool(one.text) for one in odd] == [False] * (len(odd) - 1) + [True]
    assert " ".join(odd[-1].text).replace(" ", "") == "ONLYWORDSHERE"


def test_no_documents_have_no_scores(reranker):
    assert ask(reranker, "a cat", []).shape == (0,)


@pytest.mark.parametrize(
    "pair", [("text", "text"), ("image", "image"), ("text", "video"), ("audio", "image")]
)
def test_other_pairs_are_refused_by_name(reranker, pair):
    query, document = pair
    assert not reranker.can_read(query, document)
    with pytest.raises(ModalityError, match=f"{query} against {document}"):
        reranker.score((query, "a cat"), [(document, "a cat")])
    assert reranker.can_read("text", "image")


# ── the same whatever the company ────────────────────────────────────────────────────────────────


def test_a_score_does_not_depend_on_its_batch_and_the_order_is_kept(reranker, read, odd):
    pictures = [*read, *odd]
    for question in QUESTIONS.values():
        together = ask(reranker, question, pictures)
        alone = np.concatenate([ask(reranker, question, [one]) for one in pictures])
        assert (together == alone).all()
        assert (ask(reranker, question, pictures[::-1])[::-1] == together).all()


@pytest.mark.slow
def test_prepared_equals_unprepared(reranker, photos, read):
    for question in ("a red truck", "two apples"):
        assert (ask(reranker, question, photos) == ask(reranker, question, read)).all()


@pytest.mark.slow
def test_identical_pictures_tie_exactly(reranker, photos):
    for question in ("a panda", "three red apples"):
        scores = ask(reranker, question, [photos[0], photos[1], photos[0].copy()])
        assert scores[0] == scores[2] != scores[1]


@pytest.mark.slow
def test_eight_threads_get_the_same_as_one(reranker, photos, read):
    jobs = [("a red panda", photos[:1]), ('says "stop"', photos[1:2])]
    jobs += [(question, read) for question in QUESTIONS.values()]
    serial = [ask(reranker, *job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: ask(reranker, *job), jobs * 2))
    assert all((found == serial[place % len(jobs)]).all() for place, found in enumerate(parallel))


def test_a_question_is_taken_apart_once(reranker, read, monkeypatch):
    asked = []
    encode = reranker._text.encode
    monkeypatch.setattr(reranker._text, "encode", lambda texts: asked.append(texts) or encode(texts))
    for _ in range(3):
        ask(reranker, "a question that nobody else asks", read)
    assert len(asked) == 1


def test_evidence_is_kept_by_the_library_and_never_read_twice(reranker, photos, tmp_path):
    library, made = Library(tmp_path), []

    def make() -> Evidence:
        made.append(1)
        return reranker.prepare("image", photos[2])

    (first, is_new), (second, is_new_again) = (
        library.evidence("0" * 64, reranker.codec, make) for _ in range(2)
    )
    assert (len(made), is_new, is_new_again) == (1, True, False)
    assert ask(reranker, "a red bicycle", [first]) == ask(reranker, "a red bicycle", [second])


@pytest.mark.slow
def test_a_search_reranks_and_keeps_what_it_read_for_the_next(workspace, tmp_path):
    workspace.ingest("photos", sources([real_photos(make_folder(tmp_path), 6)]))

    def found() -> list[tuple[str, float]]:
        trace = workspace.search(
            Query(text="a giant panda"),
            collection="photos",
            filters=Filters(modalities=("image",)),
            reranker=ModelChoice("pocket-reranker"),
        )
        return [(hit.item.id, hit.rerank_score) for hit in trace.results]

    first = found()
    kept = list((workspace.library.data_dir / "evidence").rglob("*.npz"))
    assert len(kept) == 6
    assert [score for _, score in first] == sorted((score for _, score in first), reverse=True)
    assert found() == first
    kept[0].write_bytes(b"torn")  # is made again
    assert found() == first
    assert kept[0].stat().st_size > 1000


def test_without_rapidocr_it_is_refused_with_what_to_install(settings, monkeypatch):
    monkeypatch.setattr(
        load_module, "missing_modules", lambda names: [one for one in names if one == "rapidocr"]
    )
    loader = load_module.Loader(settings)
    choice = loader.resolve(ModelChoice("pocket-reranker"))
    with pytest.raises(ModelError, match="rapidocr"):
        loader.load(choice, loader.device_of(choice), lambda stage: None)


def make_folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


# ── what it is made of ───────────────────────────────────────────────────────────────────────────


def test_every_feature_has_a_learned_weight_that_is_not_negative(reranker, read):
    assert set(RECIPE.weights) == set(FEATURES)
    assert all(weight >= 0 for weight in RECIPE.weights.values())
    assert reranker.features("a cat", read).shape == (len(read), len(FEATURES))


@pytest.mark.parametrize(
    ("old", "new", "read_again"),
    [
        ('"whole": ', '"whole": 1', False),
        ('"temperature": 2.0', '"temperature": 3.0', True),
        ('"gate_px": 320', '"gate_px": 100', True),
        ('"samples": ', '"samples": 1', None),
    ],
)
def test_a_revision_changes_with_what_it_stands_for(tmp_path, old, new, read_again):
    """A weight changes the scores, a setting also what is kept of a picture, and a remark neither."""
    text = FILE.read_text("utf-8")
    assert old in text
    (tmp_path / "weights.json").write_text(text.replace(old, new, 1), "utf-8")
    other = load(tmp_path / "weights.json")
    assert (other.features_revision != RECIPE.features_revision) == bool(read_again)
    assert (other.revision != RECIPE.revision) == (read_again is not None)


def test_there_is_nothing_to_choose(reranker):
    weights = PocketRerankerWeights(reranker)
    assert weights.view(ModelChoice("pocket-reranker")) is reranker
    assert 0 < weights.seconds_per_item["image"] < 60
    assert weights.memory_bytes > 10**8
    for option in ({"dim": 64}, {"query_prompt": "x"}, {"max_pixels": 1000}):
        with pytest.raises(ModelOptionError, match=next(iter(option))):
            weights.view(ModelChoice("pocket-reranker", **option))
    weights.close()


@pytest.mark.parametrize("name", ["regions.onnx", "classifier.npz"])
@pytest.mark.parametrize("content", [b"", b"PK not what it was"])
def test_torn_weights_are_named_with_the_way_out(tmp_path, models_dir, name, content):
    for folder in (ensure_converted(models_dir, print), ensure_regions(models_dir, print)):
        (tmp_path / folder.name).mkdir()
        for file in folder.iterdir():
            (tmp_path / folder.name / file.name).symlink_to(file)
    torn = tmp_path / folder.name / name
    torn.unlink()
    torn.write_bytes(content)
    with pytest.raises(WeightsError, match=r"Delete (that|the) folder"):
        PocketReranker.load(POCKET_RERANKER, tmp_path, 1, lambda stage: None)
