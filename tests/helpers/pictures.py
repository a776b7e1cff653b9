"""Builders of pictures, easy and tricky, as real bytes of every format that is read."""

from __future__ import annotations

import io
import struct
import zlib

import pillow_heif
from PIL import Image, ImageDraw, ImageFont

pillow_heif.register_heif_opener()

# format -> (MIME type, what Pillow needs to write it)
FORMATS = {
    "JPEG": ("image/jpeg", {"quality": 95, "subsampling": 0}),
    "PNG": ("image/png", {}),
    "WEBP": ("image/webp", {"lossless": True}),
    "GIF": ("image/gif", {}),
    "BMP": ("image/bmp", {}),
    "TIFF": ("image/tiff", {}),
    "HEIF": ("image/heic", {"quality": 95}),
    "AVIF": ("image/avif", {"quality": 95}),
}
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (30, 40, 220), (230, 220, 40)
CORNERS = (RED, GREEN, BLUE, YELLOW)  # top left, top right, bottom left, bottom right


def four_corners(width: int = 64, height: int = 48) -> Image.Image:
    """A picture whose four quarters differ, so that every turn and mirror shows."""
    picture = Image.new("RGB", (width, height))
    for index, colour in enumerate(CORNERS):
        x, y = (index % 2) * width // 2, (index // 2) * height // 2
        picture.paste(colour, (x, y, x + width // 2, y + height // 2))
    return picture


def encode(picture: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format_, **{**FORMATS.get(format_, ("", {}))[1], **options})
    return out.getvalue()


def with_orientation(upright: Image.Image, orientation: int, format_: str = "JPEG") -> bytes:
    """The picture stored turned, with the EXIF orientation that sets it upright again."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(stored, format_, exif=exif.tobytes())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, rows: bytes = b"") -> bytes:
    """A PNG by hand: any size may be claimed, whatever the rows hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def honest_png_bomb(side: int) -> bytes:
    """A 1-bit PNG whose pixels are really there: side * side of them in a few kilobytes."""
    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def gif_frame(width: int, height: int, *, disposal: int = 0) -> bytes:
    """A GIF frame of any claimed size with hardly any data."""
    control = b"\x21\xf9\x04" + bytes([disposal << 2, 0, 0, 0, 0])
    return control + b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"


def gif(width: int, height: int, *frames: bytes) -> bytes:
    header = b"GIF89a" + struct.pack("<2HBBB", width, height, 0x80, 0, 0) + bytes(6)
    return header + b"".join(frames) + b";"


def header_bombs() -> dict[str, bytes]:
    """Files of a few bytes that claim far more pixels than anybody should decode."""
    webp_body = b"VP8X" + struct.pack("<IB3x", 10, 0) + (16382).to_bytes(3, "little") * 2
    webp_body += b"VP8L" + struct.pack("<IBI", 5, 0x2F, 16382 | 16382 << 14) + b"\x00"
    tags = [(256, 4, 30000), (257, 4, 30000), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, 30000), (279, 4, 900_000_000)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    bmp_info = struct.pack("<IiiHHIIiiII", 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "PNG": png(30000, 30000),
        "GIF": gif(30000, 30000, gif_frame(30000, 30000)),
        "GIF frame": gif(10, 10, gif_frame(60000, 60000)),
        "WEBP": b"RIFF" + struct.pack("<I", len(webp_body) + 4) + b"WEBP" + webp_body,
        "TIFF": struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags)) + entries + bytes(4),
        "BMP": b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bmp_info,
        "JPEG": _huge_jpeg(),
    }


def many_scans(picture: Image.Image, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times: every one takes its time, and few bytes."""
    data = encode(picture, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def _huge_jpeg() -> bytes:
    data = bytearray(encode(four_corners(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


def sign(words: str, ground: Image.Image) -> Image.Image:
    """Return the picture with a white panel that has the words on it."""
    picture, font = ground.copy(), ImageFont.load_default(28)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((30, 30), words, font=font)
    draw.rectangle((left - 12, top - 12, right + 12, bottom + 12), "white", "black", 2)
    draw.text((30, 30), words, "black", font)
    return picture
