"""Content of one modality into the inputs that sentence-transformers takes; knows no model.

Every input is a dict that names its modality: the library opens a bare string that looks like a path
or an address, which would let a visitor read files of this machine or make it fetch addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import UnreadableMediaError
from engine.types import Frames, Modality, Sound

if TYPE_CHECKING:
    from PIL.Image import Image

# The order of the keys changes the vector (sentence-transformers 6.1): media first, words last.
MIXED_ORDER: tuple[Modality, ...] = ("image", "video", "audio", "text")
_OVERSAMPLED = 2  # how much finer than the model looks a picture is kept
_LARGE_PIXELS = 4_000_000
_MAX_ASPECT = 200
_MIN_SECONDS = 0.1  # shorter sound makes an empty spectrogram in some models


def to_input(modality: Modality, content: Any) -> dict[str, Any]:
    """Return the input for one piece of content (str, PIL picture, Sound or Frames)."""
    if modality == "text":
        return {"text": content}
    if modality == "image":
        return {"image": content}
    if modality == "audio":
        return {"audio": {"array": content.samples, "sampling_rate": content.rate_hz}}
    return {"video": channels_first(content)}


def video_options(videos: Iterable[Frames]) -> dict[str, Any]:
    """Return what a processor must be told of frames that were chosen already: their times, in order."""
    return {"do_sample_frames": False, "video_metadata": [_metadata(frames) for frames in videos]}


def channels_first(frames: Frames) -> np.ndarray:
    """Return the frames as (n, 3, height, width) uint8 RGB, a view of their pixels."""
    return frames.pixels.transpose(0, 3, 1, 2)


def clean_words(text: str, marks: Iterable[str]) -> str:
    """Return text that a tokenizer takes: a model's own marks (such as <|image_pad|>) become spaces.

    In somebody's text they would stand for a picture that is not there.
    """
    for mark in marks:
        text = text.replace(mark, " ")
    # A command line or a JSON file can bring half a surrogate pair, which is no Unicode text.
    return text.encode("utf-8", "replace").decode("utf-8")


def to_mixed(parts: Iterable[tuple[Modality, Any]]) -> dict[str, Any]:
    """Return one input of several modalities, each at most once, in the one fixed order."""
    merged: dict[str, Any] = {}
    for modality, content in sorted(parts, key=lambda part: MIXED_ORDER.index(part[0])):
        merged.update(to_input(modality, content))
    return merged


def to_message(parts: Iterable[tuple[Modality, Any]]) -> list[dict[str, Any]]:
    """Return one chat message with the parts in their own order, for several of one modality."""
    content = []
    for modality, one in parts:
        # Sound as bare samples: inside a message nothing unpacks the array and its rate.
        value = one.samples if modality == "audio" else to_input(modality, one)[modality]
        content.append({"type": modality, modality: value})
    return [{"role": "user", "content": content}]


def check_aspect(picture: Image) -> None:
    """Raise UnreadableMediaError for a picture that Qwen's processors refuse: 200 times as long as wide."""
    short, long = sorted(picture.size)
    if long >= _MAX_ASPECT * short:
        raise UnreadableMediaError(
            f"The picture is {picture.width:,} x {picture.height:,} pixels; for this model it must be "
            f"less than {_MAX_ASPECT} times as long as wide."
        )


def shrunk(picture: Image, side_px: int | None) -> Image:
    """Return the picture; one of more than 4 megapixels is reduced by a whole factor.

    It stays at least twice as fine as the model looks. Keeps the memory of a batch small; every other
    picture goes to the model as it is.
    """
    if not side_px or picture.width * picture.height <= _LARGE_PIXELS:
        return picture
    wanted = ceil((picture.width * picture.height / _LARGE_PIXELS) ** 0.5)
    factor = min(wanted, min(picture.size) // (_OVERSAMPLED * side_px))
    return picture.reduce(factor) if factor > 1 else picture


def at_least_two(frames: Frames) -> Frames:
    """Return the frames, a single one twice: video processors merge frames in pairs."""
    if len(frames.pixels) > 1:
        return frames
    return Frames(np.repeat(frames.pixels, 2, axis=0), frames.fps)


def resampled(sound: Sound, rate_hz: int) -> Sound:
    """Return the sound at another rate (soxr): most models take a wrong rate without a word."""
    if sound.rate_hz == rate_hz:
        return sound
    import soxr

    return Sound.of(soxr.resample(_padded(sound).samples, sound.rate_hz, rate_hz), rate_hz)


def windows(sound: Sound, samples: int) -> list[Sound]:
    """Cut a sound into windows of at most so many samples, the last at least a tenth of a second.

    Some processors cut longer clips at random, so that they embed differently each time; others drop
    the rest without a word. A remainder too short to embed is dropped.
    """
    starts = range(0, len(sound.samples), samples)
    cut = [Sound(sound.samples[start : start + samples], sound.rate_hz) for start in starts]
    long_enough = [window for window in cut if window.seconds >= _MIN_SECONDS]
    return long_enough or [_padded(cut[0])]


def _padded(sound: Sound) -> Sound:
    """Return the sound, silence added to a tenth of a second where it is shorter."""
    missing = int(np.ceil(_MIN_SECONDS * sound.rate_hz)) - len(sound.samples)
    return Sound(np.pad(sound.samples, (0, missing)), sound.rate_hz) if missing > 0 else sound


def _metadata(frames: Frames) -> dict[str, Any]:
    count = len(frames.pixels)
    return {
        "fps": frames.fps,
        "total_num_frames": count,
        "duration": count / frames.fps,
        "frames_indices": list(range(count)),
    }
