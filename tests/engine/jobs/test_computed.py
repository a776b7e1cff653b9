"""What takes long on the map: once for everybody, one at a time, with cancel; errors and results are kept."""

from __future__ import annotations

import gc
import threading
import weakref

from engine.background import UNEXPECTED
from engine.errors import QueryError
from engine.jobs.computed import Computation, Computations
from engine.progress import CancelledError

SECONDS = 120  # that a thread may take on a busy machine; nothing here waits so long where all is well


class Held:
    """A computation that goes on until it is let go, and counts how often it was begun."""

    def __init__(self, result: object = "found", *, hears: bool = False) -> None:
        self.result, self.hears, self.begun = result, hears, 0
        self.running, self.go = threading.Event(), threading.Event()

    def __call__(self, on_progress, cancelled) -> object:
        self.begun += 1
        self.running.set()
        on_progress(0.5)
        while not self.go.wait(0.01):
            if self.hears and cancelled():
                raise CancelledError
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def task(compute, key: object = "a", *, quick: bool = False) -> Computation:
    return Computation(key, f"Task {key}", 10, quick, compute)


def at_once(result: object) -> Held:
    held = Held(result)
    held.go.set()
    return held


def ended(work):
    assert work.ended.wait(SECONDS)
    return work


def test_two_visitors_share_one_work_and_its_result():
    works, held = Computations(), Held()
    one = works.begin(task(held))
    assert held.running.wait(SECONDS) and (one.state, one.progress.share) == ("running", 0.5)
    assert works.begin(task(held)) is one is works.find(task(held))
    held.go.set()
    assert (ended(one).state, one.result) == ("done", "found")
    assert works.begin(task(held)) is one and held.begun == 1
    assert works.find(task(held, "b")) is None


def test_one_is_computed_at_a_time_and_a_quick_one_does_not_wait():
    works, first, second = Computations(), Held(), Held()
    one, other = works.begin(task(first)), None
    assert first.running.wait(SECONDS)
    other = works.begin(task(second, "b"))
    assert ended(works.begin(task(at_once("at once"), "c", quick=True))).result == "at once"
    assert (other.state, second.begun, works.busy()) == ("waiting", 0, one)
    first.go.set()
    assert second.running.wait(SECONDS) and one.state == "done"
    second.go.set()
    assert ended(other).state == "done"


def test_a_cancel_is_at_once_and_what_comes_later_is_dropped():
    works, deaf = Computations(), Held("too late")
    work = works.begin(task(deaf))
    assert deaf.running.wait(SECONDS)
    work.cancel(at_once=True)
    assert work.ended.is_set() and work.state == "cancelled"
    again = works.begin(task(at_once("new")))
    assert again is not work and works.busy() is work  # its thread holds the turn until it returns
    deaf.go.set()
    assert ended(again).result == "new"
    assert (work.state, work.result) == ("cancelled", None)


def test_a_cancel_is_heard_by_what_listens_and_by_what_waits():
    works, first, second = Computations(), Held(hears=True), Held()
    one = works.begin(task(first))
    assert first.running.wait(SECONDS)
    waiting = works.begin(task(second, "b"))
    waiting.cancel(at_once=True)
    one.cancel(at_once=True)
    assert (one.state, waiting.state) == ("cancelled", "cancelled")
    assert ended(works.begin(task(at_once(1), "c"))).result == 1  # the turn came free by the cancel
    assert second.begun == 0


def test_an_error_is_kept_in_its_own_words_until_it_is_tried_again(monkeypatch):
    told = []
    monkeypatch.setattr("threading.excepthook", lambda args: told.append(args.exc_type))
    works = Computations()
    named = ended(works.begin(task(at_once(QueryError("No such thing.")))))
    assert (named.state, named.error) == ("failed", "No such thing.")
    odd = ended(works.begin(task(at_once(ZeroDivisionError("1 / 0")), "b")))
    assert (odd.state, odd.error) == ("failed", UNEXPECTED)
    assert works.find(task(None)) is named
    again = ended(works.begin(task(at_once("now"))))
    assert again is not named and again.result == "now" and works.find(task(None)) is again
    assert told == [ZeroDivisionError]  # the log has it


def test_the_oldest_results_are_forgotten_and_never_what_is_under_way():
    works, held = Computations(kept=2), Held()
    under_way = works.begin(task(held, "long"))
    for key in "abc":
        ended(works.begin(task(at_once(key), key, quick=True)))
        works.find(task(None, "a"))  # asked for again and again
    works.put(task(None, "d"), "given")
    assert [key for key in "abcd" if works.find(task(None, key))] == ["a", "d"]
    assert works.find(task(None, "d")).result == "given"
    assert works.find(task(None, "long")) is under_way
    held.go.set()
    assert ended(under_way).state == "done"


def test_the_computation_is_not_kept_with_its_result():
    works, held = Computations(), at_once("found")
    watched = weakref.ref(held)
    ended(works.begin(task(held)))
    for thread in threading.enumerate():
        if thread.name == "Computation a":
            thread.join(SECONDS)
    del held
    gc.collect()
    assert watched() is None and works.find(task(None)).result == "found"
