"""Lists paths, folders and archives as entries; reads none and understands nothing of what they say."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.datasets.archives import is_archive, list_archive, no_files
from engine.datasets.entries import Entry, Listing, Tally, joined
from engine.datasets.links import Links, is_hub_cache
from engine.datasets.table_formats import may_be_table
from engine.datasets.unwanted import why_path_unwanted, why_unwanted
from engine.media.sources import open_file, read_file
from engine.text import clean_name
from engine.types import Failure

HUB_CACHE = "This is a cache of the Hugging Face hub: its files are read under their names in `snapshots`."


def list_paths(paths: Iterable[Path]) -> list[Listing]:
    """List these paths: a folder with all below it, then files by the folder they lie in.

    Files of one folder may hold each other's captions, and a table among them those of the folders beside
    it; of several folders of one folder the names may be labels. So what is one data set is listed as one.
    A path that does not exist becomes a Failure.
    """
    found: list[Listing] = []
    folders: list[Path] = []
    beside: dict[Path, dict[str, Path]] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            found.append(Listing(failed=(Failure(clean_name(str(path)), _no_file(error)),)))
            continue
        if stat.S_ISDIR(mode):
            folders.append(path)
        else:
            beside.setdefault(path.parent, {})[path.name] = path
    with_tables = {parent for parent, files in beside.items() if any(map(may_be_table, files))}
    siblings = Counter(one.parent for one in folders)
    joining = [
        one
        for one in folders
        if (one.parent in with_tables or siblings[one.parent] > 1) and one.name not in ("", "..")
    ]
    found += [list_folder(one) for one in folders if one not in joining]
    for parent in dict.fromkeys([*(one.parent for one in joining), *beside]):
        below = (_below(one) for one in joining if one.parent == parent)
        found.append(joined((list_files(beside.get(parent, {})), *below)))
    return found


def _below(folder: Path) -> Listing:
    """List a folder as one that lies beside other files, which know it by its name."""
    listed = list_folder(folder)
    entries = (
        replace(one, within=f"{folder.name}/{one.within}")
        if one.within
        else replace(one, path=f"{folder.name}/{one.path}")
        for one in listed.entries
    )
    return replace(listed, entries=tuple(entries))


def list_folder(folder: Path) -> Listing:
    """List a folder; hidden and system files, README and licence files are left out, and some links.

    `Links` says which links are read. A folder below it that cannot be opened becomes a Failure.
    """
    tally, links = Tally(), Links(folder)
    failed: list[Failure] = []
    notes = (HUB_CACHE,) if is_hub_cache(folder) else ()

    def unreadable(error: OSError) -> None:
        failed.append(
            Failure(clean_name(str(error.filename)), f"The folder cannot be opened: {error.strerror}.")
        )

    files = dict(_walk(folder, links, tally, unreadable))
    if not files and not failed:
        failed.append(Failure(clean_name(str(folder.resolve())), no_files("folder", tally)))
    return joined((list_files(files, all_wanted=True), Listing((), tally.left_out, tuple(failed), notes)))


def _walk(
    folder: Path, links: Links, tally: Tally, unreadable: Callable[[OSError], None]
) -> Iterator[tuple[str, Path]]:
    """Yield the name of every file that is taken, relative to the folder, and where it lies."""
    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=False):
        here = Path(parent)
        shown = here.relative_to(folder)
        linked = {name for name in folders if (here / name).is_symlink()}
        for name in [name for name in folders if why_unwanted(name)]:
            tally.add(why_unwanted(name), f"{shown / name}/")
        stores = ("blobs", "refs", ".no_exist") if is_hub_cache(here) else ()
        folders[:] = sorted(
            name for name in folders if name not in linked and name not in stores and not why_unwanted(name)
        )
        for name in sorted([*names, *linked]):
            path, why = here / name, why_unwanted(name)
            if not why and path.is_symlink():
                target, why = links.follow(path)
                path = target or path
            if why and not (name in linked and why_unwanted(name)):
                tally.add(why, str(shown / name))
            elif not why:
                yield (shown / name).as_posix(), path


def list_files(files: Mapping[str, Path], *, all_wanted: bool = False) -> Listing:
    """List files under the names they should be known by (an upload keeps its name so), archives opened.

    What is unwanted in a folder is left out, unless it was looked through already; a file that was chosen
    by itself, without a folder, is taken whatever it is called.
    """
    tally = Tally()
    plain: list[Entry] = []
    archives: list[Listing] = []
    for name, path in files.items():
        if not all_wanted and "/" in name and (why := why_path_unwanted(name)):
            tally.add(why, name)
        elif is_archive(name) and path.is_file():
            archives.append(list_archive(path, name))
        else:
            plain.append(_entry(name, path))
    return joined((Listing(tuple(plain), tally.left_out), *archives))


def _entry(name: str, path: Path) -> Entry:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # reading it will say why
    return Entry(name, size, partial(read_file, path), partial(open_file, path))


def _no_file(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | ValueError):
        return "There is no such file."
    return f"The file cannot be opened: {error.strerror}."
