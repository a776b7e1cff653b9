"""Reads and decodes many files at once, within limits; prepares and stores nothing.

Threads of this process read, and prepare what was decoded; what a stranger made is decoded by `processes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from engine.errors import MediaError, UnknownFormatError
from engine.media.decode import Probe, items_of, probe
from engine.media.formats import format_of, sniff
from engine.media.parts import Limits
from engine.media.processes import decode_apart, never
from engine.media.sources import Source
from engine.types import MediaItem

Given = TypeVar("Given")
Made = TypeVar("Made")


def parts_of(probed: Probe, limits: Limits, cancelled: Callable[[], bool] = never) -> list[MediaItem]:
    """Decode a recognised file into an item per part, as `decode.items_of`. Raises CancelledError too."""
    parts, heard = decode_apart(probed.mime, probed.data, limits, cancelled)
    return items_of(probed, parts, heard)


def open_picture(data: bytes, limits: Limits, cancelled: Callable[[], bool] = never) -> Any:
    """Return a picture that somebody gave, upright in RGB. Raises MediaError where the bytes are none."""
    mime = sniff(data, "picture")
    if format_of(mime).modality != "image":
        raise UnknownFormatError("This is text, not a picture; type it as words instead.")
    content = decode_apart(mime, data, limits, cancelled)[0][0].content
    if isinstance(content, MediaError):
        raise content
    return content


class Decoder:
    """A number of threads that read, decode, and do what must follow before the next file is decoded.

    Open it with `with`. Results come in the order of the inputs, with a MediaError in the place of what
    failed, so that one file's error stays its own. Once `cancelled` says so, decoding raises CancelledError.
    """

    def __init__(self, limits: Limits, *, threads: int, cancelled: Callable[[], bool] = never) -> None:
        self.limits = limits
        self._cancelled = cancelled
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def parts(self, probed: Probe) -> list[MediaItem]:
        """Decode one file; errors as `parts_of`."""
        return parts_of(probed, self.limits, self._cancelled)

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
