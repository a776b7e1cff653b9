"""Proves that files are found with their captions wherever they are; nothing hostile gets in."""

import io
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets.cells import MAX_CAPTION_CHARS
from engine.datasets.find import find_sources, from_files
from engine.errors import MediaError, TooLargeError, UnreadableMediaError

LIMIT = 1_000_000


def found(*paths: Path, limit: int = LIMIT):
    return find_sources(paths, max_file_bytes=limit)


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def rows(*objects: object) -> str:
    return "\n".join(json.dumps(one) for one in objects)


def captions(listed) -> dict[str, tuple[str, ...]]:
    return {source.name: source.captions for source in listed.sources}


def labels(listed) -> dict[str, tuple[str, ...]]:
    return {source.name: source.labels for source in listed.sources}


@pytest.fixture(params=["folder", "zip", "uploads", "single files"])
def arranged(request, tmp_path):
    """The same files as a folder, a zip, uploads, or file by file; every way must find the same."""

    def arrange(files: dict[str, str | bytes]):
        if request.param == "zip":
            return found(zipped(tmp_path / "all.zip", files))
        folder = written(tmp_path / "all", files)
        if request.param == "folder":
            return found(folder)
        if request.param == "single files" and not any("/" in name for name in files):
            return found(*(folder / name for name in files))
        return from_files({name: folder / name for name in files}, max_file_bytes=LIMIT)

    return arrange


PHOTOS = {"a.jpg": b"A", "b.jpg": b"B", "c.jpg": b"C"}


@pytest.mark.parametrize("column", ["caption", "text"])
def test_captions_from_json_lines(arranged, column):
    lines = rows({"file_name": "a.jpg", column: "first"}, {"file_name": "b.jpg", column: "second"})
    listed = arranged({**PHOTOS, "metadata.jsonl": "\ufeff" + lines.replace("\n", "\r\n\n")})
    assert captions(listed) == {"a.jpg": ("first",), "b.jpg": ("second",), "c.jpg": ()}
    assert not listed.failed


def test_captions_from_csv(arranged):
    table = 'file_name,caption,label\na.jpg,"first, with comma",cat\nb.jpg,"two\nlines",dog;pet\n'
    listed = arranged({**PHOTOS, "metadata.csv": table})
    assert captions(listed) == {"a.jpg": ("first, with comma",), "b.jpg": ("two\nlines",), "c.jpg": ()}
    assert labels(listed) == {"a.jpg": ("cat",), "b.jpg": ("dog", "pet"), "c.jpg": ()}


def test_every_source_reads_its_own_bytes(arranged):
    listed = arranged({**PHOTOS, "metadata.jsonl": rows({"file_name": "b.jpg", "text": "B"})})
    assert {source.name: source.read() for source in listed.sources} == PHOTOS


def test_repeated_rows_and_lists_give_several_captions_once_each(arranged):
    lines = rows(
        {"file_name": "a.jpg", "caption": "one", "label": "x"},
        {"file_name": "a.jpg", "caption": "two", "label": "y"},
        {"file_name": "a.jpg", "caption": "one", "label": "x"},
        {"file_name": "b.jpg", "caption": ["three", "four"]},
    )
    listed = arranged({**PHOTOS, "metadata.jsonl": lines})
    assert captions(listed)["a.jpg"] == ("one", "two")
    assert captions(listed)["b.jpg"] == ("three", "four")
    assert labels(listed)["a.jpg"] == ("x", "y")


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"label": 0}, ("0",)),
        ({"label": 7}, ("7",)),
        ({"labels": ["a", "b", "a"]}, ("a", "b")),
        ({"labels": [], "label": "x"}, ("x",)),
        ({"label": "a; b"}, ("a", "b")),
        ({"label": None}, ()),
        ({"label": "x\u202e\x00y"}, ("xy",)),
        ({"label": "z" * 500}, ("z" * 100,)),
    ],
)
def test_labels(tmp_path, row, kept):
    lines = rows({"file_name": "a.jpg", **row})
    assert labels(found(written(tmp_path, {**PHOTOS, "metadata.jsonl": lines})))["a.jpg"] == kept


def test_sub_folders_have_lists_of_their_own(arranged):
    listed = arranged(
        {
            "one/a.jpg": b"1",
            "one/metadata.jsonl": rows({"file_name": "a.jpg", "text": "one"}),
            "two/deep/b.jpg": b"2",
            "two/metadata.csv": "file_name,text\ndeep\\b.jpg,two\n./../one/a.jpg,again\n",
        }
    )
    assert captions(listed) == {"a.jpg": ("one", "again"), "b.jpg": ("two",)}
    assert not listed.failed


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "not one JSON object"),
        ("[1, 2]", "not one JSON object"),
        ("[" * 100_000, "not one JSON object"),
        ('{"file_name": "a.jpg", "n": ' + "1" * 5000 + "}", "not one JSON object"),
        ('{"caption": "x"}', "no file is named"),
        ('{"file_name": 5}', "not among the files: 5."),
        ('{"file_name": "missing.jpg", "caption": "x"}', "not among the files: missing.jpg."),
        ('{"file_name": "../../etc/passwd"}', "not among the files: passwd."),
        ('{"file_name": "/etc/passwd"}', "not among the files: passwd."),
        ('{"file_name": "\\ud800"}', "not among the files: unnamed."),
        ('{"file_name": "a.jpg", "caption": 5}', "caption is not text: a.jpg."),
        ('{"file_name": "a.jpg", "caption": ["A", 5]}', "caption is not text: a.jpg."),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_costs_no_other(tmp_path, line, problem):
    lines = (
        f"{rows({'file_name': 'a.jpg', 'text': 'A'})}\n{line}\n{rows({'file_name': 'b.jpg', 'text': 'B'})}"
    )
    listed = found(written(tmp_path, {**PHOTOS, "metadata.jsonl": lines}))
    assert captions(listed) == {"a.jpg": ("A",), "b.jpg": ("B",), "c.jpg": ()}
    assert [failure.name for failure in listed.failed] == ["metadata.jsonl"]
    assert listed.failed[0].reason.startswith("Line 2: ")
    assert problem in listed.failed[0].reason
    assert listed.failed[0].reason.encode("utf-8")


def test_a_bad_csv_line_costs_no_other(tmp_path):
    table = f"file_name,text\na.jpg,A\nb.jpg,{'x' * 200_000}\nmissing.jpg,M\n,\nc.jpg,C,more,columns\n"
    listed = found(written(tmp_path, {**PHOTOS, "metadata.csv": table}))
    assert captions(listed) == {"a.jpg": ("A",), "b.jpg": (), "c.jpg": ("C,more,columns",)}
    assert [failure.reason.split(":")[0] for failure in listed.failed] == ["Line 3", "Line 4", "Line 5"]


@pytest.mark.parametrize(
    "table", ["", "\n", "file_name\n", "other,columns\n1,2\n", "a\rb\rc", '"', "\x00,\x00"]
)
def test_odd_csv_files_do_not_break_the_rest(tmp_path, table):
    listed = found(written(tmp_path, {**PHOTOS, "metadata.csv": table}))
    assert set(captions(listed)) == set(PHOTOS)


def test_a_list_that_is_no_text_is_named(arranged):
    listed = arranged({**PHOTOS, "metadata.jsonl": b"\xff\xfe\x00"})
    assert set(captions(listed)) == set(PHOTOS)
    assert listed.failed[0].reason == "This is not text in UTF-8, UTF-16 or Windows-1252."


def test_captions_are_cleaned_and_cut(tmp_path):
    lines = rows(
        {"file_name": "a.jpg", "text": " x\u202e\x00y\ud800 "},
        {"file_name": "b.jpg", "text": "w" * 5000},
        {"file_name": "c.jpg", "text": " \x00 "},
    )
    listed = captions(found(written(tmp_path, {**PHOTOS, "metadata.jsonl": lines})))
    assert listed == {"a.jpg": ("xy",), "b.jpg": ("w" * MAX_CAPTION_CHARS,), "c.jpg": ()}


COMPANIONS = ["README", "readme.md", "README.txt", "LICENSE", "LICENCE", "LICENSES.md", "License-MIT.txt"]
COMPANIONS += ["COPYING", "COPYING.LESSER", ".DS_Store", "._a.jpg", "Thumbs.db", "desktop.ini"]
COMPANIONS += ["__MACOSX/._a.jpg", ".git/config", "licenses/GPL.txt", ".hidden/a.jpg"]
MEDIA = ["license-plate.jpg", "copying-machine.png", "readme.png", "licensed.txt", "copyings.txt"]


def test_companions_are_left_out_and_media_of_like_names_kept(tmp_path):
    files = dict.fromkeys([*COMPANIONS, *MEDIA], b"x")
    assert sorted(captions(found(written(tmp_path / "all", files)))) == sorted(MEDIA)
    assert sorted(captions(found(zipped(tmp_path / "all.zip", files)))) == sorted(MEDIA)


def test_the_order_is_stable(tmp_path):
    names = ["z.jpg", "a.jpg", "m/b.jpg", "m/a.jpg", "b/z.jpg"]
    folder = written(tmp_path, dict.fromkeys(names, b"x"))
    reads = [[source.name for source in found(folder).sources] for _ in range(3)]
    assert reads == [["a.jpg", "z.jpg", "b/z.jpg", "m/a.jpg", "b.jpg"]] * 3


@pytest.mark.parametrize("path", ["nothing-here", "a" * 5000, "nul\0", "file.txt/below"])
def test_a_path_that_leads_nowhere_is_a_failure(tmp_path, path):
    written(tmp_path, {"file.txt": "x"})
    listed = found(tmp_path / path, tmp_path / "file.txt")
    assert [source.name for source in listed.sources] == ["file.txt"]
    assert len(listed.failed) == 1
    assert listed.failed[0].reason.startswith(("There is no such file", "The file cannot be opened: "))


def test_links_are_not_followed(tmp_path):
    written(tmp_path, {"outside/secret.txt": "secret", "in/a.txt": "a"})
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "dangling").symlink_to("nowhere")
    assert [source.name for source in found(tmp_path / "in").sources] == ["a.txt"]


def test_pipes_and_sockets_are_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for source in found(tmp_path).sources:
            with pytest.raises(UnreadableMediaError, match="not a regular file"):
                source.read()


def test_names_that_are_no_utf8_are_readable(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes(b"x")
    (source,) = found(tmp_path).sources
    assert (source.name, source.read()) == ("caf.txt", b"x")


def test_a_file_that_went_away_or_is_too_large(tmp_path):
    listed = found(written(tmp_path, {"a.txt": "a", "large.txt": bytes(2000)}), limit=1000)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(UnreadableMediaError, match="No such file"):
        listed.sources[0].read()
    with pytest.raises(TooLargeError, match="GAPSCOPE_MAX_FILE_MB"):
        listed.sources[1].read()


@contextmanager
def without_root():
    """Take root's power to read everything away for a moment, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of another kind")
def test_what_may_not_be_read_is_named():
    folder = Path(tempfile.mkdtemp())
    try:
        written(folder, {"a.txt": "a", "locked.txt": "b", "closed/c.txt": "c"})
        folder.chmod(0o755)
        (folder / "locked.txt").chmod(0)
        (folder / "closed").chmod(0)
        with without_root():
            listed = found(folder, folder / "closed" / "c.txt")
            assert [source.name for source in listed.sources] == ["a.txt", "locked.txt"]
            assert sorted(
                (failure.name, "Permission denied" in failure.reason) for failure in listed.failed
            ) == [
                ("c.txt", True),
                ("closed", True),
            ]
            with pytest.raises(UnreadableMediaError, match="Permission denied"):
                listed.sources[1].read()
    finally:
        (folder / "closed").chmod(0o755)
        shutil.rmtree(folder)


def test_members_that_want_to_leave_the_zip_stay_in_it(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    names = ["../../evil.txt", "/abs.txt", "C:\\evil.txt", "a/../../b.txt"]
    listed = found(zipped(inside / "slip.zip", dict.fromkeys(names, b"words")))
    assert [source.name for source in listed.sources] == ["evil.txt", "abs.txt", "C/evil.txt", "b.txt"]
    assert {source.read() for source in listed.sources} == {b"words"}
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "slip.zip"]


def test_a_zip_made_on_windows(tmp_path):
    files = {"photos\\a.jpg": b"A", "photos\\metadata.csv": "file_name,text\na.jpg,first\n"}
    assert captions(found(zipped(tmp_path / "w.zip", files))) == {"a.jpg": ("first",)}


def test_a_member_too_large_by_its_claim_is_refused_unread(tmp_path):
    listed = found(zipped(tmp_path / "bomb.zip", {"zeros.txt": bytes(10_000_000)}))
    assert (tmp_path / "bomb.zip").stat().st_size < 100_000
    with pytest.raises(TooLargeError, match="10 MB; the limit is 1 MB"):
        listed.sources[0].read()


def test_a_member_that_lies_about_its_size_is_refused(tmp_path):
    path = zipped(tmp_path / "liar.zip", {"zeros.txt": bytes(5_000_000)})
    data = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    (source,) = found(path).sources
    with pytest.raises(MediaError):
        source.read()


def test_an_encrypted_member_is_named_and_the_others_read(tmp_path):
    path = zipped(tmp_path / "locked.zip", {"a.txt": b"A", "b.txt": b"B"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the first member claims to be encrypted, in its own header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    first, second = found(path).sources
    with pytest.raises(UnreadableMediaError, match="encrypted"):
        first.read()
    assert second.read() == b"B"


def test_a_member_of_broken_data_is_named_and_the_others_read(tmp_path):
    path = zipped(tmp_path / "broken.zip", {"a.txt": b"a" * 5000 + bytes(range(256)), "b.txt": b"B"})
    data = bytearray(path.read_bytes())
    data[35:60] = b"\xff" * 25
    path.write_bytes(data)
    first, second = found(path).sources
    with pytest.raises(UnreadableMediaError, match="zip member cannot be read"):
        first.read()
    assert second.read() == b"B"


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_a_broken_zip_is_named(tmp_path, content):
    listed = found(written(tmp_path, {"x.zip": content, "a.txt": "a"}))
    assert [source.name for source in listed.sources] == ["a.txt"]
    assert listed.failed[0].name == "x.zip"
    assert "zip cannot be read" in listed.failed[0].reason


def some_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", b"words " * 40, zipfile.ZIP_DEFLATED)
        archive.writestr("b.txt", b"words " * 40, zipfile.ZIP_LZMA)
        archive.writestr("c.txt", b"words " * 40, zipfile.ZIP_BZIP2)
        archive.writestr("metadata.csv", "file_name,text\na.txt,A\n")
    return out.getvalue()


ZIP = some_zip()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(flips=st.lists(st.tuples(st.integers(0, len(ZIP) - 1), st.integers(0, 255)), max_size=6))
def test_damaged_zips_raise_nothing_but_media_errors(flips):
    data = bytearray(ZIP)
    for at, value in flips:
        data[at] = value
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        for source in found(Path(file.name)).sources:
            try:
                source.read()
            except MediaError as error:
                assert error.reason


def test_many_threads_read_one_zip(tmp_path):
    files = {f"{number}.txt": str(number) * 1000 for number in range(200)}
    listed = found(zipped(tmp_path / "many.zip", files))
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda source: source.read(), listed.sources))
    assert contents == [(source.name.removesuffix(".txt") * 1000).encode() for source in listed.sources]


def test_reading_a_large_zip_does_not_list_it_again_for_every_member(tmp_path):
    listed = found(zipped(tmp_path / "many.zip", {f"{number}.txt": b"x" for number in range(5000)}))
    started = time.monotonic()
    assert all(source.read() == b"x" for source in listed.sources)
    assert time.monotonic() - started < 30  # 100 s when every read lists the members anew


def test_a_zip_among_uploads(tmp_path):
    path = zipped(tmp_path / "upload.tmp", {"a.jpg": b"A"})
    plain = written(tmp_path, {"plain": b"P"}) / "plain"
    listed = from_files({"photos.zip": path, "p.jpg": plain}, max_file_bytes=LIMIT)
    assert sorted(captions(listed)) == ["a.jpg", "p.jpg"]
