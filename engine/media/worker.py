"""What a process does that decodes files for another one: one at a time, within limits, until nobody asks.

It imports this room and nothing heavy. `processes` starts it and speaks with it, in pickles: it runs as the
same user, so that its answers can do no harm that it could not do itself.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from engine.errors import MediaError
from engine.media.formats import format_of
from engine.media.parts import Limits, Part

FREE_BYTES = 32_000_000  # what a decoder takes without asking, for it costs more to ask than that
_HEARD_BYTES = 20_000
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Request:
    """One file to decode."""

    mime: str
    data: bytes
    limits: Limits


@dataclass(frozen=True)
class Ask:
    """A decoder that waits for memory, in bytes; it goes on when any answer comes."""

    needed_bytes: int


@dataclass(frozen=True)
class Answer:
    """What came of a file: its parts, or why there are none; and what libraries wrote on the way."""

    parts: list[Part] | MediaError
    heard: str


def serve() -> None:
    """Answer requests that come on standard input, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    ear = _listen()
    os.dup2(2, 1)  # no library shall write between the answers
    while True:
        try:
            request: Request = pickle.load(requests)
        except EOFError:
            return
        _send(answers, _answered(request, requests, answers, ear))


def _listen() -> int:
    """Let what libraries write to standard error go into a pipe; Python's own errors stay where they were."""
    ear, mouth = os.pipe()
    for end in (ear, mouth):
        os.set_blocking(end, False)  # what is too much is lost, and nobody waits
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(mouth, 2)
    return ear


def _answered(request: Request, requests: IO[bytes], answers: IO[bytes], ear: int) -> Answer:
    def reserve(needed_bytes: int) -> None:
        if needed_bytes > FREE_BYTES:
            _send(answers, Ask(needed_bytes))
            pickle.load(requests)

    limits = request.limits
    _limit_time(limits.seconds)
    _limit_memory(limits.memory_bytes)
    parts: list[Part] | MediaError
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            parts = format_of(request.mime).decode(request.data, replace(limits, reserve=reserve))
        except MediaError as error:
            parts = error.with_traceback(None)  # which would hold all that was decoded
            parts.__cause__ = parts.__context__ = None
    _limit_time(math.inf)
    _limit_memory(math.inf)
    return Answer(parts, "\n".join([*_heard(ear), *(str(one.message) for one in warned)])[:_HEARD_BYTES])


def _heard(ear: int) -> list[str]:
    try:
        return os.read(ear, _HEARD_BYTES).decode("utf-8", "replace").splitlines()
    except BlockingIOError:
        return []


def _send(answers: IO[bytes], message: Any) -> None:
    pickle.dump(message, answers, protocol=5)
    answers.flush()


def _limit_time(seconds: float) -> None:
    """Let this process end by itself after so many seconds of processor time, wherever it is then."""
    signal.setitimer(signal.ITIMER_PROF, seconds if seconds < math.inf else 0)


def _limit_memory(more_bytes: float) -> None:
    """Let this process take no more memory than so much beyond what it has; on Linux only."""
    if not _STATM.exists():
        return
    import resource

    soft, hard = resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_DATA)[1]
    if more_bytes < math.inf:
        taken = int(_STATM.read_text().split()[5]) * resource.getpagesize()
        soft = taken + int(more_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else hard, hard))
