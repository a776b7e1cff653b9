"""Proves that bytes become the right items, and that no bytes raise anything but MediaError."""

import base64
import hashlib
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import EmptyFileError, MediaError, UnknownFormatError, UnreadableMediaError
from engine.media import plain_text
from engine.media.decode import caption_id, captions_of, content_of, decode, part_id, probe, thumbnail_of
from engine.media.formats import DECODERS
from engine.media.images import thumbnail
from engine.media.parts import Limits, Part
from engine.media.plain_text import MAX_CHARS
from engine.media.sources import Source
from tests.helpers import contact_sheet
from tests.helpers.data import jpeg
from tests.helpers.pictures import FORMATS, encode, four_corners, gif, gif_frame, png


def source(data: bytes, name: str = "x", captions=(), labels=()) -> Source:
    return Source(name, lambda: data, tuple(captions), tuple(labels))


def decoded(data: bytes, name: str = "x", side_px: int | None = None, **fields):
    (media,) = decode(probe(source(data, name, **fields)), Limits(1_000_000, side_px))
    return media


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


def test_ids_are_what_they_have_always_been():
    # Stored items have them: with others, every file would be stored a second time.
    dot = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    picture, text = decoded(dot, "dot.png", captions=["a dot"]).item, decoded(b"a lighthouse", "a.txt").item
    own = "6b7fa434f92a8b80aab02d9bf1a12e49ffcae424e4013a1c4f68b67e3d2bbcd0"
    assert (picture.id, picture.media, picture.pair) == (own, own, own) and part_id(own, "") == own
    assert text.id == text.pair == "f2e40ed4875e649d794563627aba52f316f5dc191ad30dfda48f643c242d1e48"
    caption, part = caption_id(own, "a dot"), part_id(own, "page 3")
    assert caption == "452f04f9390c04fc6831dfa07563f62edc1e09fdde6f74d3f01720c30de19e00"
    assert part == "814fcc02d0b7f0e8a6ffa32f8fa62ba74aac13d94358d05f775b06a8a7aee079"


def test_a_file_of_several_parts_becomes_an_item_of_each(monkeypatch):
    contact_sheet.register(monkeypatch)
    data = contact_sheet.sheet(jpeg(1, 40), b"\xff\xd8\xff broken", jpeg(2, 50))
    probed = probe(source(data, "s.bin", captions=["three"], labels=["a"]))
    first, broken, last = decode(probed, Limits(1_000_000))
    names = [part.item.name for part in (first, broken, last)]
    assert names == ["s.bin, picture 1", "s.bin, picture 2", "s.bin, picture 3"]
    assert first.item.id == part_id(probed.sha256, "picture 1") != last.item.id
    for part, side in ((first, 40), (last, 50)):
        assert (part.item.pair, part.item.media) == (probed.sha256, probed.sha256)
        assert (part.item.mime, part.item.caption, part.item.labels) == (contact_sheet.MIME, "three", ("a",))
        assert part.item.width_px == side
        assert content_of(part.item, [first, broken, last]).size == (side, side)
    assert isinstance(broken.content, UnreadableMediaError)
    assert thumbnail_of([broken, last]) == thumbnail(last.content) and thumbnail_of([broken]) == b""
    with pytest.raises(UnreadableMediaError, match="cannot be read"):
        content_of(broken.item, [first, broken, last])
    with pytest.raises(UnreadableMediaError, match="not found"):
        content_of(replace(first.item, id="0" * 64), [first, broken, last])


@pytest.mark.parametrize("keys", [("page 1", "page 1"), ("", "page 2")])
def test_a_decoder_that_gives_two_parts_one_id_is_a_fault(monkeypatch, keys):
    parts = [Part("words", key) for key in keys]
    wrong = replace(contact_sheet.FORMAT, decode=lambda data, limits: parts)
    monkeypatch.setitem(DECODERS, contact_sheet.MIME, wrong)
    with pytest.raises(ValueError, match="key of its own"):
        decoded(contact_sheet.sheet())


def test_a_file_without_parts_is_refused(monkeypatch):
    contact_sheet.register(monkeypatch)
    with pytest.raises(UnreadableMediaError, match="holds nothing"):
        decoded(contact_sheet.sheet())


def test_long_text_is_cut_and_empty_text_refused():
    assert len(decoded(b"word " * 10_000, "a.txt").content) <= MAX_CHARS
    for nothing in (b" \n\t ", b"\xef\xbb\xbf"):
        with pytest.raises(UnreadableMediaError, match="no readable character"):
            decoded(nothing, "a.txt")


def test_only_the_beginning_of_a_long_text_is_cleaned_and_it_is_said(monkeypatch):
    seen = []
    monkeypatch.setattr(plain_text, "clean_text", lambda text: seen.append(len(text)) or text)
    data = ("\x7fé" + "word " * 1_000_000).encode()
    probed = probe(source(data, "a.txt"))
    (media,) = decode(probed, Limits(1_000_000))
    assert sum(seen) <= 40 * MAX_CHARS >= len(probed.data)
    assert media.item.id == hashlib.sha256(data).hexdigest() and media.item.size_bytes == len(data)
    assert len(media.content) == MAX_CHARS and dict(media.notes) == {"long": "10,000 characters"}
    assert decoded(b"word " * 200, "a.txt").notes == ()


@pytest.mark.parametrize("end", [b"\xff", b"\xc3", b"\x00"])
def test_a_long_file_that_is_no_text_to_its_end_is_none(end):
    text = "é".encode() * 600_000  # characters lie across the pieces in which it is looked at
    assert probe(source(b"a" + text, "a.txt")).mime == "text/plain"
    with pytest.raises(UnknownFormatError):
        probe(source(b"a" + text + end, "a.txt"))


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
