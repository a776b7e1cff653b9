"""Any range of a gzip stream without unpacking it to disk: its state is kept every few megabytes."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

_FED = 1 << 16
_PIECE = 1 << 20
_SPACING = 4 << 20
_STATES = 64  # of 40 kB: files that are asked for a little out of turn need one of the last
_WBITS = zlib.MAX_WBITS | 16


class _State(NamedTuple):
    """How far a stream is, in bytes unpacked and bytes taken of the file, and what goes on from there."""

    out: int
    taken: int
    machine: zlib._Decompress


def gzip_reader(path: Path) -> GzipReader:
    """Return the reader of a file; those of the last four files are kept with their states."""
    found = path.stat()
    return _kept(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _kept(path: Path, size: int, changed_ns: int) -> GzipReader:
    return GzipReader(path)


class GzipReader:
    """A gzip file, of several streams too, of which any range can be read, from any thread.

    Reading on costs what unpacking costs; going back less than 256 MB costs at most 4 MB more, going back
    further begins anew. Errors are OSError, EOFError where it is cut off, and zlib.error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._states: deque[_State] = deque(maxlen=_STATES)
        self._begin(_State(0, 0, zlib.decompressobj(_WBITS)))

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from an offset into what it unpacks to, or those that there are."""
        found = bytearray()
        with self._turn, self._path.open("rb") as file:
            if offset < self._start:
                self._go_back(offset)
            while len(found) < size:
                at = offset + len(found) - self._start
                if at < len(self._piece):
                    found += self._piece[at : at + size - len(found)]
                elif not self._advance(file):
                    break
        return bytes(found)

    def _begin(self, state: _State) -> None:
        self._start, self._piece = state.out, b""
        self._taken, self._machine = state.taken, state.machine.copy()

    def _go_back(self, offset: int) -> None:
        while self._states and self._states[-1].out > offset:
            self._states.pop()
        self._begin(self._states[-1] if self._states else _State(0, 0, zlib.decompressobj(_WBITS)))

    def _advance(self, file: IO[bytes]) -> bool:
        """Unpack the next piece; return False at the end."""
        file.seek(self._taken)
        data = file.read(_FED)
        if self._machine.eof:
            if not data:
                return False
            stream = data.lstrip(b"\0")  # zeros may pad a file, between its streams and at the end
            self._taken += len(data) - len(stream)
            if not stream:
                return True
            data, self._machine = stream, zlib.decompressobj(_WBITS)
        elif not data:
            raise EOFError("the gzip stream is cut off")
        self._start += len(self._piece)
        self._piece = self._machine.decompress(data, _PIECE)
        # At the end of a stream both of these may hold what follows it.
        left = self._machine.unused_data if self._machine.eof else self._machine.unconsumed_tail
        self._taken += len(data) - len(left)
        here = self._start + len(self._piece)
        if here - (self._states[-1].out if self._states else 0) >= _SPACING:
            self._states.append(_State(here, self._taken, self._machine.copy()))
        return True
