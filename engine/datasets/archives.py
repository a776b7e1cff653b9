"""Members of archives as entries, each under a path of its own, and what of them is left out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.datasets.entries import Entry, Listing, Tally
from engine.datasets.members import (
    MOST_MEMBERS,
    MOST_UNPACKED,
    SMALL_ARCHIVE_BYTES,
    SMALL_MEMBER_BYTES,
    Member,
    Members,
)
from engine.datasets.tars import TAR_ERRORS, tar_members
from engine.datasets.unwanted import why_path_unwanted
from engine.datasets.zips import ZIP_ERRORS, zip_members
from engine.text import clean_name
from engine.types import Failure

LINKS = "Links in an archive are not read where their target is not in it."
NO_FILES = "Members of an archive that are no plain files are not read: devices, pipes, sparse files."
NESTED = "Archives inside archives are not opened: unpack the outer one."
BOMBS = (
    f"Members that unpack to more than {MOST_UNPACKED} times their size are not read: they are filled up "
    f"with something that is no picture and no text."
)
TOO_MUCH = f"Members beyond {MOST_UNPACKED} times the size of their archive in all are not read."
TOO_MANY = f"Members beyond {MOST_MEMBERS:,} in an archive are not read."

_TARS = (".tar", ".tar.gz", ".tgz")
_SUFFIXES = (".zip", *_TARS)
_DRIVE = re.compile(r"^([A-Za-z]):")
_LONGEST_CHAIN = 8  # links to links
_SHOWN = 3


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive that can be listed: zip, tar, or tar with gzip."""
    return name.lower().endswith(_SUFFIXES)


def list_archive(path: Path, name: str) -> Listing:
    """List the members of an archive that is known by this name; one that cannot be read is a Failure.

    A tar that breaks off is listed until there, and is a Failure too.
    """
    kind = "tar" if name.lower().endswith(_TARS) else "zip"
    try:
        found = tar_members(path) if kind == "tar" else zip_members(path)
    except (*ZIP_ERRORS, *TAR_ERRORS) as error:
        return Listing(failed=(Failure(clean_name(name), f"The {kind} cannot be read: {error}."),))
    tally = Tally()
    for other in found.no_files:
        tally.add(NO_FILES, other)
    kept = list(_within_limits(_wanted(found.members, tally), path.stat().st_size, tally))
    entries, note = _with_own_paths(kept, name)
    failed = [Failure(clean_name(name), _broken_off(found))] if found.failure else []
    if not entries and not failed:
        failed.append(Failure(clean_name(name), no_files(kind, tally)))
    notes = (*found.notes, *([note] if note else []))
    return Listing(
        tuple(entries), tally.left_out, tuple(failed), tuple(f"{clean_name(name)}: {one}" for one in notes)
    )


def no_files(what: str, tally: Tally) -> str:
    """Say that nothing of an archive or a folder, as which it is known, is there to be read."""
    return f"The {what} holds no files{' but those that are left out' if tally.left_out else ''}."


def _broken_off(found: Members) -> str:
    return f"{found.failure}: of its members the first {len(found.members):,} are read."


def _inner_path(name: str) -> str:
    """Return a member's name as a path that stays in its archive."""
    plain = _DRIVE.sub(r"\1/", name.replace("\\", "/"))
    return posixpath.normpath(f"/{plain.replace(chr(0), '')}").lstrip("/") or "unnamed"


def _wanted(members: Iterable[Member], tally: Tally) -> Iterator[Member]:
    """Yield the files that are wanted under their inner paths, links as the files that they lead to."""
    paths = [(_inner_path(member.name), member) for member in members]
    by_path = {path: member for path, member in paths}
    for path, member in paths:
        if why := why_path_unwanted(path):
            tally.add(why, path)
        elif is_archive(path):
            tally.add(NESTED, path)
        elif target := _target(path, member, by_path):
            yield replace(target, name=path)
        else:
            tally.add(LINKS, path)


def _target(path: str, member: Member, by_path: dict[str, Member]) -> Member | None:
    """Return the file that a member is, or that it leads to by links inside the archive."""
    for _ in range(_LONGEST_CHAIN):
        if not member.link:
            return member
        if member.link.startswith("/"):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.link.replace("\\", "/")))
        if path not in by_path:
            return None
        member = by_path[path]
    return None


def _within_limits(members: Iterable[Member], archive_bytes: int, tally: Tally) -> Iterator[Member]:
    """Yield members until they unpack to more than is believable, alone or together."""
    unpacked, most = 0, max(SMALL_ARCHIVE_BYTES, MOST_UNPACKED * archive_bytes)
    for number, member in enumerate(members):
        is_large = member.size_bytes > SMALL_MEMBER_BYTES
        if is_large and 0 < MOST_UNPACKED * member.packed_bytes < member.size_bytes:
            tally.add(BOMBS, member.name)
        elif number >= MOST_MEMBERS:
            tally.add(TOO_MANY, member.name)
        elif unpacked + member.size_bytes > most:
            tally.add(TOO_MUCH, member.name)
        else:
            unpacked += member.size_bytes
            yield member


def _with_own_paths(members: list[Member], within: str) -> tuple[list[Entry], str]:
    """Return entries whose paths differ, and a sentence that tells which had to be numbered for that."""
    taken: dict[str, int] = {member.name: 0 for member in members}
    entries, numbered = [], []
    for member in members:
        path = member.name
        taken[path] += 1
        if taken[path] > 1:
            path = _numbered(member.name, taken)
            numbered.append(path)
        entries.append(Entry(path, member.size_bytes, member.read, member.open, within))
    if not numbered:
        return entries, ""
    some = ", ".join(clean_name(path) for path in numbered[:_SHOWN])
    end = ", …" if len(numbered) > _SHOWN else "."
    return entries, (
        f"{len(numbered):,} members have the name of one before them: each is taken, numbered as {some}{end}"
    )


def _numbered(path: str, taken: dict[str, int]) -> str:
    """Return a path that is not taken yet, and take it."""
    stem, suffix = posixpath.splitext(path)
    while True:
        other = f"{stem} ({taken[path]}){suffix}"
        if other not in taken:
            taken[other] = 1
            return other
        taken[path] += 1
