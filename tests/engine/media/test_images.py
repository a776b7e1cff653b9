"""Proves that every picture comes out upright, on white, in true colours, or is refused in words, cheaply."""

import io
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.errors import MediaError, TooLargeError, UnreadableMediaError
from engine.media.images import THUMBNAIL_PX, open_image, thumbnail
from engine.settings import PROJECT_DIR
from tests.helpers.pictures import (
    CORNERS,
    FORMATS,
    chunk,
    encode,
    four_corners,
    gif_frame,
    header_bombs,
    honest_png_bomb,
    with_orientation,
)

LIMIT = 100_000_000


def opened(data: bytes, side_px: int | None = None) -> Image.Image:
    picture, _, _ = open_image(data, max_pixels=LIMIT, side_px=side_px)
    assert picture.mode == "RGB"
    return picture


def corners(picture: Image.Image) -> np.ndarray:
    w, h = picture.size
    points = [(w // 4, h // 4), (3 * w // 4, h // 4), (w // 4, 3 * h // 4), (3 * w // 4, 3 * h // 4)]
    return np.array([picture.getpixel(point) for point in points])


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_gives_the_same_picture(format_):
    picture, width, height = open_image(encode(four_corners(), format_), max_pixels=LIMIT)
    assert picture.size == (width, height) == (64, 48)
    np.testing.assert_allclose(corners(picture), CORNERS, atol=12)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_same_upright_picture(format_, orientation):
    data = with_orientation(four_corners(), orientation, format_)
    picture, width, height = open_image(data, max_pixels=LIMIT)
    assert picture.size == (width, height) == (64, 48)
    np.testing.assert_allclose(corners(picture), CORNERS, atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_upright_too_and_knows_its_true_size(orientation):
    data = with_orientation(four_corners(1600, 1200), orientation)
    picture, width, height = open_image(data, max_pixels=LIMIT, side_px=297)
    assert (width, height) == (1600, 1200)
    assert 297 <= min(picture.size) < 1200
    assert picture.width > picture.height
    np.testing.assert_allclose(corners(picture), CORNERS, atol=12)


@pytest.mark.parametrize("size", [(297, 297), (300, 2000), (594, 594), (4000, 3000)])
def test_a_reduced_jpeg_keeps_the_detail_that_is_wanted(size):
    picture, width, height = open_image(encode(four_corners(*size), "JPEG"), max_pixels=LIMIT, side_px=297)
    assert (width, height) == size
    assert min(picture.size) >= min(297, *size)


def test_broken_exif_costs_the_orientation_and_not_the_picture():
    picture = four_corners()
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(8),
    ):
        np.testing.assert_allclose(corners(opened(encode(picture, "JPEG", exif=exif))), CORNERS, atol=12)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(value):
    exif = Image.Exif()
    exif[0x0112] = value
    assert opened(encode(four_corners(), "JPEG", exif=exif)).size == (64, 48)


def half_transparent(mode: str) -> Image.Image:
    """Left half opaque black, right half black but transparent."""
    picture = Image.new("RGBA", (40, 20), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (20, 0, 40, 20))
    return picture.convert(mode)


def transparent_pictures() -> dict[str, bytes]:
    palette = Image.new("P", (40, 20), 0)
    palette.putpalette([0, 0, 0, 10, 10, 10])
    palette.paste(1, (20, 0, 40, 20))
    colour_key = Image.new("RGB", (40, 20), (0, 0, 0))
    colour_key.paste((9, 8, 7), (20, 0, 40, 20))
    grey_key = Image.new("L", (40, 20), 0)
    grey_key.paste(77, (20, 0, 40, 20))
    return {
        "RGBA PNG": encode(half_transparent("RGBA")),
        "LA PNG": encode(half_transparent("LA")),
        "P index PNG": encode(palette, transparency=1),
        "P bytes PNG": encode(palette, transparency=b"\xff\x00"),
        "RGB tRNS PNG": encode(colour_key, transparency=(9, 8, 7)),
        "L tRNS PNG": encode(grey_key, transparency=77),
        "GIF": encode(palette, "GIF", transparency=1),
        "WebP": encode(half_transparent("RGBA"), "WEBP"),
        "TIFF": encode(half_transparent("RGBA"), "TIFF"),
        "HEIC": encode(half_transparent("RGBA"), "HEIF"),
        "AVIF": encode(half_transparent("RGBA"), "AVIF"),
    }


@pytest.mark.parametrize("kind", transparent_pictures())
def test_transparent_parts_become_white(kind):
    picture = opened(transparent_pictures()[kind])
    np.testing.assert_allclose(picture.getpixel((5, 10)), (0, 0, 0), atol=8)
    np.testing.assert_allclose(picture.getpixel((35, 10)), (255, 255, 255), atol=8)


def test_half_transparent_red_on_white_is_pink():
    assert opened(encode(Image.new("RGBA", (4, 4), (255, 0, 0, 128)))).getpixel((1, 1)) == (255, 127, 127)


def test_cmyk_jpeg_colours():
    data = encode(four_corners().convert("CMYK"), "JPEG")
    np.testing.assert_allclose(corners(opened(data)), CORNERS, atol=25)


def test_a_colour_profile_does_not_stop_a_picture():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_allclose(
        corners(opened(encode(four_corners(), "PNG", icc_profile=profile))), CORNERS, atol=1
    )


def grey_ramp(dtype: str, low: float, high: float) -> Image.Image:
    return Image.fromarray(np.linspace(low, high, 256).reshape(1, 256).repeat(4, 0).astype(dtype))


@pytest.mark.parametrize(
    ("picture", "format_"),
    [
        (grey_ramp("uint16", 0, 65535), "PNG"),
        (grey_ramp("uint16", 0, 65535), "TIFF"),
        (grey_ramp("int32", 0, 65535), "TIFF"),
        (grey_ramp("int32", -5000, 900_000), "TIFF"),
        (grey_ramp("float32", 0, 1), "TIFF"),
        (grey_ramp("float32", -3, 12), "TIFF"),
    ],
    ids=["16 PNG", "16 TIFF", "32 as 16", "32", "float 0 to 1", "float"],
)
def test_deep_greys_are_scaled_and_not_clipped(picture, format_):
    row = np.asarray(opened(encode(picture, format_)))[0, :, 0].astype(int)
    np.testing.assert_allclose(row, np.arange(256), atol=1)


def test_dark_deep_grey_stays_dark():
    data = encode(Image.fromarray(np.full((600, 3), 25700, np.uint16)))
    assert set(opened(data).get_flattened_data()) == {(100, 100, 100)}


def test_values_that_are_no_number_are_refused():
    for bad in (np.nan, np.inf, -np.inf):
        values = np.ones((4, 4), np.float32)
        values[1, 1] = bad
        with pytest.raises(UnreadableMediaError, match="not finite"):
            opened(encode(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_and_palette_pictures(format_):
    one_bit = four_corners().convert("L").point(lambda value: 255 * (value > 120)).convert("1")
    assert set(opened(encode(one_bit, format_)).get_flattened_data()) == {(0, 0, 0), (255, 255, 255)}
    palette = four_corners().quantize(16)
    np.testing.assert_allclose(corners(opened(encode(palette, format_))), CORNERS, atol=6)


@pytest.mark.parametrize("size", [(1, 1), (4000, 10), (10, 4000), (257, 1)])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_extreme_shapes(size, format_):
    picture, width, height = open_image(encode(Image.new("RGB", size, "red"), format_), max_pixels=LIMIT)
    assert picture.size == (width, height) == size
    small = Image.open(io.BytesIO(thumbnail(picture)))
    assert min(max(size), THUMBNAIL_PX // 2 + 1) <= max(small.size) <= min(max(size), THUMBNAIL_PX)
    assert min(small.size) >= 1


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    for format_ in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        picture = opened(encode(frames[0], format_, save_all=True, append_images=frames[1:]))
        np.testing.assert_allclose(picture.getpixel((9, 9)), (255, 0, 0), atol=8)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF", "AVIF", "GIF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_picture_cut_short_is_refused(format_, kept):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    data = encode(noise, format_)
    with pytest.raises(UnreadableMediaError, match="cannot be read") as caught:
        opened(data[: int(len(data) * kept)])
    assert caught.value.__cause__ is not None


def test_an_animation_cut_short_is_refused_although_its_first_frame_is_whole():
    rng = np.random.default_rng(1)
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(4)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(data).size == (40, 40)
    with pytest.raises(UnreadableMediaError):
        opened(data[: len(data) * 7 // 8])


def test_a_later_frame_may_reach_beyond_the_first():
    noise = Image.effect_noise((8, 8), 50)
    frame = encode(noise, "GIF")
    one = frame[frame.index(b",") : -1]
    wide = one[:1] + b"\x08\x00" + one[3:]  # the same frame, eight pixels further right
    palette_end = 13 + 3 * (2 << (frame[10] & 7))
    picture, width, height = open_image(frame[:palette_end] + one + wide + b";", max_pixels=LIMIT)
    assert picture.size == (width, height) == (8, 8)


def late_bomb(disposal: int) -> bytes:
    """A GIF of 8 by 8 whose second frame claims 60,000 by 60,000."""
    return encode(four_corners(8, 8), "GIF")[:-1] + gif_frame(60000, 60000, disposal=disposal) + b";"


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_a_later_frame_that_is_a_bomb_is_refused_by_its_pixels(disposal):
    data = late_bomb(disposal)
    with pytest.raises(TooLargeError, match="MAX_IMAGE_MEGAPIXELS"):
        opened(data)


@pytest.mark.parametrize("kind", header_bombs())
def test_a_bomb_is_refused_with_the_limit_named(kind):
    with pytest.raises(TooLargeError, match="GAPSCOPE_MAX_IMAGE_MEGAPIXELS") as caught:
        opened(header_bombs()[kind])
    assert caught.value.limit == 100
    assert caught.value.found > 200


def test_the_limit_itself_is_allowed():
    data = encode(Image.new("L", (100, 50)))
    assert open_image(data, max_pixels=5000)[1:] == (100, 50)
    with pytest.raises(TooLargeError):
        open_image(data, max_pixels=4999)


def test_refusing_bombs_takes_no_memory(tmp_path):
    bombs = [*header_bombs().values(), late_bomb(2), honest_png_bomb(30_000)]
    assert len(bombs[-1]) < 200_000
    for number, data in enumerate(bombs):
        (tmp_path / str(number)).write_bytes(data)
    program = f"""
        import resource
        from pathlib import Path
        from engine.errors import TooLargeError
        from engine.media.images import open_image
        files = [path.read_bytes() for path in Path({str(tmp_path)!r}).iterdir()]
        from PIL import Image
        import io
        png = io.BytesIO(); Image.new("RGB", (9, 9)).save(png, "PNG")
        open_image(png.getvalue(), max_pixels=100)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        refused = 0
        for data in files:
            try:
                open_image(data, max_pixels=100_000_000)
            except TooLargeError:
                refused += 1
        print(refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    refused, grown_kb = map(int, done.stdout.split())
    assert refused == len(bombs)
    assert grown_kb < 40_000


def test_a_text_chunk_that_unpacks_to_gigabytes_is_refused():
    import zlib

    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(80)) + packer.flush()
    plain = encode(four_corners())
    bomb = plain[:33] + chunk(b"zTXt", b"x\0\0" + packed) + plain[33:]
    with pytest.raises(MediaError):
        opened(bomb)


@pytest.mark.parametrize("kind", transparent_pictures())
def test_thumbnails_of_odd_modes_are_right(kind):
    small = Image.open(io.BytesIO(thumbnail(opened(transparent_pictures()[kind]))))
    assert small.format == "WEBP"
    np.testing.assert_allclose(small.convert("RGB").getpixel((35, 10)), (255, 255, 255), atol=10)


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_thumbnails_are_upright_small_and_carry_no_exif(orientation):
    data = with_orientation(four_corners(1200, 800), orientation)
    small = Image.open(io.BytesIO(thumbnail(opened(data, 297))))
    assert small.size == (300, 200)  # 1200 x 800 by 4
    assert not small.getexif()
    np.testing.assert_allclose(corners(small.convert("RGB")), CORNERS, atol=20)


def test_a_small_picture_is_not_enlarged():
    assert Image.open(io.BytesIO(thumbnail(four_corners(50, 30)))).size == (50, 30)
