"""Proves hub embedders against sentence-transformers called directly, and that they hold out under attack."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import types
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from engine.errors import MediaError, ModalityError, ModelError, ModelOptionError, UnreadableMediaError
from engine.media.pixels import MAX_ASPECT
from engine.models.base import ModelChoice
from engine.models.device import cpu, release
from engine.models.hub import embedder as module
from engine.models.hub.embedder import EmbedderWeights
from engine.models.load import Loader
from engine.settings import load_settings
from engine.types import Frames, Sound
from tests.helpers.hub_models import (
    CHATS,
    MODELS,
    OUT_OF_MEMORY,
    RATES,
    TEXTS,
    Listener,
    Unpaced,
    addresses,
    contents,
    directly,
    far,
    film,
    ours,
    picture,
    pixels,
    plain,
    same,
    tone,
)
from tests.helpers.tiny_models import OMNI_DOCUMENT_PROMPT, OMNI_QUERY_PROMPT, QUERY_PROMPT, WIDTH

# The largest of them, and CLIP once more as another library saves it, are not in the quick loop.
SLOW = {"omni", "clip_saved"}
EACH = [pytest.param(model, marks=[pytest.mark.slow] * (model in SLOW)) for model in MODELS]
EVERY = [
    pytest.param(model, modality, marks=[pytest.mark.slow] * (model in SLOW))
    for model, modalities in MODELS.items()
    for modality in modalities
]


@pytest.fixture(scope="module")
def weights(tiny, tmp_path_factory):
    """Return a function that gives the loaded weights of a tiny checkpoint, loaded once."""
    loader, kept = Loader(load_settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")), {}

    def of(name: str) -> EmbedderWeights:
        if name not in kept:
            kept[name] = loader.load(loader.resolve(ModelChoice(str(tiny(name)))), cpu(), lambda stage: None)
        return kept[name]

    return of


@pytest.fixture(scope="module")
def view(weights):
    return lambda name, **choice: weights(name).view(ModelChoice(weights(name).spec.id, **choice))


@pytest.fixture(scope="module")
def library(tiny):
    """Return a function that gives the same checkpoint opened by sentence-transformers itself."""
    kept = {}

    def of(name: str, **options) -> SentenceTransformer:
        key = (name, str(options))
        if key not in kept:
            kept[key] = SentenceTransformer(str(tiny(name)), device="cpu", local_files_only=True, **options)
        return kept[key]

    return of


# ── the same vectors as the library's ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("task", ["query", "document"])
@pytest.mark.parametrize(("model", "modality"), EVERY)
def test_vectors_are_those_of_sentence_transformers(view, library, model, modality, task):
    some = contents(model, modality)
    found = ours(view(model), task, modality, some)
    assert found.shape == (len(some), WIDTH)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found, directly(library(model), task, modality, some))
    apart = np.abs(found[:, None] - found[None]).max(axis=2)
    assert apart[~np.eye(len(some), dtype=bool)].min() > 1e-4  # or any order would pass


@pytest.mark.parametrize(("model", "modality"), EVERY)
def test_batches_and_singles_agree_and_keep_their_order(view, monkeypatch, weights, model, modality):
    some, one = contents(model, modality), view(model)
    singles = np.concatenate([ours(one, "document", modality, [content]) for content in some])
    for size in (2, 32):
        monkeypatch.setattr(weights(model)._batches, "size", lambda modality, size=size: size)
        assert same(ours(one, "document", modality, some), singles)
    assert same(ours(one, "document", modality, some[::-1]), singles[::-1])


def test_a_model_is_told_whether_it_reads_a_question_or_a_document(view, weights, monkeypatch):
    tower, told = weights("qwen_embedder").tower("text"), []
    real, one = tower.encode, view("qwen_embedder")

    def encode(inputs, **options):
        told.append(options["task"])  # models with a router have an encoder for each
        return real(inputs, **options)

    monkeypatch.setattr(tower, "encode", encode)
    for task in ("query", "document"):
        for modality in one.modalities:
            ours(one, task, modality, contents("qwen_embedder", modality)[:1])
        one.encode_mixed(task, [[("text", "a cat"), ("image", picture(1))]])
    assert told == ["query"] * 4 + ["document"] * 4


@pytest.mark.parametrize(("model", "modality"), EVERY)
def test_nothing_asked_gives_nothing(view, model, modality):
    for task in ("query", "document"):
        found = ours(view(model, dim=8), task, modality, [])
        assert (found.shape, found.dtype) == ((0, 8), np.float32)


def test_what_each_model_takes_is_read_from_the_model(view):
    for model, modalities in MODELS.items():
        assert view(model).modalities == modalities


@pytest.mark.parametrize(
    ("model", "modality"), [("clip", "audio"), ("clap", "image"), ("multilingual_clip", "image")]
)
def test_a_modality_it_does_not_take_is_refused_in_words(view, model, modality):
    one = view(model)
    content = contents("omni" if modality == "audio" else "clip", modality)[0]
    for call in (
        lambda: one.prepare(modality, content),
        lambda: one.encode_query(modality, [content]),
        lambda: one.encode_document(modality, [content]),
    ):
        with pytest.raises(ModalityError, match=f"cannot embed {modality}; it embeds text"):
            call()


# ── prompts and widths ───────────────────────────────────────────────────────────────────────────


def test_a_models_own_prompts_are_applied(view, library):
    one = view("qwen_embedder")
    asked, stored = ours(one, "query", "text", TEXTS), ours(one, "document", "text", TEXTS)
    assert far(asked, stored)
    assert same(asked, directly(library("qwen_embedder"), "query", "text", TEXTS, prompt=QUERY_PROMPT))
    assert same(stored, directly(library("qwen_embedder"), "document", "text", TEXTS, prompt=""))
    assert (one.provenance.query_prompt, one.provenance.document_prompt) == (QUERY_PROMPT, "")
    other = view("omni").provenance
    assert (other.query_prompt, other.document_prompt) == (OMNI_QUERY_PROMPT, OMNI_DOCUMENT_PROMPT)
    assert (view("clip").provenance.query_prompt, view("clip").provenance.document_prompt) == ("", "")


@pytest.mark.parametrize("model", ["clip", "multilingual_clip", "qwen_embedder", "omni"])
def test_the_prompts_of_a_choice_win_and_an_empty_one_is_none(view, library, model):
    chosen = view(model, query_prompt="a drawing of ", document_prompt="the song : ")
    assert same(
        ours(chosen, "query", "text", TEXTS),
        directly(library(model), "query", "text", TEXTS, prompt="a drawing of "),
    )
    assert same(
        ours(chosen, "document", "text", TEXTS),
        directly(library(model), "document", "text", TEXTS, prompt="the song : "),
    )
    bare = view(model, query_prompt="", document_prompt="")
    assert same(ours(bare, "query", "text", TEXTS), ours(bare, "document", "text", TEXTS))
    assert same(
        ours(bare, "query", "text", TEXTS),
        library(model).encode([{"text": t} for t in TEXTS], prompt="", normalize_embeddings=True),
    )
    assert far(ours(bare, "query", "text", TEXTS), ours(chosen, "query", "text", TEXTS))
    assert chosen.provenance.query_prompt == "a drawing of "
    assert chosen.provenance != bare.provenance


def test_a_prompt_also_stands_before_a_picture_where_the_model_reads_both(view, library):
    some = contents("omni", "image")
    chosen = view("omni", query_prompt="a drawing of ")
    assert far(ours(chosen, "query", "image", some), ours(view("omni"), "query", "image", some))
    assert same(
        ours(chosen, "query", "image", some),
        directly(library("omni"), "query", "image", some, prompt="a drawing of "),
    )


@pytest.mark.parametrize(
    ("model", "modality", "dim"),
    [("clip", "text", 1), *(pytest.param(*one.values, 16, marks=one.marks) for one in EVERY)],
)
def test_a_width_is_cut_and_scaled_to_unit_length_anew(view, library, model, modality, dim):
    some = contents(model, modality)
    found = ours(view(model, dim=dim), "document", modality, some)
    assert found.shape == (len(some), dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found, directly(library(model), "document", modality, some, truncate_dim=dim))
    assert view(model, dim=dim).provenance.dim == dim


@pytest.mark.parametrize("dim", [0, -1, WIDTH + 1])
def test_a_width_that_cannot_be_had_is_refused(view, dim):
    with pytest.raises(ModelOptionError, match=f"does not take width {dim}; it takes 1 to {WIDTH}"):
        view("clip", dim=dim)


def test_a_model_of_the_catalog_takes_the_widths_it_was_trained_for(view, weights, monkeypatch):
    known = replace(weights("clip").spec, dim=WIDTH, dims=(16, 8, 4_096))
    monkeypatch.setattr(weights("clip"), "spec", known)
    for dim in (WIDTH, 16, 8):
        assert ours(view("clip", dim=dim), "query", "text", ["a cat"]).shape == (1, dim)
    for dim in (24, 4_096):
        with pytest.raises(ModelOptionError, match=f"does not take width {dim}; it takes 32, 16, 8.$"):
            view("clip", dim=dim)


# ── text is never opened ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def listener():
    one = Listener()
    yield one
    one.socket.close()


@pytest.mark.parametrize("model", EACH)
def test_text_that_looks_like_a_path_or_an_address_is_never_opened(view, library, listener, tmp_path, model):
    shown = picture(7)
    shown.save(tmp_path / "a.png")
    texts = addresses(listener.port, tmp_path / "a.png")
    one = view(model)
    asked, stored = ours(one, "query", "text", texts), ours(one, "document", "text", texts)
    mixed = one.encode_mixed("query", [[("text", text)] for text in texts])
    assert listener.came == 0
    assert same(asked, directly(library(model), "query", "text", texts))
    assert same(stored, directly(library(model), "document", "text", texts))
    assert same(mixed, asked)
    if "image" in one.modalities:
        assert far(asked[7], ours(one, "query", "image", [shown])[0])


def test_the_library_would_open_them(library, listener, tmp_path):
    picture(7).save(tmp_path / "a.png")
    opened, shown = (
        library("clip").encode([str(tmp_path / "a.png")]),
        library("clip").encode([{"image": picture(7)}]),
    )
    assert same(opened, shown)
    with pytest.raises(Exception):  # noqa: B017
        library("clip").encode([f"http://127.0.0.1:{listener.port}/a.jpg"])
    assert listener.came


@pytest.mark.parametrize("model", EACH)
def test_a_models_own_marks_in_a_text_do_no_harm(view, weights, model):
    one = view(model)
    known = weights(model).tower("text").tokenizer
    marks = {*known.all_special_tokens, *(str(token) for token in known.added_tokens_decoder.values())}
    assert len(marks) > 2
    for mark in [*marks, "<|image_pad|>", "<|vision_start|>", "<image>", "<|IMAGE_PAD|>"]:
        texts = [mark, f"a cat {mark}", f"{mark}a{mark}cat{mark * 3}", mark[:-2] + mark + mark[-2:]]
        found = ours(one, "query", "text", texts)
        assert np.isfinite(found).all()
        if model in CHATS and mark in marks:
            assert same(found[1], ours(one, "query", "text", ["a cat"])[0])


@pytest.mark.parametrize("model", EACH)
@pytest.mark.parametrize(
    "text", ["", " ", "\n", "\x00", "\ud83d", "a" * 3_000, "a cat " * 3_000, "猫 \u202e \u0301"]
)
def test_odd_texts_embed(view, model, text):
    found = ours(view(model), "document", "text", [text, "a cat"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found[1:], ours(view(model), "document", "text", ["a cat"]))


# ── sound ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", RATES)
def test_channels_are_averaged(view, model):
    left, right = tone(1, 1.0, RATES[model]).samples, tone(2, 1.0, RATES[model]).samples
    mono = Sound((left + right) / 2, RATES[model])
    stereo = [Sound.of(np.stack([left, right], axis), RATES[model]) for axis in (0, 1)]
    found = ours(view(model), "document", "audio", [mono, *stereo])
    assert same(found[1:], found[:1].repeat(2, axis=0))


@pytest.mark.parametrize("model", RATES)
@pytest.mark.parametrize("rate_hz", [44_100, 22_050, 11_025])
def test_sound_at_another_rate_is_resampled(view, model, rate_hz):
    right, other = tone(1, 1.5, RATES[model]), tone(1, 1.5, rate_hz)
    mistaken = Sound(other.samples, RATES[model])
    found = ours(view(model), "document", "audio", [right, other, mistaken])
    assert found[0] @ found[1] > 0.99
    assert found[0] @ found[2] < 0.95
    assert same(ours(view(model), "query", "audio", [other]), ours(view(model), "query", "audio", [other]))


@pytest.mark.parametrize("dim", [None, 8])
def test_sound_longer_than_the_window_is_the_mean_of_its_windows(view, library, dim):
    long = tone(3, 5.3, 8_000)
    parts = [Sound(long.samples[start : start + 16_000], 8_000) for start in (0, 16_000, 32_000)]
    each = directly(library("clap"), "document", "audio", parts, truncate_dim=dim)
    mean = np.average(each, axis=0, weights=[2, 2, 1.3])
    found = ours(view("clap", dim=dim), "document", "audio", [long])
    assert same(found, mean[None] / np.linalg.norm(mean))
    assert far(found, each[:1])
    assert far(found, each.mean(axis=0, keepdims=True) / np.linalg.norm(each.mean(axis=0)))
    for _ in range(3):
        assert same(ours(view("clap", dim=dim), "query", "audio", [long]), found, atol=1e-6)


def test_the_library_alone_hears_long_sound_differently_each_time(library):
    long = tone(3, 5.3, 8_000)
    heard = [directly(library("clap"), "document", "audio", [long]) for _ in range(5)]
    assert any(far(one, heard[0]) for one in heard)


def test_long_and_short_sounds_keep_their_places(view):
    some = [tone(seed, seconds, 8_000) for seed, seconds in enumerate((0.5, 4.1, 1.0, 2.0, 6.5))]
    together = ours(view("clap"), "document", "audio", some)
    assert same(together, np.concatenate([ours(view("clap"), "document", "audio", [one]) for one in some]))


def test_a_remainder_too_short_to_hear_is_dropped(view):
    long = tone(4, 2.05, 8_000)
    whole = ours(view("clap"), "query", "audio", [long, Sound(long.samples[:16_000], 8_000)])
    assert same(whole[:1], whole[1:])


@pytest.mark.parametrize("model", RATES)
@pytest.mark.parametrize(
    ("samples", "rate_hz"), [(1, 8_000), (1, 48_000), (30, 44_100), (1, 1), (100, 16_000)]
)
def test_very_short_sound_embeds(view, model, samples, rate_hz):
    short = Sound(np.full(samples, 0.5, np.float32), rate_hz)
    found = ours(view(model), "document", "audio", [short, tone(1, 1.0, RATES[model])])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found[1:], ours(view(model), "document", "audio", [tone(1, 1.0, RATES[model])]))


@pytest.mark.parametrize("model", RATES)
def test_silence_embeds(view, model):
    found = ours(view(model), "document", "audio", [Sound(np.zeros(9_000, np.float32), RATES[model])])
    np.testing.assert_allclose(np.linalg.norm(found), 1, atol=1e-6)


# ── video ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", CHATS)
def test_the_order_of_the_frames_counts(view, model):
    shown = film(1, 4)
    back = Frames(shown.pixels[::-1].copy(), shown.fps)
    found = ours(view(model), "document", "video", [shown, back])
    assert far(found[0], found[1])


@pytest.mark.parametrize("model", CHATS)
def test_a_single_frame_embeds_like_itself_twice(view, model):
    still = Frames(film(1, 1).pixels, 2.0)
    twice = Frames(np.repeat(still.pixels, 2, axis=0), 2.0)
    found = ours(view(model), "document", "video", [still, twice])
    assert same(found[:1], found[1:])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_every_frame_is_seen(view, library):
    shown = Frames(pixels(5, 12, 32, 32, 3), 30.0)  # the processor itself would take two frames a second
    found = ours(view("qwen_embedder"), "document", "video", [shown])
    assert same(found, directly(library("qwen_embedder"), "document", "video", [shown]))
    sampled = library("qwen_embedder").encode_document([plain("video", shown)], normalize_embeddings=True)
    assert far(found, sampled)
    for hidden in (3, 8, 11):
        other = shown.pixels.copy()
        other[hidden] = 255 - other[hidden]
        assert far(found, ours(view("qwen_embedder"), "document", "video", [Frames(other, 30.0)]))


# ── several kinds in one input ───────────────────────────────────────────────────────────────────


def parts_of(model: str, *kinds: str) -> list[tuple]:
    return [(kind, contents(model, kind)[place]) for place, kind in enumerate(kinds)]


def merged(parts: list[tuple]) -> dict:
    """Return parts as one input of the library, with media first and words last."""
    order = ("image", "video", "audio", "text")
    return {
        k: v
        for kind, one in sorted(parts, key=lambda part: order.index(part[0]))
        for k, v in plain(kind, one).items()
    }


MIXTURES = [
    ("qwen_embedder", ("image", "text")),
    ("qwen_embedder", ("video", "text")),
    ("qwen_embedder", ("text", "video", "image")),
    ("omni", ("image", "text")),
    ("omni", ("audio", "text")),
    ("omni", ("audio", "image")),
]


@pytest.mark.parametrize(("model", "kinds"), MIXTURES)
def test_a_mixture_is_one_input_whatever_the_order_of_its_parts(view, library, model, kinds):
    parts, frames = parts_of(model, *kinds), {"video": {"do_sample_frames": False}}
    for task in ("query", "document"):
        call = library(model).encode_query if task == "query" else library(model).encode_document
        wanted = call([merged(parts)], normalize_embeddings=True, processing_kwargs=frames)
        assert same(view(model).encode_mixed(task, [parts]), wanted)
        assert same(view(model).encode_mixed(task, [parts[::-1]]), wanted)
    alone = ours(view(model), "document", parts[0][0], [parts[0][1]])
    assert far(view(model).encode_mixed("document", [parts]), alone)


@pytest.mark.parametrize("model", CHATS)
def test_mixtures_in_a_batch_keep_their_order(view, model):
    image, text = parts_of(model, "image", "text")
    some = [[image, text], [text], [image], [("text", "a dog"), image]]
    if model == "omni":
        some.append([*parts_of(model, "audio"), text])
    together = view(model, dim=16).encode_mixed("document", some)
    assert together.shape == (len(some), 16)
    assert same(
        together, np.concatenate([view(model, dim=16).encode_mixed("document", [one]) for one in some])
    )
    assert same(together[1:2], ours(view(model, dim=16), "document", "text", [text[1]]))


def test_videos_in_a_batch_of_mixtures_keep_their_order(view):
    text, one, two = ("text", "a cat"), ("video", film(1, 6)), ("video", film(2, 2))
    some = [[one, text], [text], [two, text]]
    together = view("qwen_embedder").encode_mixed("document", some)
    assert same(together, np.concatenate([view("qwen_embedder").encode_mixed("document", [x]) for x in some]))


def message(*parts: tuple) -> list[dict]:
    content = []
    for kind, one in parts:
        value = one.samples if kind == "audio" else next(iter(plain(kind, one).values()))
        content.append({"type": kind, kind: value})
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("model", CHATS)
def test_a_kind_that_repeats_becomes_a_message(view, library, model):
    first, second = (("image", one) for one in contents(model, "image")[:2])
    text = ("text", "a cat")
    found = view(model).encode_mixed("document", [[first, second, text]])
    assert same(
        found, library(model).encode_document([message(first, second, text)], normalize_embeddings=True)
    )
    assert far(found, view(model).encode_mixed("document", [[second, first, text]]))
    assert far(found, view(model).encode_mixed("document", [[first, text]]))
    words = view(model).encode_mixed("query", [[text, ("text", "a dog")]])
    assert same(
        words, library(model).encode_query([message(text, ("text", "a dog"))], normalize_embeddings=True)
    )


def test_sounds_and_videos_repeat_too(view, library):
    sounds = [("audio", one) for one in contents("omni", "audio")[1:3]]
    found = view("omni").encode_mixed("document", [sounds])
    assert same(found, library("omni").encode_document([message(*sounds)], normalize_embeddings=True))
    assert far(found, view("omni").encode_mixed("document", [sounds[:1]]))
    films = [("video", one) for one in contents("qwen_embedder", "video")[:2]]
    found = view("qwen_embedder").encode_mixed("document", [films])
    assert far(found, view("qwen_embedder").encode_mixed("document", [films[::-1]]))
    changed = films[0][1].pixels.copy()
    changed[4] = 0  # the fifth of six frames
    other = [("video", Frames(changed, 2.0)), films[1]]
    assert far(found, view("qwen_embedder").encode_mixed("document", [other]))


def test_of_long_sound_in_a_mixture_the_first_window_counts(view, monkeypatch):
    one, long = view("omni"), tone(1, 1.5, 16_000)
    monkeypatch.setattr(one, "_window", 16_000)
    first = Sound(long.samples[:16_000], 16_000)
    pair = [one.encode_mixed("document", [[("audio", sound), ("text", "a cat")]]) for sound in (long, first)]
    assert same(*pair)


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("clip", ("image", "text")),
        ("clip", ("text", "text")),
        ("clap", ("audio", "text")),
        ("multilingual_clip", ("text", "text")),
        ("multilingual_clip", ("image", "text")),
        ("qwen_embedder", ("audio", "text")),
        ("qwen_embedder", ()),
        ("clip", ()),
    ],
)
def test_a_mixture_that_a_model_does_not_take_is_refused(view, model, kinds):
    with pytest.raises(ModalityError, match="it embeds text"):
        view(model).encode_mixed("query", [parts_of("omni", *kinds)])


def test_no_mixtures_give_no_vectors(view):
    for model in MODELS:
        assert view(model, dim=8).encode_mixed("query", []).shape == (0, 8)


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["clip", "qwen_embedder", "omni"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (400, 3), (3, 400), (1_500, 900)])
def test_pictures_of_any_shape_embed(view, model, size):
    if model == "omni" and size == (1_500, 900):
        size = (700, 500)
    found = ours(view(model), "document", "image", [picture(3, *size), picture(1)])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found[1:], ours(view(model), "document", "image", [picture(1)]))


@pytest.mark.parametrize("model", ["clip", "qwen_embedder"])
def test_a_very_large_picture_is_kept_smaller_and_embeds_the_same_but_for_rounding(view, library, model):
    usual, large = picture(3, 1_600, 1_200), picture(3, 3_000, 2_000)
    assert view(model).prepare("image", usual) is usual
    assert view(model).prepare("image", large).size == (1_500, 1_000)
    found = ours(view(model), "document", "image", [usual, large])
    wanted = directly(library(model), "document", "image", [usual, large])
    assert same(found[:1], wanted[:1])
    assert float(found[1] @ wanted[1]) > 0.995


def test_a_picture_too_long_and_thin_for_the_model_is_refused_alone(view):
    with pytest.raises(UnreadableMediaError, match="800 x 2 pixels; for this model it must be less than 200"):
        view("qwen_embedder").prepare("image", picture(1, 800, 2))
    with pytest.raises(MediaError):
        view("qwen_embedder").encode_query("image", [picture(1, 2, 800)])
    assert ours(view("qwen_embedder"), "query", "image", [picture(1, 199, 1)]).shape == (1, WIDTH)
    assert ours(view("clip"), "query", "image", [picture(1, 800, 2)]).shape == (1, WIDTH)


def test_a_strip_is_bounded_before_a_processor_that_would_make_gigabytes_of_it(view, library):
    strip = picture(3, 4_000, 1)
    assert max(view("clip").prepare("image", strip).size) <= MAX_ASPECT
    found = ours(view("clip"), "document", "image", [strip])
    wanted = directly(library("clip"), "document", "image", [strip])
    assert float(found[0] @ wanted[0]) > 0.999  # such a processor cuts out the middle itself


@pytest.mark.slow
@pytest.mark.parametrize("limits", [(256, 1_024), (1_024, 2_048), (4_096, 16_384)])
def test_pixel_limits_of_a_view_are_those_of_a_model_loaded_with_them(view, library, limits):
    some = contents("qwen_embedder", "image")
    chosen = view("qwen_embedder", min_pixels=limits[0], max_pixels=limits[1])
    options = {"processor_kwargs": {"min_pixels": limits[0], "max_pixels": limits[1]}}
    loaded_so = library("qwen_embedder", **options)
    for task in ("query", "document"):
        assert same(ours(chosen, task, "image", some), directly(loaded_so, task, "image", some))
    assert far(ours(chosen, "query", "image", some), ours(view("qwen_embedder"), "query", "image", some))
    pair = [("image", some[2]), ("text", "a cat")]
    wanted = loaded_so.encode_document([merged(pair)], normalize_embeddings=True)
    assert same(chosen.encode_mixed("document", [pair]), wanted)
    assert (chosen.provenance.min_pixels, chosen.provenance.max_pixels) == limits
    assert chosen.provenance != view("qwen_embedder").provenance
    assert f"max pixels {limits[1]}, not 4096" in chosen.provenance.differences(
        view("qwen_embedder").provenance
    )
    assert same(  # and the other views see as before
        ours(view("qwen_embedder"), "query", "image", some),
        directly(library("qwen_embedder"), "query", "image", some),
    )


def test_one_limit_alone_leaves_the_other_as_the_model_has_it(view):
    assert view("qwen_embedder").provenance.min_pixels == 256
    assert view("qwen_embedder").provenance.max_pixels == 4_096
    made_by = view("qwen_embedder", max_pixels=900).provenance
    assert (made_by.min_pixels, made_by.max_pixels) == (256, 900)


@pytest.mark.parametrize("limits", [(1_000, 500), (0, 500), (-4, 500), (None, 100), (5_000, None)])
def test_limits_that_exclude_each_other_are_refused(view, limits):
    with pytest.raises(ModelOptionError, match="min_pixels and max_pixels"):
        view("qwen_embedder", min_pixels=limits[0], max_pixels=limits[1])


@pytest.mark.parametrize("model", ["clip", "clap", "multilingual_clip", "omni"])
def test_limits_on_a_model_that_sees_one_size_are_refused(view, model):
    assert view(model).provenance.max_pixels is None
    with pytest.raises(ModelOptionError, match="does not take pixel limits"):
        view(model, max_pixels=1_000)


def test_the_shorter_side_that_a_model_sees_is_known(view):
    assert view("clip").image_side_px == 32
    assert view("qwen_embedder").image_side_px == 64
    assert view("qwen_embedder", max_pixels=900).image_side_px == 30
    assert view("omni").image_side_px == 64  # 70 squares of 2 x 2 patches of 4 pixels
    assert view("clap").image_side_px is None


# ── memory, numbers that are none, unloading ─────────────────────────────────────────────────────


@pytest.fixture
def fresh(tiny, tmp_path):
    """Return a function that loads a tiny checkpoint of this test's own."""

    def load(name: str, *, dtype: str | None = None, **settings) -> EmbedderWeights:
        loader = Loader(load_settings(**{"data_dir": tmp_path, "device": "cpu", **settings}))
        choice = loader.resolve(ModelChoice(str(tiny(name)), dtype=dtype))
        made = loader.load(choice, cpu(), lambda stage: None)
        made._batches._pace = Unpaced()  # batches as large as the setting says, however slow this machine is
        return made

    return load


def limited(weights: EmbedderWeights, modality: str, most: int, error: BaseException) -> list[int]:
    """Let a model fail with more than so many items of a kind; return the list of the batches it is given."""
    tower, given = weights.tower(modality), []
    real = tower.encode

    def encode(inputs, **options):
        if modality not in inputs[0]:
            return real(inputs, **options)
        given.append(len(inputs))
        if len(inputs) > most:
            raise error
        return real(inputs, **options)

    tower.encode = encode
    return given


@pytest.mark.slow
@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_where_memory_runs_out_the_batch_is_halved_and_stays_so(fresh, error):
    own = fresh("clip", model_batch_items=16)
    one, some = own.view(ModelChoice(own.spec.id)), [picture(seed) for seed in range(20)]
    wanted = ours(one, "document", "image", some)
    tried = limited(own, "image", 3, error)
    assert same(ours(one, "document", "image", some), wanted)
    assert tried == [16, 8, 4, *[2] * 10]
    tried.clear()
    assert same(ours(one, "document", "image", some[:5]), wanted[:5])
    assert tried == [2, 2, 1]
    words = limited(own, "text", 99, error)
    ours(one, "query", "text", TEXTS)
    assert words == [5]  # words have a batch of their own


@pytest.mark.parametrize("task", ["query", "document"])
def test_memory_that_one_item_exceeds_is_told_in_a_sentence(fresh, task):
    own = fresh("clip", model_batch_items=4)
    one = own.view(ModelChoice(own.spec.id))
    limited(own, "image", 0, OUT_OF_MEMORY[0])
    with pytest.raises(ModelError, match=r"out of memory with one image item on cpu\. Lower its pixel limit"):
        ours(one, task, "image", [picture(1), picture(2)])
    del own.tower("image").encode  # and with memory again, it works again
    assert ours(one, task, "image", [picture(1)]).shape == (1, WIDTH)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes\ndo not fit"), ValueError("bad"), KeyError("x"), TypeError("y")]
)
def test_what_the_library_says_is_one_sentence(fresh, error):
    own = fresh("clip")
    one = own.view(ModelChoice(own.spec.id))
    limited(own, "text", 0, error)
    with pytest.raises(ModelError, match=r"failed on text: ['a-z]+\.$") as raised:
        ours(one, "query", "text", TEXTS)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize(
    ("dtype", "fix"), [("bfloat16", "Load it with float32"), ("float32", "Copy it again")]
)
def test_a_vector_without_direction_is_refused(fresh, value, dtype, fix):
    own = fresh("clip", dtype=dtype)
    one = own.view(ModelChoice(own.spec.id))
    own.tower("text").encode = lambda inputs, **options: np.full((len(inputs), WIDTH), value, np.float32)
    with pytest.raises(ModelError, match=rf"zero or not finite at {dtype}\. {fix}"):
        one.encode_query("text", ["a cat"])


def test_a_closed_model_is_gone_though_somebody_holds_a_view(fresh):
    own = fresh("omni")
    held, towers = own.view(ModelChoice(own.spec.id)), weakref.ref(own.tower("text"))
    parameter = weakref.ref(next(own.tower("text").parameters()))
    with pytest.raises(ModelError):  # an error's traceback must not keep it either
        held.encode_mixed("query", [[("text", "a"), ("nothing", 1)]])
    own.close()
    release(cpu())
    assert towers() is None
    assert parameter() is None
    for call in (
        lambda: held.encode_query("text", ["a cat"]),
        lambda: held.encode_query("text", []),
        lambda: held.encode_document("image", [picture(1)]),
        lambda: held.encode_document("audio", [[tone(1, 1.0, 16_000)]]),
        lambda: held.encode_document("video", [film(1, 2)]),
        lambda: held.prepare("text", "a cat"),
        lambda: held.encode_mixed("query", [[("text", "a cat"), ("image", picture(1))]]),
        lambda: own.view(ModelChoice(own.spec.id)),
    ):
        with pytest.raises(ModelError, match="was unloaded; ask again"):
            call()
    with held.spread(10_000) as devices:
        assert devices == 1


# ── several visitors at once ─────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_threads_get_what_one_after_the_other_gets(fresh):
    own = fresh("clip", model_batch_items=3)
    views = [own.view(ModelChoice(own.spec.id, dim=dim)) for dim in (None, 8)]
    pictures = [picture(seed) for seed in range(7)]
    wanted = [(ours(one, "query", "text", TEXTS), ours(one, "document", "image", pictures)) for one in views]
    running, most, real = [], [], own.tower("text").encode

    def encode(inputs, **options):
        running.append(1)
        most.append(len(running))
        try:
            return real(inputs, **options)
        finally:
            running.pop()

    own.tower("text").encode = encode
    faults, gate = [], threading.Barrier(4)

    def visit(one, expected):
        gate.wait(60)
        for _ in range(5):
            if not same(ours(one, "query", "text", TEXTS), expected[0]):
                faults.append("text")
            if not same(ours(one, "document", "image", pictures), expected[1]):
                faults.append("image")

    visitors = [threading.Thread(target=visit, args=pair) for pair in zip(views * 2, wanted * 2, strict=True)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(240)
    assert not faults
    assert len(most) == 4 * 5 * (2 + 3)
    assert max(most) == 1


def test_a_question_waits_for_one_batch_of_documents_at_most(fresh):
    own = fresh("clip", model_batch_items=2)
    one, real, order = own.view(ModelChoice(own.spec.id)), own.tower("image").encode, []
    started, turns = threading.Event(), own._batches._turns

    def encode(inputs, **options):
        order.append("question" if "text" in inputs[0] else "batch")
        if len(order) == 1:
            started.set()
            deadline = time.monotonic() + 120  # until two other ingests and then a question stand in line
            while len(turns._documents) < 2 or not turns._questions:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        return real(inputs, **options)

    own.tower("image").encode = encode
    pictures = [picture(number) for number in range(6)]
    ingests = [threading.Thread(target=ours, args=(one, "document", "image", pictures)) for _ in range(3)]
    for ingest in ingests:
        ingest.start()
    assert started.wait(120)
    while len(turns._documents) < 2:
        time.sleep(0.001)
    asker = threading.Thread(target=ours, args=(one, "query", "text", ["a cat"]))
    asker.start()
    for thread in (asker, *ingests):
        thread.join(120)
    assert order == ["batch", "question", *["batch"] * 8]


# ── several devices ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_large_ingest_is_spread_over_processes_and_outlives_them(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "LARGE_INGEST", 1)
    page = types.ModuleType("__main__")  # as Streamlit leaves it behind; no process is to run it again
    page.__file__ = str(tmp_path / "page.py")
    (tmp_path / "page.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    monkeypatch.setitem(sys.modules, "__main__", page)
    own = fresh("clip", device="cpu,cpu", model_batch_items=4)
    one, some = own.view(ModelChoice(own.spec.id)), [picture(seed) for seed in range(11)]
    prepared = [one.prepare("image", content) for content in some]
    wanted, asked = one.encode_document("image", prepared), one.encode_query("text", TEXTS)
    here, real = [], own.tower("image")._inference

    def inference(inputs, **options):
        here.append(len(inputs))
        return real(inputs, **options)

    with one.spread(len(some)) as devices:
        assert devices == 2
        workers = own._pool[0]["processes"]
        pids = [worker.pid for worker in workers]
        monkeypatch.setattr(own.tower("image"), "_inference", inference)
        assert same(one.encode_document("image", prepared), wanted)
        assert same(one.encode_document("image", prepared[:1]), wanted[:1])
        assert one.encode_document("image", []).shape == (0, WIDTH)
        assert not here  # all of it in the processes
        assert same(one.encode_query("text", TEXTS), asked)  # questions stay in this one
        assert here == [4, 1]
        with own.spread(1_000) as more:
            assert more == 1
        os.kill(pids[0], signal.SIGKILL)
        workers[0].join(60)
        assert same(one.encode_document("image", prepared), wanted)
        os.kill(pids[1], signal.SIGKILL)
        workers[1].join(60)
        here.clear()
        assert same(one.encode_document("image", prepared), wanted)
        assert here == [4, 4, 3]
    assert own._pool is None
    assert sys.modules["__main__"] is page
    assert not (tmp_path / "ran").exists()
    assert not {child.pid for child in multiprocessing.active_children()} & set(pids)
    assert same(one.encode_document("image", prepared), wanted)


def test_one_device_or_few_items_or_two_models_start_no_process(fresh, monkeypatch):
    def refuse(self, devices):
        raise AssertionError(devices)

    monkeypatch.setattr(SentenceTransformer, "start_multi_process_pool", refuse)
    for device, items in (("cpu", 10**6), ("cpu,cpu", module.LARGE_INGEST - 1)):
        with fresh("clip", device=device).spread(items) as devices:
            assert devices == 1


def test_processes_that_cannot_be_started_leave_one_device(fresh, monkeypatch, caplog):
    own = fresh("clip", device="cpu,cpu")
    moved, error = [], OSError(24, "Too many open files")
    monkeypatch.setattr(
        own.tower("text"), "start_multi_process_pool", lambda devices: (_ for _ in ()).throw(error)
    )
    monkeypatch.setattr(own.tower("text"), "to", lambda device: moved.append(device))
    with own.spread(10**6) as devices:
        assert devices == 1
        assert ours(own.view(ModelChoice(own.spec.id)), "document", "text", TEXTS).shape == (5, WIDTH)
    assert "Too many open files" in caplog.text
    assert moved == ["cpu"]


def test_the_model_is_brought_back_to_its_device_after_the_processes_started(fresh, monkeypatch):
    own, told = fresh("clip", device="cpu,cpu"), []
    tower = own.tower("text")
    monkeypatch.setattr(tower, "start_multi_process_pool", lambda devices: told.append(devices) or {})
    monkeypatch.setattr(tower, "to", lambda device: told.append(device))
    monkeypatch.setattr(tower, "stop_multi_process_pool", lambda pool: told.append("stopped"))
    with own.spread(10**6) as devices:
        assert devices == 2
    assert told == [["cpu", "cpu"], "cpu", "stopped"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_takes_a_model_and_gets_its_memory_back(tiny, tmp_path):
    loader = Loader(load_settings(data_dir=tmp_path, device="cuda"))
    choice = ModelChoice(str(tiny("clip")), dtype="bfloat16")
    device = loader.device_of(choice)
    release(device)
    before = torch.cuda.memory_allocated(device.name)
    own = loader.load(loader.resolve(choice), device, lambda stage: None)
    one = own.view(loader.resolve(choice))
    for modality in ("text", "image"):
        found = ours(one, "document", modality, contents("clip", modality))
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert one.provenance.dtype == "bfloat16"
    assert torch.cuda.memory_allocated(device.name) > before
    own.close()
    release(device)
    assert torch.cuda.memory_allocated(device.name) <= before
