"""Proves what becomes of content before a model sees it; no model is loaded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.errors import UnreadableMediaError
from engine.models.hub.inputs import (
    at_least_two,
    channels_first,
    check_aspect,
    clean_words,
    resampled,
    shrunk,
    to_input,
    to_message,
    to_mixed,
    video_options,
    windows,
)
from engine.models.probes import probe
from engine.types import MODALITIES, Frames, Sound

MARKS = ("<|image_pad|>", "<|im_start|>", "<bos>")


def sound(samples: int, rate_hz: int = 1_000) -> Sound:
    return Sound(np.arange(1, samples + 1, dtype=np.float32) / samples, rate_hz)


def frames(count: int) -> Frames:
    return Frames(np.arange(count * 2 * 3 * 3, dtype=np.uint8).reshape(count, 2, 3, 3), 4.0)


CONTENT = {
    "text": "http://x.org/a.jpg",
    "image": Image.new("RGB", (4, 4)),
    "audio": sound(5),
    "video": frames(2),
}


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_input_names_its_modality(modality):
    made = to_input(modality, CONTENT[modality])
    assert list(made) == [modality]
    if modality in ("text", "image"):
        assert made[modality] is CONTENT[modality]


def test_sound_goes_with_its_rate_and_frames_with_their_channels_first():
    made = to_input("audio", sound(5))["audio"]
    assert made["array"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert made["sampling_rate"] == 1_000
    shown = frames(2)
    assert to_input("video", shown)["video"].shape == (2, 3, 2, 3)
    assert channels_first(shown)[1, 2, 1, 0] == shown.pixels[1, 1, 0, 2]


@given(st.permutations(MODALITIES))
def test_a_mixture_has_one_order_media_first_words_last(order):
    made = to_mixed([(modality, CONTENT[modality]) for modality in order])
    assert list(made) == ["image", "video", "audio", "text"]


def test_a_message_keeps_the_order_of_its_parts():
    parts = [
        ("text", "a"),
        ("image", CONTENT["image"]),
        ("text", "b"),
        ("audio", sound(3)),
        ("video", frames(2)),
    ]
    (turn,) = to_message(parts)
    assert turn["role"] == "user"
    assert [part["type"] for part in turn["content"]] == [modality for modality, _ in parts]
    assert [turn["content"][place]["text"] for place in (0, 2)] == ["a", "b"]
    assert turn["content"][3]["audio"].shape == (3,)  # inside a message nobody unpacks a rate
    assert turn["content"][4]["video"].shape == (2, 3, 2, 3)


def test_the_times_of_frames_that_were_chosen_already():
    options = video_options([frames(6), frames(2)])
    assert options["do_sample_frames"] is False
    first, second = options["video_metadata"]
    assert first == {"fps": 4.0, "total_num_frames": 6, "duration": 1.5, "frames_indices": [0, 1, 2, 3, 4, 5]}
    assert second["frames_indices"] == [0, 1]


@given(st.lists(st.sampled_from([*MARKS, "a", " ", "<|", "|>", "ima", "猫"])).map("".join))
def test_no_mark_is_left_in_a_text(text):
    cleaned = clean_words(text, MARKS)
    assert not [mark for mark in MARKS if mark in cleaned]
    assert cleaned.replace(" ", "") == "".join(part for part in _split(text)).replace(" ", "")


def _split(text: str) -> list[str]:
    for mark in MARKS:
        text = text.replace(mark, "\n")
    return text.split("\n")


def test_words_around_a_mark_stay_apart():
    assert clean_words("a<bos>b", MARKS) == "a b"
    assert clean_words("<|im<bos>age_pad|>", MARKS) == "<|im age_pad|>"


@given(st.text(st.characters(codec=None)))
def test_every_text_becomes_unicode_that_a_tokenizer_takes(text):
    cleaned = clean_words(text, ())
    cleaned.encode("utf-8")
    assert len(cleaned) == len(text)
    assert clean_words(cleaned, ()) == cleaned


@pytest.mark.parametrize(
    ("size", "refused"),
    [((199, 1), False), ((200, 1), True), ((3, 600), True), ((3, 599), False), ((1, 1), False)],
)
def test_pictures_too_long_and_thin_are_refused(size, refused):
    if not refused:
        check_aspect(Image.new("RGB", size))
        return
    with pytest.raises(UnreadableMediaError, match=f"is {size[0]} x {size[1]} pixels"):
        check_aspect(Image.new("RGB", size))


class Measured:
    """A picture of which only the size exists."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height, self.size = width, height, (width, height)

    def reduce(self, factor: int) -> Measured:
        return Measured(-(-self.width // factor), -(-self.height // factor))


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.integers(1, 2_000))
def test_only_a_very_large_picture_is_shrunk_and_stays_finer_than_the_model_looks(width, height, side):
    picture = Measured(width, height)
    small = shrunk(picture, side)
    assert shrunk(picture, None) is picture
    if width * height <= 4_000_000 or min(width, height) < 4 * side:
        assert small is picture
        return
    assert min(small.size) >= 2 * side
    assert small.width * small.height < 4_100_000 or min(small.size) < 4 * side


def test_shrinking_makes_another_picture_of_the_same_colours():
    picture = Image.new("RGB", (3_000, 2_000), (10, 200, 30))
    small = shrunk(picture, 100)
    assert small.size == (1_500, 1_000)
    assert small.getcolors() == [(1_500_000, (10, 200, 30))]
    assert picture.size == (3_000, 2_000)


def test_a_single_frame_is_shown_twice():
    one = frames(1)
    assert at_least_two(one).pixels.shape == (2, 2, 3, 3)
    assert (at_least_two(one).pixels == one.pixels).all()
    assert at_least_two(one).fps == one.fps
    three = frames(3)
    assert at_least_two(three) is three


@pytest.mark.parametrize(("given_hz", "wanted_hz"), [(44_100, 16_000), (8_000, 48_000), (22_050, 16_000)])
def test_resampling_keeps_the_pitch_and_the_length(given_hz, wanted_hz):
    times = np.arange(given_hz) / given_hz
    wave = Sound(np.sin(2 * np.pi * 440 * times).astype(np.float32), given_hz)
    other = resampled(wave, wanted_hz)
    assert (other.rate_hz, other.samples.dtype) == (wanted_hz, np.float32)
    assert other.seconds == pytest.approx(1, abs=1e-3)
    assert np.abs(np.fft.rfft(other.samples)).argmax() == pytest.approx(440, abs=1)
    right = np.sin(2 * np.pi * 440 * np.arange(len(other.samples)) / wanted_hz)
    inner = slice(wanted_hz // 10, -wanted_hz // 10)
    np.testing.assert_allclose(other.samples[inner], right[inner], atol=0.01)


def test_pitches_above_what_a_rate_can_hold_vanish_instead_of_folding_down():
    times = np.arange(48_000) / 48_000
    high = Sound(np.sin(2 * np.pi * 7_000 * times).astype(np.float32), 48_000)
    assert np.abs(resampled(high, 8_000).samples[800:-800]).max() < 0.01


def test_sound_at_the_right_rate_is_left_alone():
    one = sound(10)
    assert resampled(one, 1_000) is one


@given(st.integers(1, 5_000), st.integers(1, 2_000))
def test_windows_hold_every_sample_but_a_remainder_too_short_to_hear(samples, window):
    whole = sound(samples)
    cut = windows(whole, window)
    assert cut
    assert all(len(one.samples) <= max(window, 100) and one.rate_hz == 1_000 for one in cut)
    assert all(one.seconds >= 0.1 for one in cut)
    joined = np.concatenate([one.samples for one in cut])
    if samples >= 100 and window >= 100:
        assert (joined == whole.samples[: len(joined)]).all()
        assert samples - len(joined) < 100
    assert all(len(one.samples) == window for one in cut[:-1])


def test_sound_shorter_than_a_tenth_of_a_second_is_padded_with_silence():
    (one,) = windows(sound(7), 2_000)
    assert len(one.samples) == 100
    assert one.samples[:7].tolist() == sound(7).samples.tolist()
    assert not one.samples[7:].any()


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_probe_is_the_same_every_time(modality):
    one, other = probe(modality), probe(modality)
    if modality == "image":
        assert (one.size, one.mode, one.tobytes()) == ((640, 480), "RGB", other.tobytes())
    elif modality == "audio":
        assert (one.seconds, one.samples.tolist()) == (5, other.samples.tolist())
    elif modality == "video":
        assert (one.pixels.shape, (one.pixels == other.pixels).all()) == ((8, 224, 224, 3), True)
    else:
        assert one == other
