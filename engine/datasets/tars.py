"""The members of a tar, plain or packed with gzip, read where they lie; decides nothing about them."""

from __future__ import annotations

import io
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from engine.datasets.gzip_reader import gzip_reader
from engine.datasets.members import MOST_MEMBERS, MOST_UNPACKED, SMALL_ARCHIVE_BYTES, Member, Members
from engine.errors import UnreadableMediaError
from engine.media.sources import too_large

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ReadAt = Callable[[int, int], bytes]
# What tarfile and zlib raise on hostile bytes; headers nested without end are a RecursionError.
TAR_ERRORS = (
    tarfile.TarError,
    OSError,
    ValueError,
    RecursionError,
    EOFError,
    LookupError,
    ArithmeticError,
    zlib.error,
    struct.error,
)
_GZIP = b"\x1f\x8b"
_LONGEST_HEADER = 1_000_000  # bytes; a long name or a comment is read whole
_OPENED_IN_STEPS = 1 << 20


def tar_members(path: Path) -> Members:
    """Return the files and links of a tar; one that breaks off gives those before that, and says so.

    Raises one of TAR_ERRORS where it cannot be read at all.
    """
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    read_at: ReadAt = gzip_reader(path).read_at if packed else partial(_read_at, path)
    most = MOST_UNPACKED * path.stat().st_size if packed else None
    members: list[Member] = []
    no_files: list[str] = []
    failure = ""
    try:
        for info in _infos(read_at):
            if most is not None and info.offset_data + info.size > max(most, SMALL_ARCHIVE_BYTES):
                failure = f"It unpacks to more than {MOST_UNPACKED} times its size"
                break
            if len(members) >= MOST_MEMBERS:
                failure = f"It has more than {MOST_MEMBERS:,} members"
                break
            if info.issparse() or not (info.isreg() or info.issym() or info.islnk() or info.isdir()):
                no_files.append(info.name)
            elif not info.isdir():
                members.append(_member(info, read_at))
    except TAR_ERRORS as error:
        if not members:
            raise
        failure = f"It breaks off ({error})"
    return Members(members, tuple(no_files), failure=failure)


def _infos(read_at: ReadAt) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=cast("BinaryIO", _Range(read_at, 0, None)), mode="r:") as tar:
        while info := tar.next():
            cast("Any", tar).members.clear()  # it keeps all of them otherwise, at 2 kB each
            yield info
        end = read_at(tar.offset, tarfile.BLOCKSIZE)  # tarfile takes a broken header for the end too
        if end != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("a header is broken" if end else "without a mark of its end")


def _member(info: tarfile.TarInfo, read_at: ReadAt) -> Member:
    size, offset = info.size, info.offset_data
    link = ""
    if info.issym():
        link = info.linkname
    elif info.islnk():  # named from the root of the tar
        link = posixpath.relpath(f"/{info.linkname}", posixpath.dirname(f"/{info.name}"))

    def read(max_bytes: int) -> bytes:
        if size > max_bytes:
            raise too_large(size, max_bytes)
        try:
            data = read_at(offset, size)
        except TAR_ERRORS as error:
            raise UnreadableMediaError(f"The tar member cannot be read: {error}.") from error
        if len(data) < size:
            raise UnreadableMediaError("The tar ends before this file does.")
        return data

    def opened() -> BinaryIO:
        return io.BufferedReader(_Range(read_at, offset, size), _OPENED_IN_STEPS)

    return Member(info.name, size, read, opened, link=link)


def _read_at(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


class _Range(io.RawIOBase):
    """A range of bytes as a stream that can be sought; without a size it goes to the end."""

    def __init__(self, read_at: ReadAt, start: int, size: int | None) -> None:
        self._read_at, self._first, self._size = read_at, start, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._size is None:
            raise io.UnsupportedOperation("its end is not known")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size or 0}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if self._size is None and not 0 <= (size or 0) <= _LONGEST_HEADER:
            raise tarfile.ReadError("a header of it is too long")
        return super().read(-1 if size is None else size) or b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = len(view)
        if self._size is not None:
            wanted = max(0, min(wanted, self._size - self._at))
        data = self._read_at(self._first + self._at, wanted)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
