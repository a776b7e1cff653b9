"""Date and camera of a picture come from its EXIF, cleaned and bounded, and nothing else of it does."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.media.decode import decode, probe
from engine.media.exif import exif_columns
from engine.media.parts import Limits
from engine.storage.conditions import read_conditions
from engine.types import Filters
from tests.helpers.data import source, sources

DETAILS, PLACE = 0x8769, 0x8825


def picture_with(format_: str = "JPEG", *, details: dict | None = None, **tags: object) -> bytes:
    """Return a small picture whose EXIF has these tags, as hexadecimal names: t010f="Canon"."""
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[int(tag[1:], 16)] = value
    exif[DETAILS], exif[PLACE] = details or {}, {1: "N", 2: (52.0, 22.0, 12.0)}
    out = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(out, format_, exif=exif.tobytes())
    return out.getvalue()


TAKEN = {0x9003: "2024:05:31 14:02:09"}


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_format_tells_when_and_with_what(format_):
    from pillow_heif import register_heif_opener

    register_heif_opener()
    data = picture_with(format_, details=TAKEN, t010f="FUJIFILM", t0110="X-T5")
    assert exif_columns(data) == (("camera", "FUJIFILM X-T5"), ("taken", "2024-05-31T14:02:09"))


@pytest.mark.parametrize(
    ("details", "taken"),
    [
        (TAKEN, "2024-05-31T14:02:09"),
        (TAKEN | {0x9011: "+02:00"}, "2024-05-31T14:02:09+02:00"),
        (TAKEN | {0x9011: "Berlin"}, "2024-05-31T14:02:09"),
        ({0x9004: "2020:01:02 03:04:05"}, "2020-01-02T03:04:05"),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "2020:01:02 03:04:05"}, "2020-01-02T03:04:05"),
        ({0x9003: "2024:02:31 00:00:00"}, None),
        ({0x9003: "0001:01:01 00:00:00"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "yesterday"}, None),
        ({}, None),
    ],
)
def test_a_date_is_one_or_is_left_out(details, taken):
    said = dict(exif_columns(picture_with(details=details, t0132="2026:01:01 00:00:00")))
    assert said.get("taken") == taken  # when the file was changed last is no such date


@pytest.mark.parametrize(
    ("maker", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("Apple\0\0", "  iPhone \n 15 ", "Apple iPhone 15"),
        ("", "Scanner", "Scanner"),
        ("Leica", "", "Leica"),
        ("a\x07b", "gpj\x1b.exe", "ab gpj.exe"),
        ("m" * 9_000, "n" * 9_000, f"{'m' * 60} {'n' * 60}"),
    ],
)
def test_a_camera_is_named_once_and_cleaned(maker, model, camera):
    data = picture_with("PNG", t010f=maker, t0110=model)
    assert exif_columns(data) == (("camera", camera),)


def test_a_place_never_comes_along():
    item = decoded(picture_with(details=TAKEN, t010f="Canon", t010e="a description", t013b="a person"))
    assert item.metadata == (("camera", "Canon"), ("taken", "2024-05-31T14:02:09"))
    assert "52" not in repr(item.metadata)


def decoded(data: bytes, **more: object):
    probed = probe(source("a.jpg", data))
    probed = replace(probed, source=replace(probed.source, **more))
    return decode(probed, Limits(10**6))[0].item


def test_what_the_data_set_says_goes_first():
    data = picture_with(details=TAKEN, t010f="Canon")
    item = decoded(data, metadata=(("split", "train"), ("taken", "1999-01-01")))
    assert dict(item.metadata) == {"camera": "Canon", "split": "train", "taken": "1999-01-01"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@given(st.binary(max_size=400), st.integers(0, 3))
def test_hostile_exif_costs_nothing(noise, kind):
    head = [b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"][kind]
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "JPEG", exif=head + noise)
    assert all(len(str(value)) <= 200 for _, value in exif_columns(out.getvalue()))
    assert exif_columns(noise) == ()


def test_a_png_is_not_decoded_for_it(monkeypatch: pytest.MonkeyPatch):
    from PIL.PngImagePlugin import PngImageFile

    data = picture_with("PNG", t010f="Canon")
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("decoded"))
    assert exif_columns(data) == (("camera", "Canon"),)


def test_columns_of_exif_can_be_filtered_by(tmp_path: Path, workspace):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, year in (("old", 2019), ("new", 2024)):
        data = picture_with(details={0x9003: f"{year}:05:31 14:02:09"}, t010f="Canon")
        (folder / f"{name}.jpg").write_bytes(data)
    workspace.ingest("mine", sources([folder]))
    kinds = workspace.folder.matching.kinds("mine")
    assert (kinds["taken"], kinds["camera"]) == ("date", "text")
    conditions = read_conditions(["taken>=2020", "camera~canon"], kinds)
    kept, rows = workspace.folder.matching.rows("mine", Filters(conditions=conditions))
    [found] = kept.parts["image"].items(kept.parts["image"].ids_of(rows["image"]))
    assert found.name == "new.jpg"
