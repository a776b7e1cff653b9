"""Proves that a table's names find the files they mean, and never another file."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.datasets.entries import Entry
from engine.datasets.names import Ambiguous, Names

NFC, NFD = "caf\u00e9.jpg", "cafe\u0301.jpg"


def entry(path: str, within: str = "") -> Entry:
    return Entry(path, 0, lambda limit: b"", lambda: io.BytesIO(b""), within)


def names(*paths: str, within: str = "") -> Names:
    return Names([entry(path, within) for path in paths])


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "./a.jpg"),
        ("a.jpg", " a.jpg "),
        ("dir/a.jpg", "dir\\a.jpg"),
        ("dir/a.jpg", "dir/./sub/../a.jpg"),
        ("dir/a.jpg", "dir//a.jpg"),
        ("dir/a.JPG", "dir/a.jpg"),
        ("dir/a.jpg", "dir/a.JPG"),
        (f"dir/{NFC}", f"dir/{NFD}"),
        (f"dir/{NFD}", f"dir/{NFC}"),
        (f"dir/{NFD}", f"DIR/{NFC.upper()}"),
        ("Dir/A.jpg", "dir/a.jpg"),
        ("a.jpg", "photos/holiday/a.jpg"),  # a browser drops folders
        ("photos/holiday/a.jpg", "a.jpg"),
        ("photos/holiday/a.jpg", "holiday/a.jpg"),
        ("photos/a.jpg", "/home/her/data/photos/a.jpg"),
        ("photos/a.jpg", "C:\\data\\photos\\a.jpg"),
        ("photos/a.jpg", "../photos/a.jpg"),
    ],
)
def test_a_name_in_another_form_is_found(path, written):
    found = names(path, "other.jpg", "photos/other.jpg").find(written)
    assert isinstance(found, Entry)
    assert found.path == path


def test_the_exact_name_wins_over_other_forms():
    known = names("a.jpg", "a.JPG", "A.jpg", NFC, NFD)
    for path in ("a.jpg", "a.JPG", "A.jpg", NFC, NFD):
        assert known.find(path).path == path


def test_two_files_of_one_form_are_ambiguous():
    assert names("a.JPG", "a.Jpg", "b.jpg").find("a.jpg") == Ambiguous(2, ("a.JPG", "a.Jpg"))
    assert names("x/a.jpg", "y/a.jpg", "b.jpg").find("a.jpg") == Ambiguous(2, ("x/a.jpg", "y/a.jpg"))


def test_names_are_relative_to_the_table_and_then_to_the_root():
    known = names("train/a.jpg", "a.jpg", "images/b.jpg")
    assert known.find("a.jpg", folder="train").path == "train/a.jpg"
    assert known.find("../a.jpg", folder="train").path == "a.jpg"
    assert known.find("a.jpg").path == "a.jpg"
    assert known.find("images/b.jpg", folder="train").path == "images/b.jpg"


def test_more_of_the_folders_tell_files_of_one_name_apart():
    known = names("set/train/cat/1.jpg", "set/train/dog/1.jpg", "set/test/dog/1.jpg")
    assert known.find("/data/train/dog/1.jpg").path == "set/train/dog/1.jpg"
    assert known.find("test/dog/1.jpg", folder="tables").path == "set/test/dog/1.jpg"
    assert known.find("dog/1.jpg") == Ambiguous(2, ("set/train/dog/1.jpg", "set/test/dog/1.jpg"))


def test_a_table_beside_a_zip_finds_its_members():
    for member in ("a.jpg", "images/a.jpg", "deep/images/a.jpg"):
        known = Names([entry("labels.csv"), entry(member, "images.zip")])
        for written in ("a.jpg", "images/a.jpg", "images\\a.JPG", "images.zip/a.jpg"):
            assert known.find(written).path == member, (member, written)
    known = Names([entry("a.jpg", "data/one.zip"), entry("a.jpg", "data/two.tar.gz")])
    assert known.find("two/a.jpg", folder="data").within == "data/two.tar.gz"
    assert known.find("a.jpg", folder="data") == Ambiguous(2, ("data/one.zip/a.jpg", "data/two.tar.gz/a.jpg"))


def test_a_table_in_an_archive_finds_its_own_members_first_and_then_what_lies_beside():
    known = Names([entry("a.jpg"), entry("a.jpg", "all.zip"), entry("b.jpg"), entry("c.jpg", "more.zip")])
    assert known.find("a.jpg", within="all.zip").within == "all.zip"
    assert known.find("b.jpg", within="all.zip").path == "b.jpg"
    assert known.find("c.jpg", within="all.zip").within == "more.zip"
    assert known.find("a.jpg").within == ""


def test_a_base_name_under_another_folder_is_found_and_said():
    known = names("pictures/a.jpg", "pictures/b.jpg")
    assert known.notes == ()
    assert known.find("images/a.jpg").path == "pictures/a.jpg"
    assert known.notes == (
        "1 matched by the file's own name, though the folders differ: images/a.jpg is pictures/a.jpg.",
    )


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("test/1.jpg", "train/1.jpg"),  # the other split was not given
        ("set/test/1.jpg", "data/train/1.jpg"),
        ("dog/1.jpg", "cat/1.jpg"),  # there is a folder cat, without it
        ("a.jpg", "b.jpg"),
        ("a.jpg", ""),
        ("a.jpg", "."),
        ("a.jpg", ".."),
        ("a.jpg", "/"),
        ("a.jpg", "a"),
        ("a.jpg", "a.jpg/b"),
        ("a.jpg", "\ud800"),
        ("a.jpg", "\0"),
    ],
)
def test_a_name_that_means_no_file_here_finds_none(path, written):
    assert names(path, "cat/2.jpg").find(written) is None


def test_a_base_name_that_thousands_share_is_not_compared_with_all_of_them():
    known = names(*(f"{number}/image.jpg" for number in range(5_000)))
    assert known.find("17/image.jpg").path == "17/image.jpg"
    assert known.find("elsewhere/image.jpg").count == 5_000


PATHS = st.text(st.sampled_from("aA/.\\é\u0301 \0"), max_size=8)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(paths=st.lists(PATHS, max_size=6), written=PATHS, folder=PATHS)
def test_whatever_is_found_has_the_base_name_that_was_given(paths, written, folder):
    found = Names([entry(path) for path in paths]).find(written, folder)
    if isinstance(found, Entry):
        from engine.datasets.names import _caseless, plain_path

        ends = [_caseless(plain_path(one)).rsplit("/", 1)[-1] for one in (found.path, written)]
        assert ends[0] == ends[1]
