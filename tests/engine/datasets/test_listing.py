"""Proves that what lies in a folder is listed, links included, and that what is left out is counted."""

import zipfile
from pathlib import Path

import pytest

from engine.datasets import links, unwanted
from engine.datasets.entries import Listing, joined
from engine.datasets.listing import list_files, list_folder, list_paths
from engine.types import Failure, LeftOut

LIMIT = 1_000_000


def written(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def linked(folder: Path, **targets: str) -> None:
    for name, target in targets.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)


def contents(listing: Listing) -> dict[str, str]:
    return {entry.path: entry.read(LIMIT).decode() for entry in listing.entries}


def left(listing: Listing) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {one.reason: (one.count, one.examples) for one in listing.left_out}


def hub_cache(folder: Path) -> Path:
    """Make a repository in a hub cache: files by their hash, and a snapshot of links to them."""
    written(folder, "blobs/aaa", "blobs/bbb", "blobs/unused", "refs/main")
    for snapshot in ("old", "new"):
        place = folder / "snapshots" / snapshot
        (place / "train/cat").mkdir(parents=True)
        (place / "metadata.csv").symlink_to("../../blobs/aaa")
        (place / "train/cat/1.jpg").symlink_to("../../../../blobs/bbb")
    return folder


FILES = {"metadata.csv": "blobs/aaa", "train/cat/1.jpg": "blobs/bbb"}


def test_a_snapshot_of_a_hub_cache_is_read(tmp_path):
    cache = hub_cache(tmp_path / "datasets--her--cats")
    listed = list_folder(cache / "snapshots/new")
    assert contents(listed) == FILES
    assert listed.left_out == ()
    assert contents(list_folder(cache / "snapshots/new/train")) == {"cat/1.jpg": "blobs/bbb"}
    assert contents(joined(list_paths([cache / "snapshots/new/metadata.csv"]))) == {
        "metadata.csv": "blobs/aaa"
    }


def test_a_repository_of_a_hub_cache_and_a_whole_cache_are_read_by_their_names(tmp_path):
    cache = hub_cache(tmp_path / "hub/datasets--her--cats")
    names = {
        f"snapshots/{snapshot}/{name}": text for snapshot in ("new", "old") for name, text in FILES.items()
    }
    listed = list_folder(cache)
    assert contents(listed) == names
    assert "under their names in `snapshots`" in listed.notes[0]
    assert contents(list_folder(tmp_path / "hub")) == {
        f"{cache.name}/{name}": text for name, text in names.items()
    }


@pytest.mark.parametrize("given", ["", "data"])
@pytest.mark.parametrize("store", [".git/annex/objects/x1/y2/KEY", ".dvc/cache/files/md5/ab/cd"])
def test_a_repository_of_git_annex_or_dvc_is_read(tmp_path, store, given):
    written(tmp_path, store)
    linked(tmp_path, **{"data/a.jpg": f"../{store}", "data/gone.jpg": f"../{store}2"})
    listed = list_folder(tmp_path / given)
    assert set(contents(listed).values()) == {store}
    assert left(listed)[links.BROKEN] == (1, (f"{'' if given else 'data/'}gone.jpg",))


def test_links_to_elsewhere_are_counted_and_named(tmp_path):
    written(tmp_path, "outside/secret.txt", "in/a.txt", "in/sub/b.txt")
    linked(
        tmp_path / "in",
        **{
            "inside.txt": "sub/b.txt",
            "chain.txt": "inside.txt",
            "out.txt": "../outside/secret.txt",
            "etc.txt": "/etc/passwd",
            "out": "../outside",
            "loop": ".",
            "copy": "sub",
            "dangling": "nowhere",
            "circle": "circle",
            ".hidden.txt": "a.txt",
        },
    )
    listed = list_folder(tmp_path / "in")
    assert contents(listed) == {
        "a.txt": "in/a.txt",
        "chain.txt": "in/sub/b.txt",
        "inside.txt": "in/sub/b.txt",
        "sub/b.txt": "in/sub/b.txt",
    }
    assert left(listed) == {
        links.BROKEN: (2, ("circle", "dangling")),
        links.FOLDERS: (2, ("copy", "loop")),
        links.OUTSIDE: (3, ("etc.txt", "out", "out.txt")),
        unwanted.HIDDEN: (1, (".hidden.txt",)),
    }


def test_a_hub_cache_elsewhere_opens_no_other_place(tmp_path):
    cache = hub_cache(tmp_path / "datasets--her--cats")
    other = hub_cache(tmp_path / "datasets--his--dogs")
    linked(cache / "snapshots/new", **{"his.jpg": str(other / "blobs/aaa"), "ref": "../../refs/main"})
    listed = list_folder(cache / "snapshots/new")
    assert contents(listed) == FILES
    assert left(listed) == {links.OUTSIDE: (2, ("his.jpg", "ref"))}


def test_what_is_no_data_is_counted_by_reason(tmp_path):
    written(
        tmp_path, "a.jpg", ".git/config", ".git/HEAD", "x/.DS_Store", "README.md", "x/LICENSE", "x/Thumbs.db"
    )
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("b.jpg", "README.txt", "__MACOSX/._b.jpg"):
            archive.writestr(name, name)
    listed = list_folder(tmp_path)
    assert contents(listed) == {"a.jpg": "a.jpg", "b.jpg": "b.jpg"}
    assert left(listed) == {
        unwanted.COMPANIONS: (3, ("README.txt", "README.md", "x/LICENSE")),
        unwanted.SYSTEM: (2, ("__MACOSX/._b.jpg", "x/Thumbs.db")),
        unwanted.HIDDEN: (2, (".git/", "x/.DS_Store")),
    }


def test_a_folder_that_was_dropped_is_looked_through_and_a_file_that_was_chosen_is_not(tmp_path):
    written(tmp_path, "1", "2", "3", "4")
    listed = list_files(
        {
            "set/a.jpg": tmp_path / "1",
            "set/.DS_Store": tmp_path / "2",
            "README.md": tmp_path / "3",
            "../b.jpg": tmp_path / "4",
        }
    )
    assert contents(listed) == {"set/a.jpg": "1", "README.md": "3", "../b.jpg": "4"}
    assert left(listed) == {unwanted.HIDDEN: (1, ("set/.DS_Store",))}


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "bare" / "below").mkdir(parents=True)
    assert list_folder(tmp_path / "bare").failed == (Failure("bare", "The folder holds no files."),)
    (tmp_path / "bare" / ".hidden").write_text("x")
    [failed] = list_folder(tmp_path / "bare").failed
    assert failed.reason == "The folder holds no files but those that are left out."


def test_listings_are_joined_with_what_they_left_out_counted_together():
    one = Listing((), (LeftOut("no", 2, ("a", "b")),), (Failure("x", "y"),), ("said",))
    other = Listing((), (LeftOut("no", 3, ("c", "d", "e")), LeftOut("other", 1)), (), ("said", "more"))
    assert one + other == Listing(
        (),
        (LeftOut("no", 5, ("a", "b", "c")), LeftOut("other", 1)),
        (Failure("x", "y"),),
        ("said", "more"),
    )
