"""Who may use a model next: questions go before documents, one holder at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Turns on one model; safe to call from several threads.

    One holder at a time. A question that waits goes before all documents that wait, so that a search
    waits for one running batch and for the questions before it; among equals the first to come is the
    first served. Questions are short and come from people, so nothing keeps documents from waiting for
    as long as new questions arrive without a gap. A holder that asks for a second turn waits for itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: deque[object] = deque()
        self._documents: deque[object] = deque()
        self._held = False

    @contextmanager
    def question(self) -> Iterator[None]:
        """Hold the model for a question; an exception inside gives the turn back too."""
        with self._turn(self._questions):
            yield

    @contextmanager
    def documents(self) -> Iterator[None]:
        """Hold the model for one batch of documents, to be let go before the next batch."""
        with self._turn(self._documents):
            yield

    @contextmanager
    def _turn(self, line: deque[object]) -> Iterator[None]:
        ticket = object()
        with self._changed:
            line.append(ticket)
            try:
                self._changed.wait_for(lambda: not self._held and self._next() is ticket)
                self._held = True
            finally:  # also for somebody who is interrupted while waiting, and was perhaps the next
                line.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def _next(self) -> object:
        return (self._questions or self._documents)[0]
