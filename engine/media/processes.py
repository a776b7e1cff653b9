"""Processes that decode files for this one: a hostile file ends one of them, and costs nothing else.

They start when they are first needed, stay until this process ends, and are shared by all that decode here.
On Windows there are none: files are decoded in this process, without limits of time and memory.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any

from engine.errors import MediaError, UnreadableMediaError
from engine.media.formats import format_of
from engine.media.parts import Limits, Part
from engine.media.worker import Answer, Ask, Request
from engine.progress import CancelledError
from engine.settings import PROJECT_DIR

# Not through multiprocessing, which runs the main module again: under Streamlit that is a page.
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(PROJECT_DIR)!r}); from engine.media import worker; worker.serve()"
)
_POLL_SECONDS = 0.05  # after so long a cancel is heard
_SPARE = 2  # processes beyond the cores: a visitor's picture does not wait for an ingest
_BY_THE_CLOCK = 4  # times its limit a file may take by the clock, on a machine that does much else
_START_SECONDS = 10.0
_TRIES = 2  # a process may have been ended by somebody else
Cancelled = Callable[[], bool]


def never() -> bool:
    """Tell that nobody cancels."""
    return False


class _DiedError(Exception):
    """A process ended without an answer."""

    def __init__(self, code: int | None, limits: Limits) -> None:
        self.timed_out = code is None or code == -signal.SIGPROF
        how = f"signal {-code}" if code and code < 0 else f"code {code}"
        self.reason = (
            f"It is not decoded after {limits.seconds:,.4g} s (setting GAPSCOPE_DECODE_SECONDS)."
            if self.timed_out
            else f"Its decoder ended without an answer ({how})."
        )


class _Process:
    """One process that decodes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin and self._process.stdout
        self._out, self._in = self._process.stdin, self._process.stdout

    @property
    def lives(self) -> bool:
        """Tell whether it can still be asked."""
        return self._process.poll() is None

    def send(self, message: Any, limits: Limits) -> None:
        """Send a message. Raises _DiedError."""
        try:
            pickle.dump(message, self._out, protocol=5)
            self._out.flush()
        except OSError as error:
            raise self._died(limits) from error

    def receive(self, limits: Limits, cancelled: Cancelled) -> Ask | Answer:
        """Wait for a message. Raises _DiedError, also where it takes too long, and CancelledError."""
        until = time.monotonic() + _START_SECONDS + _BY_THE_CLOCK * limits.seconds
        while not wait([self._in.fileno()], _POLL_SECONDS):
            if cancelled():
                raise CancelledError
            if time.monotonic() > until:
                self.end()
                raise _DiedError(None, limits)
        try:
            message: Ask | Answer = pickle.load(self._in)
        except (EOFError, pickle.UnpicklingError, OSError) as error:
            raise self._died(limits) from error
        return message

    def _died(self, limits: Limits) -> _DiedError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        self.end()
        return _DiedError(-signal.SIGKILL if code is None else code, limits)

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        for stream in (self._out, self._in):
            with suppress(OSError):  # what was not sent yet has nobody to go to
                stream.close()
        self._process.wait()


def _started() -> _Process:
    try:
        return _Process()
    except OSError as error:
        raise UnreadableMediaError(f"No process could be started to decode it: {error}.") from error


class Budget:
    """Memory that all decoders may take together; who asks for more than is left waits, in turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._taken = 0.0

    @contextmanager
    def take(self, needed_bytes: float, most_bytes: float, cancelled: Cancelled) -> Iterator[None]:
        """Hold so many bytes, or all there are where that is less. Raises CancelledError while it waits."""
        needed_bytes, turn = min(needed_bytes, most_bytes), object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self._taken + needed_bytes > most_bytes:
                    self._changed.wait(_POLL_SECONDS)
                    if cancelled():
                        raise CancelledError
                self._taken += needed_bytes
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= needed_bytes
                self._changed.notify_all()


class Processes:
    """So many processes that decode, at most; each is lent to one caller at a time."""

    def __init__(self, most: int) -> None:
        self._places = threading.Semaphore(most)
        self._idle: list[_Process] = []
        self._changing = threading.Lock()
        self._budget = Budget()

    def decode(self, mime: str, data: bytes, limits: Limits, cancelled: Cancelled) -> tuple[list[Part], str]:
        """Decode one file: its parts, and what libraries wrote on the way.

        Raises MediaError, also where it takes longer or more memory than the limits allow or its process
        ends, and CancelledError.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self._lent(cancelled) as process:
                    answer = self._asked(process, Request(mime, data, limits), cancelled)
            except _DiedError as died:
                if died.timed_out or not left:
                    raise UnreadableMediaError(died.reason) from died
                continue
            if isinstance(answer.parts, MediaError):
                raise answer.parts
            return answer.parts, answer.heard
        raise AssertionError("no try was made")

    def _asked(self, process: _Process, request: Request, cancelled: Cancelled) -> Answer:
        limits = request.limits
        process.send(request, limits)
        message = process.receive(limits, cancelled)
        if isinstance(message, Ask):
            with self._budget.take(message.needed_bytes, limits.memory_bytes, cancelled):
                process.send(None, limits)
                message = process.receive(limits, cancelled)
        assert isinstance(message, Answer)
        return message

    @contextmanager
    def _lent(self, cancelled: Cancelled) -> Iterator[_Process]:
        """Lend a process; one that was left in the middle is ended. Raises MediaError where none starts."""
        while not self._places.acquire(timeout=_POLL_SECONDS):
            if cancelled():
                raise CancelledError
        try:
            process = self._taken() or _started()
            try:
                yield process
            except BaseException:
                process.end()
                raise
            with self._changing:
                self._idle.append(process)
        finally:
            self._places.release()

    def _taken(self) -> _Process | None:
        """Return a process that waits, if one does."""
        with self._changing:
            while self._idle:
                process = self._idle.pop()
                if process.lives:
                    return process
                process.end()
        return None

    def close(self) -> None:
        """End the processes that wait; a later file starts others."""
        with self._changing:
            waiting, self._idle = self._idle, []
        for process in waiting:
            process.end()


PROCESSES = Processes((os.cpu_count() or 1) + _SPARE)
atexit.register(PROCESSES.close)


def decode_apart(
    mime: str, data: bytes, limits: Limits, cancelled: Cancelled = never
) -> tuple[list[Part], str]:
    """Decode one file where that can do least harm; results and errors as `Processes.decode`."""
    one = format_of(mime)
    if one.apart and os.name == "posix":
        return PROCESSES.decode(mime, data, limits, cancelled)
    return one.decode(data, limits), ""
