"""Reads the pictures inside Parquet files when their turn comes, a stretch of rows in memory at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from engine.datasets.entries import Entry
from engine.datasets.parquet import chunk_of, leaf_of, opened
from engine.errors import UnreadableMediaError
from engine.media.sources import too_large

if TYPE_CHECKING:
    import pyarrow as pa

_GROUPS = 2  # that are being read at a time: threads are at the end of one and at the beginning of the next
_KEPT = 2  # stretches of each
_STRETCH_BYTES = 16_000_000  # a row group may be a whole file of gigabytes


class Stretches:
    """Reads pictures of many Parquet files, whichever thread asks, in the order of the rows or nearly so.

    In memory are four stretches of 16 MB (or one row, where that is more), whatever the size of files and row
    groups; asking for a row further back than that begins its row group again.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._groups: OrderedDict[tuple[int, str, int], _Group] = OrderedDict()
        self._gone: deque[int] = deque()

    def read(self, file: int, entry: Entry, leaf: str, group: int, row: int, max_bytes: int) -> bytes:
        """Return the bytes in a row, from 0, of a row group of a file, which has a number of its own.

        Raises TooLargeError beyond the limit, and UnreadableMediaError.
        """
        with self._turn:
            value = self._value((file, leaf, group), entry, row)
        self._tidy()
        if value is None or not value.is_valid:
            raise UnreadableMediaError("The row of the Parquet file has no picture.")
        buffer = value.as_buffer()
        if buffer.size > max_bytes:
            raise too_large(buffer.size, max_bytes)
        return bytes(buffer)

    def forget(self, file: int) -> None:
        """Let go of a file that nobody asks for any more.

        The garbage collector calls this, at any time and so perhaps in the midst of a `read`.
        """
        self._gone.append(file)
        self._tidy()

    def _tidy(self) -> None:
        if self._gone and self._turn.acquire(blocking=False):
            try:
                while self._gone:
                    file = self._gone.popleft()
                    for key in [key for key in self._groups if key[0] == file]:
                        self._groups.pop(key).close()
            finally:
                self._turn.release()

    def _value(self, key: tuple[int, str, int], entry: Entry, row: int) -> pa.BinaryScalar | None:
        found = self._groups.pop(key, None)
        if found is not None and row < found.start:
            found.close()
            found = None
        found = found or _Group(entry, *key[1:])
        try:
            value = found.value(row)
        except UnreadableMediaError:
            found.close()
            raise
        self._groups[key] = found
        while len(self._groups) > _GROUPS:
            self._groups.popitem(last=False)[1].close()
        return value


class _Group:
    """A row group that is read from its beginning to its end."""

    def __init__(self, entry: Entry, leaf: str, group: int) -> None:
        self._kept: deque[tuple[int, pa.Array]] = deque(maxlen=_KEPT)
        self._next = 0
        self._stretches = _stretches(entry, leaf, group)

    @property
    def start(self) -> int:
        """Return the first row that can still be had."""
        return self._kept[0][0] if self._kept else 0

    def value(self, row: int) -> pa.BinaryScalar | None:
        """Return the bytes of a row of the group, from 0; None where the group ends before it."""
        while row >= self._next:
            stretch = next(self._stretches, None)
            if stretch is None:
                return None
            self._kept.append((self._next, stretch))
            self._next += len(stretch)
        return next(stretch[row - start] for start, stretch in reversed(self._kept) if row >= start)

    def close(self) -> None:
        """Close the file."""
        self._stretches.close()


def _stretches(entry: Entry, leaf: str, group: int) -> Generator[pa.Array]:
    with opened(entry) as file:
        chunk, rows = chunk_of(file.metadata, group, leaf), file.metadata.row_group(group).num_rows
        size = max(1, chunk.total_uncompressed_size)
        # Of a dictionary, all rows may hold the one picture that is in it.
        largest = size if chunk.has_dictionary_page else size / rows
        at_once = max(1, min(rows, int(_STRETCH_BYTES / largest)))
        for batch in file.iter_batches(at_once, [group], [leaf], use_threads=False):
            yield leaf_of(batch.column(0))
