"""Proves that the bytes that are read at once, and in a run, are bounded whatever the files are."""

from dataclasses import replace
from typing import Self

from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.budget import batches, within
from engine.media.sources import Source, SourceList
from engine.types import Failure, LeftOut
from tests.helpers.data import jpeg


def sources(*sizes: int) -> tuple[Source, ...]:
    return tuple(Source(f"{number}.jpg", bytes, size_bytes=size) for number, size in enumerate(sizes))


@given(
    sizes=st.lists(st.integers(0, 20), max_size=40), files=st.integers(1, 10), max_bytes=st.integers(1, 30)
)
def test_batches_hold_every_source_once_and_keep_both_limits(sizes, files, max_bytes):
    given = sources(*sizes)
    cut = batches(given, files=files, max_bytes=max_bytes)
    assert [source for batch in cut for source in batch] == list(given)
    for batch in cut:
        assert 1 <= len(batch) <= files
        assert len(batch) == 1 or sum(source.size_bytes for source in batch) <= max_bytes


def test_files_beyond_the_limit_of_a_run_are_counted():
    found = SourceList(sources(400_000_000, 600_000_000, 1, 0), (Failure("x", "y"),), notes=("said",))
    assert within(found, 1_000_000_001) is found
    cut = within(found, 1_000_000_000)
    assert (cut.sources, cut.failed, cut.notes) == (found.sources[:2], found.failed, ("said",))
    reason = "One run reads at most 1 GB (GAPSCOPE_MAX_RUN_GB)."
    assert cut.left_out == (LeftOut(reason, 2, ("2.jpg", "3.jpg")),)


class Alive(bytes):
    """The bytes of a file, which tell how many of them are in memory."""

    now, most = 0, 0

    def __new__(cls, content: bytes) -> Self:
        cls.now += 1
        cls.most = max(cls.most, cls.now)
        return super().__new__(cls, content)

    def __del__(self) -> None:
        Alive.now -= 1


def test_only_a_few_large_files_are_in_memory_at_once(workspace, monkeypatch):
    monkeypatch.setattr("engine.ingest.files.BATCH_BYTES", 10_000_000)
    size = 5_000_000
    found = tuple(
        Source(f"{n}.jpg", lambda n=n: Alive(jpeg(n).ljust(size, b"\0")), size_bytes=size) for n in range(16)
    )
    assert workspace.ingest("photos", SourceList(found)).stored == 16
    assert (Alive.now, Alive.most) == (0, 2)  # 16 where a batch is a number of files


def test_what_was_left_out_and_noted_before_is_in_the_report(workspace):
    left, notes = (LeftOut("Hidden.", 2, (".a", ".b")),), ("Read as cp932.",)
    source = Source("a.jpg", lambda: jpeg(1), size_bytes=10)
    report = workspace.ingest("photos", SourceList((source, replace(source, size_bytes=0)), (), left, notes))
    copy = "1 file is the same as another of these and was taken once: a.jpg."
    assert (report.left_out, report.notes, report.stored) == (left, (copy, *notes), 1)
