"""Proves that files are recognised by content, that names decide nothing, and that words stay words."""

import pytest

from engine.errors import EmptyFileError, UnknownFormatError
from engine.media.formats import DECODERS, accepted, decoded_modalities, media_suffixes, sniff
from engine.media.images import SUFFIXES
from engine.media.plain_text import TEXT_MIME
from tests.helpers import contact_sheet
from tests.helpers.pictures import FORMATS, encode, four_corners


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", ["x.jpg", "x.txt", "x", "x.exe"])
def test_a_picture_is_known_by_its_bytes(format_, name):
    assert sniff(encode(four_corners(), format_), name) == FORMATS[format_][0]


def test_every_picture_type_has_a_suffix():
    assert {mime for mime, _ in FORMATS.values()} == set(SUFFIXES)
    assert set(DECODERS) == {*SUFFIXES, TEXT_MIME} and media_suffixes() == set(SUFFIXES.values())


def test_the_table_says_what_is_read(monkeypatch):
    assert accepted() == "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF or plain text (.txt, .md)"
    assert decoded_modalities() == ("text", "image")
    contact_sheet.register(monkeypatch)
    assert accepted().endswith("plain text (.txt, .md) or contact sheets")
    assert sniff(contact_sheet.sheet(b"\xff"), "x.txt") == contact_sheet.MIME
    assert ".sheet" in media_suffixes()


def test_empty_is_refused():
    with pytest.raises(EmptyFileError, match="0 bytes"):
        sniff(b"", "x.png")


@pytest.mark.parametrize("name", ["note.txt", "note.md", "note", "NOTE.TXT", "note.text"])
def test_words_are_text(name):
    assert sniff("Ein Löwe.\r\n\tZeile".encode(), name) == TEXT_MIME


@pytest.mark.parametrize("name", ["photo.jpg", "data.csv", "page.html", "x.json"])
def test_words_under_another_name_are_refused_by_that_name(name):
    with pytest.raises(UnknownFormatError, match=r"\.\w+ but holds plain text") as caught:
        sniff(b"just words", name)
    assert "JPEG" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"\x00" * 100,
        b"MZ\x90\x00\x03",
        b"%PDF-1.7\n\xe2\xe3",
        "utf-16 text".encode("utf-16"),
        b"\xff\xfe\xfd",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
        b"caf\xe9",
        b"bell \x07",
    ],
)
def test_other_bytes_are_refused_with_what_is_accepted(data):
    with pytest.raises(UnknownFormatError, match="Accepted: JPEG"):
        sniff(data, "x.txt")


@pytest.mark.parametrize("words", ["BMW is a maker of cars", "BM", "Big", "II*", "MM and II", "RIFF WEBP"])
def test_text_that_begins_like_a_picture_stays_text(words):
    assert sniff(words.encode(), "note.txt") == TEXT_MIME


def test_avif_is_known_by_a_compatible_brand():
    assert sniff(b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "x") == "image/avif"
