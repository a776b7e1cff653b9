"""Proves that what is in a zip or a tar is listed or counted as left out, and read without filling memory."""

import gzip
import io
import struct
import tarfile
import tempfile
import tracemalloc
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets import archives
from engine.datasets.archives import list_archive
from engine.datasets.gzip_reader import GzipReader
from engine.datasets.member_names import likely_encoding
from engine.errors import MediaError, TooLargeError, UnreadableMediaError
from engine.types import Failure

LIMIT = 10_000_000


def zipped(path: Path, *files: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def tarred(path: Path, *files: tuple[str, bytes] | tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for file in files:
            info, content = (
                (file, b"") if isinstance(file, tarfile.TarInfo) else (tarfile.TarInfo(file[0]), file[1])
            )
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {entry.path: entry.read(LIMIT) for entry in list_archive(path, path.name).entries}


def left(path: Path) -> dict[str, int]:
    return {one.reason: one.count for one in list_archive(path, path.name).left_out}


SHARD = [
    (f"{number:04d}.{suffix}", f"{number} {suffix}".encode() * 100)
    for number in range(50)
    for suffix in ("jpg", "txt")
]


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz", "shard.tgz", "SHARD.TAR"])
def test_a_shard_is_read_where_it_lies(tmp_path, name):
    path = tarred(tmp_path / name, *SHARD)
    assert contents(path) == dict(SHARD)
    assert [one.name for one in tmp_path.rglob("*")] == [name]


def test_the_size_and_the_archive_of_a_member_are_told(tmp_path):
    (entry,) = list_archive(tarred(tmp_path / "s.tar", ("a.txt", b"words")), "up/s.tar").entries
    assert (entry.size_bytes, entry.within) == (5, "up/s.tar")
    with pytest.raises(TooLargeError):
        entry.read(4)


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "all.tar.gz"])
def test_a_member_can_be_read_in_parts(tmp_path, name):
    content = bytes(range(256)) * 20_000
    make = zipped if name.endswith("zip") else tarred
    _, entry = list_archive(make(tmp_path / name, ("a", b"A"), ("table.parquet", content)), name).entries
    with entry.open() as stream:
        assert stream.seek(-8, io.SEEK_END) == len(content) - 8
        assert stream.read() == content[-8:]
        stream.seek(300)
        assert stream.read(5) == content[300:305]
        stream.seek(0)
        assert stream.read() == content


def test_members_of_a_packed_tar_are_read_from_many_threads_in_any_order(tmp_path):
    path = tarred(tmp_path / "s.tar.gz", *SHARD)
    entries = list_archive(path, path.name).entries
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda entry: (entry.path, entry.read(LIMIT)), [*reversed(entries), *entries])
    assert dict(found) == dict(SHARD)


def test_any_range_of_a_gzip_of_several_streams_is_the_right_one(tmp_path):
    import random

    words = random.Random(0).randbytes(3_000_000)
    plain = words + bytes(9_000_000) + words[::-1]
    path = tmp_path / "x.gz"
    path.write_bytes(
        b"".join(gzip.compress(plain[at : at + 5_000_000]) for at in range(0, len(plain), 5_000_000))
        + bytes(700)
    )
    reader, draw = GzipReader(path), random.Random(1)
    for _ in range(25):
        offset, size = draw.randrange(len(plain) + 10), draw.randrange(200_000)
        assert reader.read_at(offset, size) == plain[offset : offset + size]
    assert reader.read_at(0, len(plain) + 1) == plain


@pytest.mark.parametrize("name", ["all.zip", "all.tar"])
def test_members_that_share_a_name_are_all_listed(tmp_path, name):
    same = [("same.png", bytes([number])) for number in range(5)]
    files = [*same, ("dir\\a.png", b"x"), ("dir/a.png", b"y"), ("same (2).png", b"z"), ("./same.png", b"w")]
    make = zipped if name.endswith("zip") else tarred
    with warnings.catch_warnings(action="ignore"):
        path = make(tmp_path / name, *files)
    found = contents(path)
    assert sorted(found.values()) == sorted(content for _, content in files)
    assert found["same.png"] == bytes([0])
    assert found["dir/a.png"] == b"x"
    assert found["same (2).png"] == b"z"
    (note,) = list_archive(path, name).notes
    assert note.startswith(f"{name}: 6 members have the name of one before them: each is taken, numbered as ")
    assert note.count(", same") == 2 and note.endswith(", …")


@pytest.mark.parametrize("name", ["all.zip", "all.tar"])
def test_an_archive_of_nothing_is_named(tmp_path, name):
    make = zipped if name.endswith("zip") else tarred
    [failed] = list_archive(make(tmp_path / name), name).failed
    assert failed == Failure(name, f"The {name[-3:]} holds no files.")
    listed = list_archive(make(tmp_path / name, (".hidden", b"x")), name)
    assert [one.reason for one in listed.failed] == [
        f"The {name[-3:]} holds no files but those that are left out."
    ]
    assert list_archive(make(tmp_path / name, ("a.txt", b"x")), name).failed == ()


def test_what_is_no_data_is_counted(tmp_path):
    files = [
        "a.jpg",
        "b/.DS_Store",
        ".hidden",
        "x/.git/config",
        "README.md",
        "__MACOSX/._a.jpg",
        "Thumbs.db",
        "in.zip",
        "in.tar",
    ]
    path = zipped(tmp_path / "all.zip", *((name, b"x") for name in files))
    listed = list_archive(path, "all.zip")
    assert [entry.path for entry in listed.entries] == ["a.jpg"]
    assert {
        one.reason.split(":")[0].split(" are")[0]: (one.count, one.examples) for one in listed.left_out
    } == {
        "Hidden files and folders": (3, ("b/.DS_Store", ".hidden", "x/.git/config")),
        "README and licence files": (1, ("README.md",)),
        "Files that only a system needs": (2, ("__MACOSX/._a.jpg", "Thumbs.db")),
        "Archives inside archives": (2, ("in.zip", "in.tar")),
    }


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_inside_a_tar_are_the_files_they_lead_to(tmp_path):
    path = tarred(
        tmp_path / "all.tar",
        link("snapshots/main/a.jpg", "../../blobs/abc"),
        ("blobs/abc", b"A"),
        link("hard/b.jpg", "blobs/abc", tarfile.LNKTYPE),
        link("chain.jpg", "snapshots/main/a.jpg"),
        link("outside.jpg", "../../etc/passwd"),
        link("absolute.jpg", "/etc/passwd"),
        link("circle.jpg", "circle.jpg"),
        link("missing.jpg", "nowhere"),
        link("pipe", "", tarfile.FIFOTYPE),
    )
    names = ["snapshots/main/a.jpg", "blobs/abc", "hard/b.jpg", "chain.jpg"]
    assert contents(path) == dict.fromkeys(names, b"A")
    assert left(path) == {archives.LINKS: 4, archives.NO_FILES: 1}


def test_links_inside_a_zip_are_no_texts(tmp_path):
    linked, lost = zipfile.ZipInfo("x/a.jpg"), zipfile.ZipInfo("b.jpg")
    for info in (linked, lost):
        info.create_system, info.external_attr = 3, 0o120777 << 16
    path = zipped(tmp_path / "all.zip", (linked, b"../real.jpg"), (lost, b"/etc/passwd"), ("real.jpg", b"R"))
    assert contents(path) == {"x/a.jpg": b"R", "real.jpg": b"R"}
    assert left(path) == {archives.LINKS: 1}


def test_members_filled_up_with_zeros_are_left_out_unread(tmp_path):
    """The zip of 3.7 MB with pictures that are each followed by 199 MB of zeros, at a tenth of that."""
    files = [(f"{number}.jpg", bytes([number]) * 9_000 + bytes(20_000_000)) for number in range(3)]
    path = zipped(tmp_path / "bomb.zip", *files, ("fine.jpg", b"F"))
    tracemalloc.start()
    assert contents(path) == {"fine.jpg": b"F"}
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
    assert left(path) == {archives.BOMBS: 3}


def test_many_small_members_filled_up_are_left_out_from_some_size_on(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL_ARCHIVE_BYTES", 10_000)
    path = zipped(tmp_path / "bomb.zip", *((f"{number}.txt", bytes(100_000)) for number in range(20)))
    most = 200 * path.stat().st_size // 100_000
    assert 0 < most < 20
    assert left(path) == {archives.TOO_MUCH: 20 - most}


def test_a_packed_tar_is_listed_until_it_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.datasets.tars.SMALL_ARCHIVE_BYTES", 10_000)
    path = tarred(tmp_path / "bomb.tar.gz", *((f"{number}.txt", bytes(100_000)) for number in range(60)))
    listed = list_archive(path, path.name)
    assert 0 < len(listed.entries) < 60
    said = f"of its members the first {len(listed.entries)} are read."
    assert listed.failed[0].reason == f"It unpacks to more than 200 times its size: {said}"


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_a_tar_that_breaks_off_gives_what_came_before(tmp_path, name):
    path = tarred(tmp_path / name, *((f"{number}.jpg", bytes(range(256)) * 40) for number in range(40)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    listed = list_archive(path, name)
    read = []
    for entry in listed.entries:
        try:
            read.append(entry.read(LIMIT))
        except UnreadableMediaError as error:
            assert "ends before" in error.reason or "cut off" in error.reason
    assert 10 < len(read) < 40
    assert set(read) == {bytes(range(256)) * 40}
    assert listed.failed[0].reason.startswith("It breaks off (")


def test_a_header_that_is_broken_on_the_way_is_no_end(tmp_path):
    path = tarred(tmp_path / "s.tar", ("a.txt", b"A"), ("b.txt", b"B"), ("c.txt", b"C"))
    data = bytearray(path.read_bytes())
    data[1024 + 3] ^= 1  # in the name of the second
    path.write_bytes(data)
    listed = list_archive(path, "s.tar")
    assert [entry.path for entry in listed.entries] == ["a.txt"]
    assert listed.failed[0].reason == (
        "It breaks off (a header is broken): of its members the first 1 are read."
    )


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(40), bytes(511)])
def test_a_broken_tar_is_named(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    (failure,) = list_archive(tmp_path / "x.tar", "x.tar").failed
    assert failure.reason.startswith("The tar cannot be read: ")


def test_a_header_that_would_fill_memory_is_refused(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 60_000_000
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.writelines(bytes(1 << 20) for _ in range(60))
    tracemalloc.start()
    (failure,) = list_archive(path, path.name).failed
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert "too long" in failure.reason


def a_tar(mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        for name in ("a.txt", "caf\u00e9" * 40, "b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 600
            archive.addfile(info, io.BytesIO(b"w" * 600))
        archive.addfile(link("l.txt", "a.txt"))
    return out.getvalue()


TARS = {"w": a_tar("w"), "w:gz": a_tar("w:gz")}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(sorted(TARS)),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=5),
    cut=st.floats(0.1, 1),
)
def test_damaged_tars_raise_nothing_but_media_errors(mode, flips, cut):
    data = bytearray(TARS[mode])
    for at, value in flips:
        data[int(at * len(data))] = value
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data[: int(cut * len(data))])
        file.flush()
        for entry in list_archive(Path(file.name), "x.tar").entries:
            try:
                entry.read(LIMIT)
            except MediaError as error:
                assert error.reason


def with_raw_names(path: Path, names: list[bytes]) -> Path:
    """Make a zip whose names are these bytes, without the mark that they are UTF-8."""
    placeholders = [f"{number:03d}".encode().ljust(len(name), b"x") for number, name in enumerate(names)]
    zipped(path, *((name.decode(), name) for name in placeholders))
    data = path.read_bytes()
    for placeholder, name in zip(placeholders, names, strict=True):
        head, body, tail = data.partition(b"PK\x01\x02")
        data = head.replace(placeholder, name, 1) + body + tail.replace(placeholder, name, 1)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("names", "encoding", "said"),
    [
        (["写真/猫.jpg", "写真/テスト01.jpg", "plain.jpg"], "cp932", "cp932 (Japanese)"),
        (["さくら (2).jpg"], "cp932", "cp932 (Japanese)"),
        (
            ["été à la plage.jpg", "Größe.jpg", "niño.jpg", "Straße.jpg"],
            "cp1252",
            "cp1252 (Western European)",
        ),
        (["café.jpg"], "cp1252", "cp1252 (Western European)"),
        (["München.jpg", "schön.jpg", "café.jpg"], "cp437", "cp437"),
        (["写真/猫.jpg", "été.jpg", "книга.jpg"], "utf-8", "UTF-8"),
    ],
)
def test_names_of_a_zip_are_decoded_by_their_likely_encoding_and_that_is_said(
    tmp_path, names, encoding, said
):
    path = with_raw_names(tmp_path / "old.zip", [name.encode(encoding) for name in names])
    listed = list_archive(path, "old.zip")
    assert [entry.path for entry in listed.entries] == names
    guessed = sum(not name.isascii() for name in names)
    assert listed.notes == (
        f"old.zip: {guessed} names in the zip do not say how they are encoded: read as {said}.",
    )
    assert all(
        len(entry.read(LIMIT)) == len(name.encode(encoding))
        for entry, name in zip(listed.entries, names, strict=True)
    )


def test_names_that_say_their_encoding_are_left_as_they_are(tmp_path):
    path = zipped(tmp_path / "new.zip", ("写真/été.jpg", b"x"))
    listed = list_archive(path, "new.zip")
    assert [entry.path for entry in listed.entries] == ["写真/été.jpg"]
    assert listed.notes == ()


def test_a_name_that_stands_in_an_extra_field_too_is_taken_from_there(tmp_path):
    name = "写真.jpg".encode()
    info = zipfile.ZipInfo("plain.jpg")
    body = struct.pack("<BL", 1, zlib.crc32(b"plain.jpg")) + name
    info.extra = struct.pack("<HH", 0x7075, len(body)) + body
    path = zipped(tmp_path / "extra.zip", (info, b"x"))
    assert list(contents(path)) == ["写真.jpg"]


@pytest.mark.parametrize("raw", [b"\xff", b"\x81", b"\x80\x81\xfe\xff" * 3, b"\xe9", b"a\xffb"])
def test_any_name_is_decoded_by_some_encoding(raw):
    raw.decode(likely_encoding([raw]))
