"""Proves what is read from a picture once: colours, things, windows, and that it is kept without loss."""

from __future__ import annotations

import colorsys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from engine.models.pocket.reranker import colours
from engine.models.pocket.reranker.evidence import (
    Evidence,
    NpzEvidence,
    fitted,
    plain_background,
    windows,
)
from tests.helpers.pocket_reranker import some

codec = NpzEvidence()


def same(one: Evidence, other: Evidence) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Evidence)]
    return all(np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b) for a, b in pairs)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99),
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=4
    ),
    st.integers(0, 99),
)
def test_what_is_packed_comes_back_exactly(seed, text, things):
    evidence = some(seed, tuple(text), things)
    back = codec.unpack(codec.pack(evidence))
    assert same(back, evidence)
    assert (type(back.things), type(back.text)) == (int, tuple)


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 32, b"PK\x03\x04" * 100])
def test_bytes_of_something_else_are_refused(data):
    with pytest.raises(ValueError, match="no evidence"):
        codec.unpack(data)


def test_damaged_bytes_are_refused_wherever_the_damage_is():
    data = codec.pack(some(text=("EXIT",)))
    for place in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        with pytest.raises(ValueError, match="damaged"):
            codec.unpack(bytes(damaged))
        with pytest.raises(ValueError, match="damaged"):
            codec.unpack(data[:place])


# ── colours ──────────────────────────────────────────────────────────────────────────────────────

PLAIN = {
    **{"red": "#d01010", "orange": "#ff8000", "yellow": "#f5d800", "green": "#1a8f2a", "blue": "#1f3fd0"},
    **{"purple": "#7a1f9c", "pink": "#ff8fc0", "brown": "#6b3d12", "grey": "#8c8c8c", "black": "#050505"},
    **{"white": "#fdfdfd"},
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_colour_has_its_name(name):
    pixels = np.asarray(Image.new("RGB", (2, 3), PLAIN[name]))
    found = colours.named(pixels)
    assert found.shape == (3, 2)
    assert {colours.NAMES[place] for place in found.ravel()} == {name}


def test_every_colour_has_a_name_and_greys_have_no_hue():
    levels = np.arange(256, dtype=np.uint8)
    greys = {colours.NAMES[place] for place in colours.named(np.stack([levels] * 3, axis=-1))}
    assert greys == {"black", "grey", "white"}
    wheel = [[round(255 * one) for one in colorsys.hsv_to_rgb(hue / 64, 1, 1)] for hue in range(64)]
    names = {colours.NAMES[place] for place in colours.named(np.array(wheel, np.uint8))}
    assert names >= {"red", "orange", "yellow", "green", "blue", "purple", "pink"}


def test_words_for_colours():
    assert colours.NAMES[colours.asked("gray")] == colours.NAMES[colours.asked("grey")] == "grey"
    assert colours.asked("mug") is None
    assert all(colours.NAMES[colours.asked(name)] == name for name in colours.NAMES)


# ── things on a plain ground ─────────────────────────────────────────────────────────────────────


def things(count: int, ground: str = "white", colour: str = "red") -> Image.Image:
    picture = Image.new("RGB", (400, 400), ground)
    draw = ImageDraw.Draw(picture)
    for place in range(count):
        left, top = 20 + place % 3 * 130, 20 + place // 3 * 130
        draw.ellipse((left, top, left + 90, top + 90), colour)
    return picture


@pytest.mark.parametrize("ground", ["white", "black", "lightblue"])
@pytest.mark.parametrize("count", range(10))
def test_things_on_a_plain_ground_are_counted(count, ground):
    assert plain_background(things(count, ground), (8, 8)).things == count


def test_specks_are_no_things_and_a_hole_is_no_ground():
    picture = things(2)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((300, 300, 304, 304), "red")
    draw.ellipse((45, 45, 85, 85), "white")  # a ring is one thing, and what is in it belongs to it
    found = plain_background(picture, (8, 8))
    assert found.things == 2
    assert found.shown.reshape(-1)[0] > 0


def test_nothing_is_counted_where_the_ground_is_not_plain():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    found = plain_background(noise, (8, 8))
    assert found.things == 0
    np.testing.assert_allclose(found.shown, 1)


def test_colours_are_those_of_the_things_and_not_of_the_ground():
    found = plain_background(things(4, "white", "red"), (8, 8))
    shares = (found.colours * found.shown[..., None]).sum((0, 1)) / found.shown.sum()
    assert shares[colours.NAMES.index("red")] > 0.85  # the rest are edges, half white
    assert shares[colours.NAMES.index("white")] < 0.05


# ── sizes and windows ────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([256, 416]))
def test_a_picture_is_fitted_whole_into_bounded_multiples(width, height, side):
    tall, broad, channels = fitted(Image.new("RGB", (width, height)), side).shape
    assert channels == 3
    assert tall % 32 == broad % 32 == 0
    assert side - 32 <= min(tall, broad) <= side + 32
    assert max(tall, broad) <= 2 * side + 32


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 16))
def test_windows_are_means_that_cover_all(height, width):
    features = np.random.default_rng(0).normal(size=(5, height, width)).astype(np.float32)
    found = windows(features)
    assert found.shape == (14, 5)
    np.testing.assert_allclose(found[0], features.mean((1, 2)), atol=1e-5)
    assert (found <= features.max((1, 2)) + 1e-5).all()
    assert (found >= features.min((1, 2)) - 1e-5).all()
    for down in range(height):
        for across in range(width):
            spot = np.zeros((1, height, width), np.float32)
            spot[0, down, across] = 1
            assert (windows(spot)[1:5] > 0).any()
            assert (windows(spot)[5:] > 0).any()
