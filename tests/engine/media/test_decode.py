"""Proves that bytes become the right items, and that no bytes raise anything but MediaError."""

import hashlib
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import EmptyFileError, MediaError, UnknownFormatError, UnreadableMediaError
from engine.media.decode import caption_id, captions_of, decode, probe
from engine.media.images import thumbnail
from engine.media.plain_text import MAX_CHARS
from engine.media.sources import Source
from tests.helpers.pictures import FORMATS, encode, four_corners, gif, gif_frame, png


def source(data: bytes, name: str = "x", captions=(), labels=()) -> Source:
    return Source(name, lambda: data, tuple(captions), tuple(labels))


def decoded(data: bytes, name: str = "x", side_px: int | None = None, **fields):
    return decode(probe(source(data, name, **fields)), max_pixels=1_000_000, side_px=side_px)


def test_a_picture_becomes_an_item():
    data = encode(four_corners(), "JPEG")
    media = decoded(data, "corner.png", captions=["four corners", "again"], labels=["test"])
    digest = hashlib.sha256(data).hexdigest()
    item = media.item
    assert (item.id, item.media, item.pair) == (digest, digest, digest)
    assert (item.modality, item.mime, item.name) == ("image", "image/jpeg", "corner.png")
    assert (item.width_px, item.height_px, item.size_bytes) == (64, 48, len(data))
    assert (item.caption, item.labels) == ("four corners", ("test",))
    assert media.content.size == (64, 48)
    assert item.added_at > 1_700_000_000


def test_a_text_becomes_an_item():
    media = decoded("\ufeffEin Löwe\x00".replace("\x00", "").encode(), "note.md")
    assert media.content == media.item.caption == "Ein Löwe"
    assert (media.item.modality, media.item.media, media.item.width_px) == ("text", None, None)


def test_long_text_is_cut_and_empty_text_refused():
    assert len(decoded(b"word " * 10_000, "a.txt").content) <= MAX_CHARS
    for nothing in (b" \n\t ", b"\xef\xbb\xbf"):
        with pytest.raises(UnreadableMediaError, match="no readable character"):
            decoded(nothing, "a.txt")


def test_each_caption_of_a_picture_becomes_an_item_of_the_same_pair():
    data = encode(four_corners())
    probed = probe(source(data, "p.png", captions=["one", "two"], labels=["a"]))
    items = [media.item for media in captions_of(probed)]
    assert [item.caption for item in items] == ["one", "two"]
    assert {item.pair for item in items} == {probed.sha256}
    assert [item.id for item in items] == [caption_id(probed.sha256, "one"), caption_id(probed.sha256, "two")]
    assert all(item.modality == "text" and item.labels == ("a",) and item.media is None for item in items)
    assert captions_of(probe(source(b"words", "a.txt", captions=["one"]))) == []


def test_the_same_caption_of_two_pictures_is_two_items():
    assert caption_id("a" * 64, "cat") != caption_id("b" * 64, "cat")
    assert caption_id("a" * 64, "cat") == caption_id("a" * 64, "cat")
    assert len(caption_id("a" * 64, "cat")) == 64


def test_what_is_no_medium_is_refused():
    with pytest.raises(EmptyFileError):
        decoded(b"")
    with pytest.raises(UnknownFormatError):
        decoded(b"words", "photo.jpg")
    with pytest.raises(UnknownFormatError):
        decoded(bytes(range(256)), "photo.jpg")


@cache
def seeds() -> dict[str, bytes]:
    """One small valid file of every kind, and a few tricky ones."""
    picture = four_corners(24, 16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    frames = [Image.effect_noise((24, 16), sigma) for sigma in (20, 60)]
    files = {format_: encode(picture, format_) for format_ in FORMATS}
    return files | {
        "JPEG exif": encode(picture, "JPEG", exif=exif),
        "JPEG progressive": encode(picture, "JPEG", progressive=True),
        "JPEG CMYK": encode(picture.convert("CMYK"), "JPEG"),
        "PNG 16": encode(Image.new("I;16", (24, 16), 999)),
        "PNG palette": encode(picture.quantize(8), transparency=1),
        "PNG exif": encode(picture, "PNG", exif=exif),
        "PNG empty rows": png(24, 16),
        "GIF frames": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "GIF odd": gif(24, 16, gif_frame(24, 16), gif_frame(30, 8, disposal=2), gif_frame(4, 4, disposal=3)),
        "TIFF deflate": encode(picture, "TIFF", compression="tiff_deflate", exif=exif),
        "TIFF lzw": encode(picture, "TIFF", compression="tiff_lzw"),
        "TIFF float": encode(picture.convert("F"), "TIFF"),
        "WEBP lossy": encode(picture, "WEBP", lossless=False, exif=exif),
        "AVIF exif": encode(picture, "AVIF", exif=exif),
        "text": "Ein Löwe sitzt im Gras. \U0001f981".encode(),
    }


@st.composite
def mutated(draw) -> bytes:
    data = bytearray(draw(st.sampled_from(list(seeds().values()))))
    for _ in range(draw(st.integers(0, 12))):
        # Headers are where the interesting damage is: half of the flips go to the first 128 bytes.
        end = min(len(data), draw(st.sampled_from([128, len(data)])))
        data[draw(st.integers(0, end - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, 3))
    if cut == 0:
        del data[draw(st.integers(0, len(data))) :]
    elif cut == 1:
        at = draw(st.integers(0, len(data)))
        data[at:at] = draw(st.binary(max_size=20))
    return bytes(data)


def survives(data: bytes, name: str, side_px: int | None) -> None:
    try:
        media = decoded(data, name, side_px)
    except MediaError as error:
        assert error.reason
        assert error.reason.encode("utf-8")
    else:
        if media.item.modality == "image":
            assert media.content.mode == "RGB"
            assert media.item.width_px * media.item.height_px <= 1_000_000
            thumbnail(media.content)
        else:
            assert media.content


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=mutated(), name=st.sampled_from(["x.txt", "x.jpg"]), side_px=st.sampled_from([None, 8]))
def test_damaged_files_raise_nothing_but_media_errors(data, name, side_px):
    survives(data, name, side_px)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"BM"]))
def test_random_bytes_raise_nothing_but_media_errors(data, head):
    survives(head + data, "x", None)


@pytest.mark.parametrize("kind", sorted(seeds()))
def test_the_seeds_themselves_are_read_or_refused(kind):
    survives(seeds()[kind], "x.txt", None)
