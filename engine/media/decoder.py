"""Reads and decodes many files at once, within limits, in threads; prepares and stores nothing.

What goes into decoding and comes out of it can be pickled, so that a worker process can take the place of
`parts`: a hostile file would end that process, and not the app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from engine.errors import MediaError
from engine.media.decode import Probe, decode, probe
from engine.media.parts import Limits
from engine.media.sources import Source
from engine.types import MediaItem

Given = TypeVar("Given")
Made = TypeVar("Made")


class Decoder:
    """A number of threads that read, decode, and do what must follow before the next file is decoded.

    Open it with `with`. Results come in the order of the inputs, with a MediaError in the place of what
    failed, so that one file's error stays its own.
    """

    def __init__(self, limits: Limits, *, threads: int) -> None:
        self.limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def parts(self, probed: Probe) -> list[MediaItem]:
        """Decode one file, in the calling thread; errors as `decode.decode`."""
        return decode(probed, self.limits)

    def probe(self, sources: Iterable[Source]) -> Iterator[Probe | MediaError]:
        """Read and recognise files."""
        return self.each(probe, sources)

    def decode(
        self, probes: Iterable[Probe], then: Callable[[Probe, list[MediaItem]], Made]
    ) -> Iterator[Made | MediaError]:
        """Decode files, and yield what `then` makes of their parts.

        It runs at once in the same thread: only as many decoded files are in memory as there are threads.
        """
        return self.each(lambda probed: then(probed, self.parts(probed)), probes)

    def each(self, step: Callable[[Given], Made], inputs: Iterable[Given]) -> Iterator[Made | MediaError]:
        """Take a step for every input, such as one that reads a file and asks for its `parts`."""

        def tried(value: Given) -> Made | MediaError:
            try:
                return step(value)
            except MediaError as error:
                return error

        return self._threads.map(tried, inputs)
