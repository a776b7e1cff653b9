"""Proves that a process of its own decodes the same, within limits, and that nothing hostile gets out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import TooLargeError, UnknownFormatError, UnreadableMediaError
from engine.media.decode import probe
from engine.media.decoder import Decoder, open_picture, parts_of
from engine.media.images import read_picture
from engine.media.parts import Limits
from engine.media.processes import Budget, Processes, _started, never
from engine.progress import CancelledError
from engine.settings import PROJECT_DIR
from tests.helpers.data import jpeg, source
from tests.helpers.pictures import FORMATS, encode, four_corners, header_bombs, many_scans

LIMITS = Limits(100_000_000, 320, 60.0, 1e9)
ALL = "image/jpeg"


@pytest.fixture
def processes():
    made = Processes(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A small file that takes many seconds: every scan of it goes over four megapixels."""
    return many_scans(Image.effect_noise((2000, 2000), 9).convert("RGB"), 400)


def pids(processes: Processes) -> list[int]:
    return [one._process.pid for one in processes._idle]


@pytest.mark.parametrize("format_", FORMATS)
def test_it_gives_the_same_as_decoding_here(format_):
    data = encode(four_corners(900, 600), format_)
    here = read_picture(data, LIMITS)
    [apart] = parts_of(probe(source("x", data)), LIMITS)
    assert apart.content.tobytes() == here.content.tobytes() and apart.content.mode == "RGB"
    assert (apart.item.width_px, apart.item.height_px, apart.notes) == (900, 600, here.notes)


def test_errors_come_back_as_they_are(processes):
    for data, error in ((header_bombs()["PNG"], TooLargeError), (jpeg(1)[:300], UnreadableMediaError)):
        with pytest.raises(error) as caught:
            processes.decode(probe(source("x", data)).mime, data, LIMITS, never)
        with pytest.raises(error) as here:
            read_picture(data, LIMITS)
        assert str(caught.value) == str(here.value)
    assert len(pids(processes)) == 1


def test_a_process_is_used_again_and_imports_nothing_heavy(processes):
    processes.decode(ALL, jpeg(1), LIMITS, never)
    [first] = pids(processes)
    processes.decode(ALL, jpeg(2), LIMITS, never)
    assert pids(processes) == [first]
    maps = Path(f"/proc/{first}/maps")
    if maps.exists():
        loaded = maps.read_text()
        assert "PIL" in loaded
        assert not [one for one in ("torch", "chromadb", "onnxruntime", "pyarrow", "heif") if one in loaded]


def test_a_file_that_takes_too_long_is_given_up_and_named_and_the_next_one_is_decoded(processes, slow):
    with pytest.raises(UnreadableMediaError, match=r"after 0\.2 s.*GAPSCOPE_DECODE_SECONDS"):
        processes.decode(ALL, slow, Limits(10**8, 320, 0.2), never)
    assert pids(processes) == []
    assert processes.decode(ALL, jpeg(1), LIMITS, never)[0][0].width_px == 96


def test_one_that_stands_still_is_given_up_by_the_clock(processes, monkeypatch):
    processes.decode(ALL, jpeg(1), LIMITS, never)
    [pid] = pids(processes)
    monkeypatch.setattr("engine.media.processes._START_SECONDS", 0.0)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(UnreadableMediaError, match="GAPSCOPE_DECODE_SECONDS"):
        processes.decode(ALL, jpeg(1), Limits(10**8, 320, 0.05), never)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_file_that_takes_too_much_memory_is_named_and_the_process_goes_on(processes, format_):
    data = encode(Image.new("RGB", (5000, 5000)), format_)
    processes.decode(ALL, jpeg(1), LIMITS, never)
    mime = probe(source("x", data)).mime
    with pytest.raises(UnreadableMediaError, match=r"20 MB.*GAPSCOPE_DECODE_MEMORY_MB"):
        processes.decode(mime, data, Limits(10**8, None, 60.0, 2e7), never)
    assert len(pids(processes)) == 1
    assert processes.decode(mime, data, LIMITS, never)[0][0].width_px == 5000


def test_a_killed_process_is_replaced_and_its_file_tried_once_more(processes, slow, monkeypatch):
    made, start = [], _started

    def started():
        made.append(start())
        return made[-1]

    def kill() -> None:
        for number in range(2):
            while len(made) <= number:
                time.sleep(0.01)
            time.sleep(0.3)
            os.kill(made[number]._process.pid, signal.SIGKILL)

    monkeypatch.setattr("engine.media.processes._started", started)
    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(kill)
        with pytest.raises(UnreadableMediaError, match=r"ended without an answer \(signal 9\)"):
            processes.decode(ALL, slow, LIMITS, never)
        killed.result()
    assert len(made) == 2
    assert processes.decode(ALL, jpeg(1), LIMITS, never)[0][0].width_px == 96


def test_one_that_was_killed_while_it_waited_costs_no_file(processes):
    for _ in range(2):
        processes.decode(ALL, jpeg(1), LIMITS, never)
        os.kill(pids(processes)[0], signal.SIGKILL)


def test_a_cancel_is_heard_in_the_middle_of_a_file(processes, slow):
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        processes.decode(ALL, slow, LIMITS, stop.is_set)
    with pytest.raises(UnreadableMediaError):  # it would have gone on
        processes.decode(ALL, slow, Limits(10**8, 320, 2 * (time.monotonic() - started)), never)


def test_who_waits_for_a_process_or_for_memory_hears_a_cancel_too(slow):
    stop = threading.Event()
    one = Processes(1)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(one.decode, ALL, slow, LIMITS, stop.is_set) for _ in range(2)]
        time.sleep(0.2)
        stop.set()
        for future in waiting:
            with pytest.raises(CancelledError):
                future.result(30)
    one.close()
    budget = Budget()
    with budget.take(100, 100, never), pytest.raises(CancelledError), budget.take(1, 100, lambda: True):
        pass
    with budget.take(10**9, 100, never):  # more than there is: all of it
        pass
    assert budget._taken == 0


def test_memory_is_shared_out_in_turn_and_never_exceeded():
    budget, order = Budget(), []
    most: list[float] = []

    def use(number: int, needed: int) -> None:
        with budget.take(needed, 100, never):
            order.append(number)
            most.append(budget._taken)
            time.sleep(0.02)

    with ThreadPoolExecutor(5) as threads, budget.take(60, 100, never):
        for number, needed in enumerate((90, 10, 30, 100, 5)):  # the first one is not overtaken for ever
            threads.submit(use, number, needed)
            while len(budget._waiting) < number + 1:
                time.sleep(0.001)
    assert order[0] == 0 and len(order) == 5 and max(most) <= 100


def test_large_files_are_decoded_one_after_the_other_where_memory_is_for_one(processes, monkeypatch):
    taken: list[float] = []
    take = Budget.take

    def watched(self, needed, most, cancelled):
        taken.append(needed)
        assert self._taken <= most
        return take(self, needed, most, cancelled)

    monkeypatch.setattr(Budget, "take", watched)
    data = encode(Image.new("RGBA", (2000, 2000), (9, 200, 9, 40)))
    with ThreadPoolExecutor(2) as threads:
        limits = Limits(10**8, 320, 60.0, 6e7)
        found = list(threads.map(lambda _: processes.decode("image/png", data, limits, never), range(4)))
    assert taken == [2000 * 2000 * 12] * 4 and all(parts[0].width_px == 2000 for parts, _ in found)


def test_what_libraries_write_comes_back_with_the_file(capfd):
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
    warned = probe(source("a.jpg", encode(four_corners(), "JPEG", exif=exif)))
    tiff = encode(four_corners(300, 200), "TIFF", compression="tiff_lzw")
    broken = probe(source("a.tif", tiff[:100] + bytes(400) + tiff[500:]))
    with Decoder(LIMITS, threads=2) as decoder:
        (first,), quiet = decoder.parts(warned), decoder.parts(probe(source("b.jpg", jpeg(1))))
    assert dict(first.notes)["warned"].startswith("Corrupt EXIF")
    assert quiet[0].notes == ()
    with pytest.raises(UnreadableMediaError):
        parts_of(broken, LIMITS)
    out = capfd.readouterr()
    assert out.err == "" and out.out == ""


def test_more_than_a_pipe_holds_is_lost_and_nobody_waits():
    program = """
import os
from engine.media import worker
ear, lost = worker._listen(), 0
for _ in range(3000):
    try:
        os.write(2, b"warning " * 20)
    except BlockingIOError:
        lost += 1
assert lost and len("".join(worker._heard(ear))) == worker._HEARD_BYTES
"""
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_DIR, timeout=60, check=True)


def test_a_process_ends_with_the_one_that_asked(tmp_path):
    program = (
        "import os\nfrom engine.media.processes import PROCESSES, never\n"
        "from engine.media.parts import Limits\n"
        f"data = open({str(tmp_path / 'a.jpg')!r}, 'rb').read()\n"
        "PROCESSES.decode('image/jpeg', data, Limits(10**6), never)\n"
        "print(PROCESSES._idle[0]._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )
    pid = int(done.stdout)
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2:3]:
            return  # ended, and waiting for somebody to hear of it
        time.sleep(0.02)
    raise AssertionError(f"process {pid} goes on")


def test_a_question_with_a_picture_goes_the_same_way(slow):
    with pytest.raises(UnreadableMediaError, match="GAPSCOPE_DECODE_SECONDS"):
        open_picture(slow, Limits(10**8, 320, 0.2))
    assert open_picture(jpeg(1), LIMITS).size == (96, 96)
    with pytest.raises(UnknownFormatError, match="words"):
        open_picture(b"words", LIMITS)
    assert np.asarray(open_picture(encode(four_corners()), LIMITS)).shape == (48, 64, 3)
