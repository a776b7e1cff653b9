"""Proves that files are decoded at once and in order, that none costs another, and all of it can be sent."""

from __future__ import annotations

import pickle
import threading
from functools import partial

import pytest

from engine.errors import EmptyFileError, MediaError, TooLargeError, UnknownFormatError, UnreadableMediaError
from engine.media.decode import Probe, probe
from engine.media.decoder import Decoder
from engine.media.parts import Limits
from engine.media.sources import Source, read_file
from engine.types import MediaItem
from tests.helpers import contact_sheet
from tests.helpers.data import jpeg, mixed_sources, source

LIMITS = Limits(1_000_000, 320)


def parts_of(probed: Probe, parts: list[MediaItem]) -> list[MediaItem]:
    return parts


def test_results_come_in_order_with_the_errors_in_their_places():
    found = mixed_sources(9).sources
    with Decoder(LIMITS, threads=3) as decoder:
        probes = list(decoder.probe(found))
        good = [one for one in probes if isinstance(one, Probe)]
        made = list(decoder.decode(good, parts_of))
    assert len(probes) == len(found) and isinstance(probes[1], EmptyFileError)
    names = [one.source.name for one in good]
    assert [one[0].item.name for one in made if isinstance(one, list)] == [
        name for name in names if not name.startswith("bad")
    ]
    failed = [name for name, one in zip(names, made, strict=True) if isinstance(one, MediaError)]
    assert failed == ["bad3.jpg"]


def test_what_follows_is_done_before_the_next_file_is_decoded(monkeypatch):
    open_files, most = [], []

    def decoded(probed, limits, cancelled):
        open_files.append(probed)
        most.append(len(open_files))
        return []

    def then(probed, parts):
        open_files.remove(probed)
        return threading.current_thread().name

    monkeypatch.setattr("engine.media.decoder.parts_of", decoded)
    probes = [probe(source(f"{n}.jpg", jpeg(n, 16))) for n in range(20)]
    with Decoder(LIMITS, threads=2) as decoder:
        names = set(decoder.decode(probes, then))
    assert max(most) <= 2 and names and all(name.startswith("decode") for name in names)


def test_an_error_of_ours_is_not_taken_for_one_of_the_file():
    def wrong(probed, parts):
        raise ZeroDivisionError

    with Decoder(LIMITS, threads=1) as decoder, pytest.raises(ZeroDivisionError):
        list(decoder.decode([probe(source("a.jpg", jpeg(1, 16)))], wrong))


def test_what_goes_in_and_comes_out_can_be_sent_to_another_process(tmp_path, monkeypatch):
    contact_sheet.register(monkeypatch)
    path = tmp_path / "a.sheet"
    path.write_bytes(contact_sheet.sheet(jpeg(1, 32), b"\xff\xd8\xff broken"))
    given = Source("a.sheet", partial(read_file, path, 10**6), ("words",), ("label",), (("year", 1999),))
    (probed,) = Decoder(LIMITS, threads=1).probe([given])
    sent, limits = pickle.loads(pickle.dumps((probed, LIMITS)))
    assert sent == probed and limits == LIMITS and sent.source.captions == ("words",)
    parts = Decoder(limits, threads=1).parts(sent)
    back = pickle.loads(pickle.dumps(parts))
    assert [one.item for one in back] == [one.item for one in parts] and len(back) == 2
    assert back[0].content.tobytes() == parts[0].content.tobytes()
    assert (type(back[1].content), str(back[1].content)) == (UnreadableMediaError, str(parts[1].content))


@pytest.mark.parametrize(
    "error",
    [
        MediaError("It is no picture."),
        EmptyFileError(),
        UnknownFormatError("PDF is not read."),
        TooLargeError("The file", 12.0, 10.0, "MB", "GAPSCOPE_MAX_FILE_MB"),
    ],
)
def test_errors_come_back_as_they_were(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and vars(back) == vars(error) and str(back) == str(error) == back.reason
