"""The bundled photographs are small, real, captioned, and each has its author and licence."""

from __future__ import annotations

import io

from PIL import Image

from engine.ingest.samples import fingerprint, list_samples
from tests.helpers.data import SAMPLES, sample_rows


def test_rows_match_the_files_one_to_one():
    names = [sample.file_name for sample in list_samples()]
    files = {path.relative_to(SAMPLES).as_posix() for path in (SAMPLES / "photos").iterdir()}
    assert len(names) == len(set(names)) and set(names) == files


def test_rows_match_the_licences_one_to_one():
    lines = (SAMPLES / "LICENSES.md").read_text("utf-8").splitlines()
    credited = [line.split("|")[1].strip(" `") for line in lines if line.startswith("| photos/")]
    assert sorted(credited) == sorted(sample.file_name for sample in list_samples())


def test_every_photograph_has_a_caption_an_author_and_a_licence():
    for sample in list_samples():
        assert sample.caption.strip() and sample.labels, sample
        assert sample.author.strip() and sample.source.strip() and sample.licence.strip(), sample


def test_there_are_enough_and_they_are_small():
    samples = list_samples()
    assert len(samples) >= 120
    assert len({sample.labels[0] for sample in samples}) >= 12
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) <= 25_000_000


def test_every_file_opens_as_a_jpeg():
    for sample in list_samples():
        with Image.open(io.BytesIO((SAMPLES / sample.file_name).read_bytes()), formats=["JPEG"]) as picture:
            picture.load()
            assert picture.mode in ("RGB", "L")


def test_no_two_files_are_the_same_bytes():
    contents = [(SAMPLES / row["file_name"]).read_bytes() for row in sample_rows()]
    assert len(set(contents)) == len(contents)


def test_the_fingerprint_is_stable():
    assert fingerprint() == fingerprint() and len(fingerprint()) == 64
