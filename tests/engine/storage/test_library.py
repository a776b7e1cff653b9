"""Proves that media are saved whole or not at all, inside the data folder; disk trouble is named."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.disk import check_space, folder_error
from engine.errors import FolderError, GapscopeError, MediaError
from engine.media.images import SUFFIXES
from engine.storage.library import Library

DATA = b"picture bytes" * 1000
MEDIA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "data")


def files(library: Library) -> list[str]:
    return sorted(path.name for path in library.data_dir.rglob("*") if path.is_file())


def test_what_was_saved_is_found(library):
    library.save(MEDIA, "image/png", DATA, b"thumb")
    assert library.media_path(MEDIA, "image/png").read_bytes() == DATA
    assert library.thumbnail_path(MEDIA).read_bytes() == b"thumb"
    assert files(library) == [f"{MEDIA}.png", f"{MEDIA}.webp"]


@pytest.mark.parametrize("mime", SUFFIXES)
def test_what_was_deleted_is_gone(library, mime):
    library.save(MEDIA, mime, DATA, b"thumb")
    library.delete(MEDIA)
    library.delete(MEDIA)
    assert files(library) == []


def test_a_webp_and_its_thumbnail_do_not_share_a_file(library):
    library.save(MEDIA, "image/webp", DATA, b"thumb")
    assert library.media_path(MEDIA, "image/webp").read_bytes() == DATA
    assert library.thumbnail_path(MEDIA).read_bytes() == b"thumb"


def test_a_medium_that_cannot_be_drawn_has_no_thumbnail(library):
    library.save(MEDIA, "image/png", DATA, b"")
    assert files(library) == [f"{MEDIA}.png"]
    library.delete(MEDIA)
    assert files(library) == []


def test_deleting_one_leaves_the_others(library):
    library.save(MEDIA, "image/png", DATA, b"t")
    other = "ab" + MEDIA[2:]
    library.save(other, "image/png", DATA, b"t")
    library.delete(MEDIA)
    assert files(library) == [f"{other}.png", f"{other}.webp"]


def test_the_same_content_is_written_once(library):
    library.save(MEDIA, "image/png", DATA, b"thumb")
    before = library.media_path(MEDIA, "image/png").stat()
    library.save(MEDIA, "image/png", DATA, b"thumb")
    assert library.media_path(MEDIA, "image/png").stat().st_ino == before.st_ino


def test_half_a_file_of_an_earlier_crash_is_written_anew(library):
    library.save(MEDIA, "image/png", DATA, b"thumb")
    library.media_path(MEDIA, "image/png").write_bytes(DATA[:100])
    library.save(MEDIA, "image/png", DATA, b"thumb")
    assert library.media_path(MEDIA, "image/png").read_bytes() == DATA


HOSTILE = ["", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "a" * 65, MEDIA.upper(), MEDIA + "\n"]
HOSTILE += ["../" * 21 + "a", "\0" * 64, "." * 64, "/" * 64, MEDIA[:-1] + "/", "٣" * 64]


@pytest.mark.parametrize("media", HOSTILE)
def test_an_id_that_is_no_hash_never_becomes_a_path(library, media):
    for use in (
        lambda: library.media_path(media, "image/png"),
        lambda: library.thumbnail_path(media),
        lambda: library.save(media, "image/png", DATA, b""),
        lambda: library.delete(media),
    ):
        with pytest.raises(GapscopeError, match="not the hash of a medium"):
            use()
    assert files(library) == []


def test_every_path_is_inside_the_data_folder(library):
    for mime in SUFFIXES:
        assert library.media_path(MEDIA, mime).resolve().is_relative_to(library.data_dir.resolve())


def test_many_threads_save_the_same_content(library):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: library.save(MEDIA, "image/png", DATA, b"thumb"), range(200)))
    assert files(library) == [f"{MEDIA}.png", f"{MEDIA}.webp"]
    assert library.media_path(MEDIA, "image/png").read_bytes() == DATA


def test_a_failed_write_leaves_nothing_behind(library, monkeypatch):
    real = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        real(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(FolderError, match="full disk"):
        library.save(MEDIA, "image/png", DATA, b"thumb")
    assert files(library) == []


def test_a_failed_rename_leaves_nothing_behind(library, monkeypatch):
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(FolderError, match="Input/output error"):
        library.save(MEDIA, "image/png", DATA, b"thumb")
    assert files(library) == []


def test_a_really_full_disk_is_named():
    with pytest.raises(OSError) as caught, Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    assert "full disk" in str(folder_error(Path("/data"), caught.value))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full disk"),
        (errno.EDQUOT, "full disk"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "cannot be written"),
        (errno.EPERM, "cannot be written"),
        (errno.EIO, "Input/output error"),
        (errno.ENOTDIR, "Not a directory"),
    ],
)
def test_every_trouble_has_its_sentence_with_a_way_out(number, words):
    error = folder_error(Path("/some/where"), OSError(number, os.strerror(number)))
    assert words in str(error)
    assert "/some/where" in str(error)
    assert "Free some space" in str(error) or "GAPSCOPE_DATA_DIR" in str(error)
    assert error.path == Path("/some/where")


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FolderError, match="GAPSCOPE_DATA_DIR"):
            Library(path)


def test_space_is_checked(tmp_path):
    check_space(tmp_path, min_free_bytes=1)
    with pytest.raises(FolderError, match="GAPSCOPE_MIN_FREE_DISK_MB"):
        check_space(tmp_path, min_free_bytes=10**18)
    with pytest.raises(FolderError, match="No such file"):
        check_space(tmp_path / "gone", min_free_bytes=1)


class Plain:
    """Keeps a text as it is; what does not begin with "ok" cannot be unpacked."""

    revision = "1"

    def pack(self, prepared: str) -> bytes:
        return prepared.encode()

    def unpack(self, data: bytes) -> str:
        if not data.startswith(b"ok"):
            raise ValueError("damaged")
        return data.decode()


def test_evidence_is_made_once_and_anew_where_it_is_damaged_at_the_same_length(tmp_path):
    library, media, made = Library(tmp_path), "a" * 64, []

    def make() -> str:
        made.append(1)
        return "ok, seen"

    assert library.evidence(media, Plain(), make) == ("ok, seen", True)
    assert library.evidence(media, Plain(), make) == ("ok, seen", False)
    library.evidence_path(media, "1").write_bytes(b"no, seen")
    assert library.evidence(media, Plain(), make) == ("ok, seen", True)
    assert library.evidence(media, Plain(), make) == ("ok, seen", False) and len(made) == 2


def test_evidence_goes_with_its_medium_and_a_question_has_a_place_of_its_own(tmp_path):
    library, media = Library(tmp_path), "a" * 64
    library.evidence(media, Plain(), lambda: "ok")
    library.delete(media)
    assert not library.evidence_path(media, "1").exists()
    assert library.question_path(media).parent == tmp_path / "questions"
    for name in ("", "../x", "A" * 64):
        with pytest.raises(MediaError, match="64 hexadecimal digits"):
            library.question_path(name)


def test_evidence_that_cannot_be_kept_is_made_every_time(tmp_path):
    library, made = Library(tmp_path), []
    (tmp_path / "evidence").write_text("a file, no folder")
    for _ in range(2):
        assert library.evidence("a" * 64, Plain(), lambda: made.append(1) or "ok") == ("ok", True)
    assert len(made) == 2
