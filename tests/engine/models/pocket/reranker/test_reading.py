"""Proves that text is read behind a gate, offline, and that a missing or broken rapidocr is named."""

from __future__ import annotations

import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image

from engine.errors import WeightsError
from engine.media.images import open_image
from engine.models.pocket.recipe import package_file
from engine.models.pocket.reranker import reading
from engine.models.pocket.reranker.reading import Reader
from engine.models.pocket.reranker.recipe import RECIPE
from engine.settings import PROJECT_DIR
from tests.helpers.pictures import sign

PHOTO = PROJECT_DIR / "sample_data" / "photos" / "giant-panda.jpg"
PARTS = ("detector", "recogniser")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return open_image(PHOTO.read_bytes(), max_pixels=10**8)[0]


def altered(monkeypatch: pytest.MonkeyPatch, part: str, **changes: str) -> None:
    text = {**RECIPE.text, part: {**RECIPE.text[part], **changes}}
    monkeypatch.setattr(reading, "RECIPE", replace(RECIPE, text=text))


@pytest.mark.parametrize("ground", ["white", "lightyellow", "steelblue"])
@pytest.mark.parametrize("words", ["EXIT", "NO SMOKING", "Platform 9"])
def test_words_are_read(reader, words, ground):
    lines = reader.read(sign(words, Image.new("RGB", (400, 240), ground)))
    assert " ".join(lines).lower().replace(" ", "") == words.lower().replace(" ", "")


def test_an_ordinary_photograph_stops_at_the_gate(reader, photo, monkeypatch):
    monkeypatch.setattr(reader, "_full", lambda *_, **__: pytest.fail("it was read in full"))
    assert not reader.has_text(photo)
    assert reader.read(photo) == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (7, 3000), (30, 30), (3000, 2000)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_a_picture_of_any_shape_without_text_has_none(reader, size, colour):
    assert reader.read(Image.new("RGB", size, colour)) == ()


def test_stray_marks_are_no_text():
    kept = [one for one in ("A", "-", "..", "OK", "日本", "№5", "") if reading._is_text(one)]
    assert kept == ["OK", "日本"]


@pytest.mark.slow
def test_threads_read_the_same(reader, photo):
    pictures = [sign(words, photo) for words in ("EXIT", "HOTEL")] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reader.read, pictures)) == [reader.read(one) for one in pictures[:2]] * 3


def test_nothing_is_asked_of_the_network(monkeypatch):
    """Also where a weight file is not what rapidocr expects, it must not fetch another one."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert Reader().read(sign("OFFLINE", Image.new("RGB", (400, 200), "white"))) == ("OFFLINE",)


def test_reading_writes_nothing_and_logs_nothing(reader, photo, capfd, caplog):
    reader.read(sign("EXIT", photo))
    reader.read(Image.new("RGB", (64, 64)))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_file_names_the_package(monkeypatch, part):
    altered(monkeypatch, part, weights="no-such.onnx")
    with pytest.raises(WeightsError, match=r"no-such.onnx of the package rapidocr, which is not installed"):
        Reader()


def test_a_missing_package_is_named(monkeypatch):
    altered(monkeypatch, "detector", package="no_rapidocr")
    with pytest.raises(WeightsError, match=r"package no-rapidocr, which is not installed. Install what"):
        Reader()


@pytest.mark.parametrize("part", PARTS)
def test_a_torn_file_is_refused_before_it_is_opened(monkeypatch, tmp_path, part):
    folder = tmp_path / "torn_rapidocr" / "models"
    folder.mkdir(parents=True)
    file = package_file(RECIPE.text[part], "weights")
    shutil.copy(file, folder)
    with (folder / file.name).open("r+b") as stream:
        stream.truncate(1000)
    monkeypatch.syspath_prepend(tmp_path)
    altered(monkeypatch, part, package="torn_rapidocr")
    with pytest.raises(WeightsError, match=r"SHA-256 .* is wanted. Reinstall the package torn-rapidocr"):
        Reader()


def test_a_package_that_cannot_be_imported_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rapidocr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)  # what rapidocr itself needs
    with pytest.raises(WeightsError, match=r"rapidocr cannot be imported .* Install what requirements.txt"):
        Reader()
