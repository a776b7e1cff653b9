"""Proves rerankers against sentence-transformers' CrossEncoder called directly, pair by pair."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from engine.errors import MediaError, ModalityError, ModelError
from engine.models import load as load_module
from engine.models.base import ModelChoice
from engine.models.device import cpu
from engine.models.hub.reranker import RerankerWeights
from engine.models.load import Loader
from engine.settings import load_settings
from engine.types import Frames, Sound
from tests.helpers.hub_models import (
    OUT_OF_MEMORY,
    TEXTS,
    Listener,
    Unpaced,
    addresses,
    film,
    picture,
    plain,
    same,
)

# Videos of more than 4 frames, of which the processor itself would drop some.
ASKED = {"text": "a red ball", "image": picture(11), "video": film(11, 6)}
READ = {"text": TEXTS, "image": [picture(seed) for seed in range(5)], "video": [film(0, 2), film(1, 5)]}


@pytest.fixture(scope="module")
def load(tiny, tmp_path_factory):
    """Return a function that loads a tiny reranker with these settings."""

    def of(name: str, dtype: str | None = None, **settings) -> RerankerWeights:
        folder = tmp_path_factory.mktemp("data")
        loader = Loader(load_settings(**{"data_dir": folder, "device": "cpu", **settings}))
        choice = loader.resolve(ModelChoice(str(tiny(name)), dtype=dtype))
        made = loader.load(choice, cpu(), lambda stage: None)
        made._batches._pace = Unpaced()
        return made

    return of


@pytest.fixture(scope="module")
def joint(load):
    return load("qwen_reranker")


@pytest.fixture(scope="module")
def words(load):
    return load("text_reranker")


@pytest.fixture(scope="module")
def library(tiny):
    return {name: CrossEncoder(str(tiny(name)), device="cpu") for name in ("qwen_reranker", "text_reranker")}


def view(weights: RerankerWeights):
    return weights.view(ModelChoice(weights.spec.id))


def directly(model: CrossEncoder, query: tuple, documents: list[tuple]) -> np.ndarray:
    """Return the library's own scores, one pair at a time."""
    scores = []
    for document in documents:
        videos = [content for kind, content in (query, document) if kind == "video"]
        options = {}
        if videos:
            facts = [plain("video", one)["video"]["video_metadata"] for one in videos]
            options = {"processing_kwargs": {"video": {"do_sample_frames": False, "video_metadata": facts}}}
        pair = [
            {"video": np.moveaxis(c.pixels, 3, 1)} if k == "video" else {k: c} for k, c in (query, document)
        ]
        scores.append(model.predict([tuple(pair)], show_progress_bar=False, **options)[0])
    return np.array(scores, np.float32)


@pytest.mark.parametrize(("asking", "reading"), list(itertools.product(ASKED, READ)))
def test_scores_are_those_of_the_library(joint, library, asking, reading):
    query, documents = (asking, ASKED[asking]), [(reading, one) for one in READ[reading]]
    scores = view(joint).score(query, documents)
    assert (scores.shape, scores.dtype) == ((len(documents),), np.float32)
    assert same(scores, directly(library["qwen_reranker"], query, documents))
    assert np.ptp(scores) > 1e-3
    assert same(view(joint).score(query, documents[::-1]), scores[::-1])


def test_scores_of_words_alone_are_those_of_the_library(words, library):
    scores = view(words).score(("text", "a red ball"), [("text", text) for text in TEXTS])
    wanted = library["text_reranker"].predict([("a red ball", text) for text in TEXTS])
    assert same(scores, wanted)
    assert np.ptp(scores) > 1e-3


def test_scores_are_the_models_own_logits_also_below_zero(load, words):
    shifted, documents = load("text_reranker"), [("text", text) for text in TEXTS]
    with torch.no_grad():
        shifted._model[0].model.classifier.bias -= 5
    wanted = view(words).score(("text", "a cat"), documents) - 5
    assert wanted.max() < 0
    assert same(view(shifted).score(("text", "a cat"), documents), wanted)


def test_documents_of_several_kinds_keep_their_order(joint, library):
    kinds = ("image", "text", "video", "text", "image", "image")
    documents = [(kind, READ[kind][place % 2]) for place, kind in enumerate(kinds)]
    scores = view(joint).score(("text", "a red ball"), documents)
    assert same(scores, directly(library["qwen_reranker"], ("text", "a red ball"), documents))


@pytest.mark.parametrize("items", [1, 2, 3, 32])
def test_the_size_of_a_batch_changes_no_score(load, items):
    one = load("text_reranker", model_batch_items=items)
    documents = [("text", text) for text in TEXTS * 2]
    scores = view(one).score(("text", "a cat"), documents)
    singles = np.concatenate([view(one).score(("text", "a cat"), [document]) for document in documents])
    assert same(scores, singles)


def test_the_pixel_limits_of_the_catalog_are_those_of_a_model_loaded_with_them(
    load, tiny, joint, monkeypatch
):
    known = replace(joint.spec, min_pixels=300, max_pixels=1_000)
    monkeypatch.setattr(load_module, "describe", lambda model: known)
    limited_so = load("qwen_reranker")
    options = {"min_pixels": 300, "max_pixels": 1_000}
    library = CrossEncoder(str(tiny("qwen_reranker")), device="cpu", processor_kwargs=options)
    documents = [("image", one) for one in READ["image"]]
    for query in (("text", "a red ball"), ("image", ASKED["image"])):
        scores = view(limited_so).score(query, documents)
        assert same(scores, directly(library, query, documents))
        assert np.abs(scores - view(joint).score(query, documents)).max() > 1e-4


def test_no_documents_have_no_scores(joint, words):
    for one in (joint, words):
        scores = view(one).score(("text", "a cat"), [])
        assert (scores.shape, scores.dtype) == ((0,), np.float32)


def test_what_can_be_read_is_told_and_the_rest_is_refused(joint, words):
    sound = Sound(np.zeros(800, np.float32), 8_000)
    assert view(joint).modalities == ("text", "image", "video")
    assert view(words).modalities == ("text",)
    pairs = itertools.product(("text", "image", "video", "audio"), repeat=2)
    for query, document in pairs:
        assert view(joint).can_read(query, document) == ("audio" not in (query, document))
        assert view(words).can_read(query, document) == (query == document == "text")
    with pytest.raises(ModalityError, match="image against text; it embeds text"):
        view(words).score(("image", picture(1)), [("text", "a cat")])
    with pytest.raises(ModalityError, match="text against audio"):
        view(joint).score(("text", "a cat"), [("text", "a cat"), ("audio", sound)])


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["joint", "words"])
def test_text_that_looks_like_a_path_or_an_address_is_never_opened(request, library, tmp_path, name):
    weights, listener = request.getfixturevalue(name), Listener()
    picture(7).save(tmp_path / "a.png")
    texts = addresses(listener.port, tmp_path / "a.png")
    for text in texts:
        scores = view(weights).score(("text", text), [("text", one) for one in texts])
        assert np.isfinite(scores).all()
    assert listener.came == 0
    listener.socket.close()
    if name == "joint":
        asked, file = ("text", "a red ball"), str(tmp_path / "a.png")
        read, shown = view(weights).score(asked, [("text", file), ("image", picture(7))])
        assert abs(read - shown) > 1e-4
        assert same(np.array([read]), directly(library["qwen_reranker"], asked, [("text", file)]))


@pytest.mark.parametrize("name", ["joint", "words"])
def test_a_models_own_marks_in_a_text_do_no_harm(request, name):
    weights = request.getfixturevalue(name)
    known = weights._model.tokenizer
    for mark in {*known.all_special_tokens, "<|image_pad|>", "<|vision_start|>", "<|video_pad|>"}:
        texts = [mark, f"a cat {mark}", f"{mark}cat{mark * 3}", mark[:-2] + mark + mark[-2:]]
        for query in texts:
            assert np.isfinite(view(weights).score(("text", query), [("text", one) for one in texts])).all()
        if name == "joint":
            pair = view(weights).score(("text", "a dog"), [("text", "a cat"), ("text", f"a cat {mark}")])
            assert same(pair[:1], pair[1:])
            assert np.isfinite(view(weights).score(("text", mark), [("image", picture(1))])).all()


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud83d", "a cat " * 3_000])
def test_odd_texts_are_scored(joint, words, text):
    for one in (joint, words):
        assert np.isfinite(view(one).score(("text", text), [("text", text), ("text", "a cat")])).all()


def test_pictures_of_any_shape_are_scored_and_impossible_ones_refused(joint):
    shapes = [(1, 1), (300, 3), (3, 300), (1_600, 1_200)]
    scores = view(joint).score(("text", "a cat"), [("image", picture(1, *shape)) for shape in shapes])
    assert np.isfinite(scores).all()
    with pytest.raises(MediaError, match="less than 200 times"):
        view(joint).score(("text", "a cat"), [("image", picture(1, 800, 2))])


def test_a_video_of_one_frame_is_scored(joint):
    still = ("video", Frames(film(1, 1).pixels, 1.0))
    assert np.isfinite(view(joint).score(("text", "a cat"), [still])).all()
    assert np.isfinite(view(joint).score(still, [("text", "a cat"), still])).all()


# ── memory and unloading ─────────────────────────────────────────────────────────────────────────


def limited(weights: RerankerWeights, most: int, error: BaseException) -> list[int]:
    real, given = weights._model.predict, []

    def predict(pairs, **options):
        given.append(len(pairs))
        if len(pairs) > most:
            raise error
        return real(pairs, **options)

    weights._model.predict = predict
    return given


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_where_memory_runs_out_the_batch_is_halved_and_stays_so(load, error):
    one = load("text_reranker", model_batch_items=8)
    documents = [("text", text) for text in TEXTS * 2]
    wanted = view(one).score(("text", "a cat"), documents)
    given = limited(one, 3, error)
    assert same(view(one).score(("text", "a cat"), documents), wanted)
    assert given == [8, 4, 2, 2, 2, 2, 2]
    given.clear()
    assert same(view(one).score(("text", "a cat"), documents[:3]), wanted[:3])
    assert given == [2, 1]


def test_memory_that_one_pair_exceeds_is_told_in_a_sentence(load):
    one = load("text_reranker")
    limited(one, 0, OUT_OF_MEMORY[0])
    with pytest.raises(ModelError, match="ran out of memory with one text item on cpu"):
        view(one).score(("text", "a cat"), [("text", "a dog"), ("text", "a cat")])


@pytest.mark.parametrize("scores", [np.array([np.nan]), np.array([np.inf]), np.array([[0.1, 0.2]])])
def test_what_is_no_score_per_pair_is_refused(load, scores):
    one = load("text_reranker")
    one._model.predict = lambda pairs, **options: scores
    with pytest.raises(ModelError, match="does not give one finite score per pair"):
        view(one).score(("text", "a cat"), [("text", "a dog")])


def test_a_closed_reranker_is_gone_though_somebody_holds_a_view(load):
    one = load("qwen_reranker")
    held, network = view(one), weakref.ref(one._model)
    assert held.score(("text", "a cat"), [("text", "a dog")]).shape == (1,)
    one.close()
    gc.collect()
    assert network() is None
    for query in (("text", "a cat"), ("image", picture(1))):
        with pytest.raises(ModelError, match="was unloaded; ask again"):
            held.score(query, [("text", "a dog")])


def test_threads_get_what_one_after_the_other_gets(words):
    documents, faults = [("text", text) for text in TEXTS], []
    wanted = {text: view(words).score(("text", text), documents) for text in TEXTS}

    def visit(text):
        for _ in range(5):
            if not same(view(words).score(("text", text), documents), wanted[text]):
                faults.append(text)

    visitors = [threading.Thread(target=visit, args=(text,)) for text in TEXTS]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(240)
    assert not faults


def test_half_precision_gives_close_scores(load, words):
    half = load("text_reranker", dtype="bfloat16")
    documents = [("text", text) for text in TEXTS]
    scores = view(half).score(("text", "a cat"), documents)
    assert scores.dtype == np.float32
    assert next(half._model.parameters()).dtype == torch.bfloat16
    assert half.memory_bytes < words.memory_bytes
    assert view(half).provenance.dtype == "bfloat16"
    assert np.abs(scores - view(words).score(("text", "a cat"), documents)).max() < 0.2
