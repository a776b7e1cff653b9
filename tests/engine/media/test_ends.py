"""Proves that the end of a picture is found whatever follows it, and that the picture stays the same."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from engine.media.decode import probe
from engine.media.ends import end_of
from engine.media.formats import sniff
from engine.media.images import open_image
from tests.helpers.data import source
from tests.helpers.pictures import FORMATS, encode, four_corners, gif_frame

_FRAMES = [Image.effect_noise((24, 16), sigma).convert("RGB") for sigma in (20, 60)]
FILES = {format_: encode(four_corners(), format_) for format_ in FORMATS} | {
    "JPEG progressive": encode(four_corners(300, 200), "JPEG", progressive=True),
    "JPEG with restarts": encode(four_corners(300, 200), "JPEG", restart_marker_blocks=1),
    "JPEG with a thumbnail": encode(
        four_corners(), "JPEG", exif=b"Exif\0\0" + encode(four_corners(8, 8), "JPEG")
    ),
    "GIF of frames": encode(_FRAMES[0], "GIF", save_all=True, append_images=_FRAMES[1:]),
    "APNG": encode(_FRAMES[0], "PNG", save_all=True, append_images=_FRAMES[1:]),
    "WEBP of frames": encode(_FRAMES[0], "WEBP", save_all=True, append_images=_FRAMES[1:]),
    "BMP of a palette": encode(four_corners().quantize(16), "BMP"),
    "BMP of bits": encode(four_corners(61, 5).convert("1"), "BMP"),
}
ENDLESS = {"TIFF"}
_TAILS = [bytes(5000), b"\xff\xd9", b"\n", encode(four_corners(), "JPEG"), b"IEND\xaeB`\x82", b";" * 9]


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_ends_where_it_ends(kind):
    assert end_of(FILES[kind], sniff(FILES[kind], "x")) == len(FILES[kind])


@pytest.mark.parametrize("tail", _TAILS, ids=range(len(_TAILS)))
@pytest.mark.parametrize("kind", sorted(set(FILES) - ENDLESS))
def test_what_follows_a_picture_is_not_its_own(kind, tail):
    data = FILES[kind]
    assert end_of(data + tail, sniff(data, "x")) == len(data)


@pytest.mark.parametrize("kind", sorted(set(FILES) - ENDLESS))
def test_a_file_without_its_end_is_taken_whole(kind):
    data = FILES[kind][:-1]
    assert end_of(data, sniff(data, "x")) == len(data)


def test_several_pictures_in_one_jpeg_show_the_first_one_with_and_without_the_others():
    out = io.BytesIO()
    four_corners().save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32), "red")])
    data = out.getvalue()
    end = end_of(data, "image/jpeg")
    assert 0 < end < len(data)
    first, kept = (open_image(one, max_pixels=10**6)[0] for one in (data, data[:end]))
    assert first.size == (64, 48) and kept.tobytes() == first.tobytes()


def test_the_id_is_of_the_file_and_the_medium_of_what_is_kept():
    data = FILES["JPEG"]
    plain, longer = probe(source("a.jpg", data)), probe(source("b.jpg", data + bytes(1000)))
    assert longer.data == plain.data == data and (plain.left_bytes, longer.left_bytes) == (0, 1000)
    assert plain.sha256 == plain.media == longer.media != longer.sha256


@pytest.mark.parametrize(
    ("mime", "head", "part"),
    [
        ("image/jpeg", b"\xff\xd8\xff", b"\xff\xe0\x00\x02"),
        ("image/png", b"\x89PNG\r\n\x1a\n", bytes(4) + b"tEXt" + bytes(4)),
        ("image/gif", b"GIF89a" + bytes(7) + b"!\xfe", b"\x01x"),
        ("image/gif", b"GIF89a" + bytes(7), gif_frame(1, 1)),
        ("image/avif", b"", b"\0\0\0\x08free"),
    ],
)
def test_a_file_of_endless_parts_is_not_walked_to_its_end(mime, head, part, monkeypatch):
    monkeypatch.setattr("engine.media.ends._MOST_PARTS", 1000)
    walked = []

    class Watched(bytes):
        def __getitem__(self, key):
            walked.append(key)
            return bytes.__getitem__(self, key)

    data = Watched(head + part * 20_000)
    assert end_of(data, mime) == len(data)
    assert len(walked) < 8000
