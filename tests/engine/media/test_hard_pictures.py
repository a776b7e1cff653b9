"""Proves that pictures which would come out black, blank or cut are shown, and that what was done is said."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from engine.errors import UnreadableMediaError
from engine.media.images import read_picture
from engine.media.parts import Limits, Part
from engine.media.pixels import MAX_ASPECT, within_aspect
from tests.helpers.pictures import chunk, encode, four_corners, png

LIMITS = Limits(100_000_000)


def read(data: bytes, side_px: int | None = None) -> Part:
    return read_picture(data, Limits(LIMITS.max_pixels, side_px))


def kinds(part: Part) -> dict[str, str]:
    return dict(part.notes)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12])
def test_greys_of_few_bits_are_scaled_by_them_and_it_is_said(bits, format_):
    ramp = np.linspace(0, 2**bits - 1, 256).reshape(1, 256).repeat(8, 0).astype(np.uint16)
    part = read(encode(Image.fromarray(ramp), format_))
    np.testing.assert_allclose(np.asarray(part.content)[0, :, 0].astype(int), np.arange(256), atol=1)
    assert kinds(part) == {"depth": f"{bits} bits"}


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a colour, of values (height, width, 3 or 4) uint16, by hand: Pillow writes none."""
    height, width, colours = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, depth=16, colour={3: 2, 4: 6}[colours], rows=rows)


def deep_tiff(values: np.ndarray, order: str) -> bytes:
    """A TIFF of 16 bits a colour, of values (height, width, 3) uint16, in an order of bytes, < or >."""
    height, width, _ = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    tags = [(256, 3, width), (257, 3, height), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 3)]
    tags += [(278, 3, height), (279, 4, len(pixels))]
    bits_at = 8 + len(pixels)
    entries = [(tag, kind, 1, value) for tag, kind, value in tags] + [(258, 3, 3, bits_at)]
    endian = {"<": "little", ">": "big"}[order]
    body = b"".join(
        tag.to_bytes(2, endian)
        + kind.to_bytes(2, endian)
        + count.to_bytes(4, endian)
        + (value.to_bytes(2, endian) + b"\0\0" if kind == 3 and count == 1 else value.to_bytes(4, endian))
        for tag, kind, count, value in sorted(entries)
    )
    directory = len(entries).to_bytes(2, endian) + body + bytes(4)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + (bits_at + 6).to_bytes(4, endian)
    return head + pixels + (16).to_bytes(2, endian) * 3 + directory


@pytest.mark.parametrize("make", [deep_png, lambda v: deep_tiff(v, "<"), lambda v: deep_tiff(v, ">")])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colours_of_few_bits_are_scaled_by_them_too(bits, make):
    ramp = np.linspace(0, 2**bits - 1, 256).astype(np.uint16)
    values = np.stack([ramp, ramp[::-1], np.full(256, 2**bits - 1, np.uint16)], 1)[None].repeat(8, 0)
    part = read(make(values))
    row = np.asarray(part.content)[0].astype(int)
    np.testing.assert_allclose(row[:, 0], np.arange(256), atol=1)
    np.testing.assert_allclose(row[:, 1], np.arange(255, -1, -1), atol=1)
    assert (row[:, 2] == 255).all()
    assert kinds(part) == ({} if bits == 16 else {"depth": f"{bits} bits"})


def test_transparency_of_few_bits_is_scaled_like_the_colours():
    values = np.full((8, 16, 4), 4095, np.uint16)
    values[..., :3], values[0, 0, :3] = 400, 1000
    values[:, 8:, 3] = 0
    picture = read(deep_png(values)).content
    assert picture.getpixel((2, 2)) == (100, 100, 100)  # 400 of 1023
    assert picture.getpixel((12, 2)) == (255, 255, 255)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_that_is_not_flat_is_taken_and_it_is_said_which(format_):
    black = Image.new("RGB", (64, 48))
    frames = [Image.new("RGB", (64, 48), (1, 1, 1)), four_corners(), black]
    part = read(encode(black, format_, save_all=True, append_images=frames))
    np.testing.assert_allclose(part.content.getpixel((8, 8)), (220, 30, 30), atol=12)
    assert part.notes[0][0] == "frame" and int(part.notes[0][1].removeprefix("frame ")) in (2, 3)


def test_pages_of_another_size_are_bounded_too():
    large = encode(
        Image.new("L", (30, 20)), "TIFF", save_all=True, append_images=[Image.effect_noise((90, 90), 9)]
    )
    part = read_picture(large, Limits(1000))
    assert part.content.size == (part.width_px, part.height_px) == (30, 20)
    assert kinds(part) == {"flat": ""}
    part = read_picture(large, Limits(10_000))
    assert part.content.size == (part.width_px, part.height_px) == (90, 90)
    assert kinds(part) == {"frame": "frame 2"}


def drawing(colour: tuple[int, int, int], mode: str = "RGBA") -> Image.Image:
    picture = Image.new("RGBA", (1200, 900), (*colour, 0))
    picture.paste((*colour, 255), (300, 300, 600, 400))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(
    ("colour", "ground"), [((255, 255, 255), 0), ((0, 0, 0), 255), ((200, 200, 200), 255)]
)
def test_a_drawing_on_transparency_gets_a_ground_that_shows_it(colour, ground, mode):
    part = read(encode(drawing(colour, mode)))
    assert part.content.getpixel((10, 10)) == (ground, ground, ground)
    assert part.content.getpixel((450, 350)) == colour
    assert kinds(part) == ({"ground": ""} if ground == 0 else {})


def test_a_white_drawing_with_black_in_it_stays_on_white():
    picture = drawing((255, 255, 255))
    picture.paste((0, 0, 0, 255), (320, 320, 420, 380))
    assert read(encode(picture)).content.getpixel((10, 10)) == (255, 255, 255)


def noise(width: int = 320, height: int = 400) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("side_px", [None, 100])
def test_a_jpeg_cut_in_its_last_bytes_is_taken_without_its_last_rows(side_px):
    data = encode(noise(), "JPEG")
    whole = read(data, side_px).content
    part = read(data[: int(len(data) * 0.98)], side_px)
    rows = part.content.height
    assert 0.95 * whole.height <= rows < whole.height and part.content.width == whole.width
    assert np.array_equal(np.asarray(part.content), np.asarray(whole)[:rows])
    assert (part.width_px, part.height_px) == (320, 400)
    assert kinds(part) == {"cut": f"{whole.height - rows:,} of {whole.height:,} rows"}


def test_a_jpeg_with_nothing_but_its_end_missing_is_whole():
    data = encode(noise(64, 24), "JPEG")
    part = read(data[:-2])
    assert part.content.tobytes() == read(data).content.tobytes()
    assert kinds(part) == {}


@pytest.mark.parametrize(("kept", "options"), [(0.9, {}), (0.98, {"progressive": True})])
def test_a_jpeg_of_which_more_is_missing_is_refused(kept, options):
    data = encode(four_corners(640, 480), "JPEG", **options)
    with pytest.raises(UnreadableMediaError, match="truncated"):
        read(data[: int(len(data) * kept)])


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000), (1200, 10)])
def test_a_strip_is_bounded_before_any_processor_and_it_is_said(size):
    part = read(encode(noise(*size)))
    assert kinds(part) == {"strip": f"{size[0]:,} x {size[1]:,} pixels"}
    bounded = within_aspect(part.content)
    assert max(bounded.size) <= MAX_ASPECT * min(bounded.size) + 1 and min(bounded.size) == min(size)
    left, top = ((side - got) // 2 for side, got in zip(size, bounded.size, strict=True))
    middle = part.content.crop((left, top, left + bounded.width, top + bounded.height))
    assert bounded.tobytes() == middle.tobytes()


def test_a_panorama_is_not_bounded():
    picture = Image.new("RGB", (500, 10))
    assert within_aspect(picture) is picture and kinds(read(encode(noise(500, 10)))) == {}


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_flat_pictures_are_noted_and_no_others(format_):
    assert kinds(read(encode(Image.new("RGB", (300, 200), (90, 120, 7)), format_))) == {"flat": ""}
    assert kinds(read(encode(four_corners(), format_))) == {}


def test_a_large_picture_of_any_format_comes_no_finer_than_is_wanted():
    part = read(encode(noise(900, 700)), 100)
    assert part.content.size == (450, 350) and (part.width_px, part.height_px) == (900, 700)
    np.testing.assert_allclose(np.asarray(part.content), np.asarray(noise(900, 700).reduce(2)), atol=1)


def test_what_a_file_says_of_itself_does_not_travel_with_its_picture():
    text = encode(four_corners())
    text = text[:33] + chunk(b"tEXt", b"Comment\0" + b"words" * 99) + text[33:]
    assert read(text).content.info == {}
    assert Image.open(io.BytesIO(text)).text["Comment"].startswith("words")
