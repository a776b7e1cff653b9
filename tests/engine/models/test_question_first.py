"""Proves that questions overtake documents, equals keep their order, and errors give the turn back."""

import threading
import time

import pytest

from engine.models.question_first import Turns


class Line:
    """Threads that take turns in a known order of arrival and write down the order of being served."""

    def __init__(self):
        self.turns, self.served, self.threads = Turns(), [], []

    def join(self, name, *, gate=None):
        """Let somebody ("q1" a question, "d1" documents) come and wait; returns once it waits or holds."""
        waiting = self.waiting()
        take = self.turns.question if name.startswith("q") else self.turns.documents

        def run():
            with take():
                self.served.append(name)
                if gate:
                    gate.wait(60)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        until(lambda: name in self.served or self.waiting() > waiting)

    def waiting(self):
        return len(self.turns._questions) + len(self.turns._documents)

    def finish(self):
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.served


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("arrivals", "served"),
    [
        (["d1", "d2", "q1"], ["q1", "d1", "d2"]),
        (["d1", "q1", "d2", "q2"], ["q1", "q2", "d1", "d2"]),
        (["q1", "q2", "q3"], ["q1", "q2", "q3"]),
        (["d1", "d2", "d3"], ["d1", "d2", "d3"]),
    ],
)
def test_questions_go_first_and_equals_keep_their_order(arrivals, served):
    line, gate = Line(), threading.Event()
    line.join("d0", gate=gate)
    for name in arrivals:
        line.join(name)
    assert line.served == ["d0"]
    gate.set()
    assert line.finish() == ["d0", *served]


def test_a_question_waits_for_the_running_batch_and_no_other():
    turns, batches, seen, stop = Turns(), [], [], threading.Event()

    def ingest():
        while not stop.is_set():
            with turns.documents():
                batches.append(1)
                time.sleep(0.005)

    ingests = [threading.Thread(target=ingest, daemon=True) for _ in range(8)]
    for thread in ingests:
        thread.start()
    for _ in range(30):
        until(lambda: turns._held)
        before = len(batches)
        with turns.question():
            seen.append(len(batches) - before)
    stop.set()
    for thread in ingests:
        thread.join(60)
    # Two and not eight: a batch may still be uncounted when we count, and another begin before we ask.
    assert max(seen) <= 2, seen


@pytest.mark.parametrize("kind", ["question", "documents"])
def test_one_holder_at_a_time(kind):
    turns, holders, most = Turns(), [], []

    def work():
        for _ in range(20):
            with getattr(turns, kind)():
                holders.append(1)
                most.append(len(holders))
                time.sleep(0.0002)
                holders.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(most) == 1
    assert len(most) == 120


@pytest.mark.parametrize("kind", ["question", "documents"])
def test_an_exception_gives_the_turn_back(kind):
    turns = Turns()
    with pytest.raises(KeyError, match="inside"), getattr(turns, kind)():
        raise KeyError("inside")
    with turns.question(), pytest.raises(ZeroDivisionError):
        1 / 0  # noqa: B018
    assert not turns._held
    assert not turns._questions
    assert not turns._documents


def test_somebody_interrupted_while_waiting_leaves_the_line(monkeypatch):
    line, gate = Line(), threading.Event()
    line.join("d0", gate=gate)
    with monkeypatch.context() as patch:
        patch.setattr(
            line.turns._changed, "wait", lambda timeout=None: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt), line.turns.question():
            raise AssertionError("the turn is another's")
    line.join("d1")
    gate.set()
    assert line.finish() == ["d0", "d1"]
