"""Long work ends in every way it may, keeps its order in a lane, and holds nothing once it is over."""

import gc
import threading
import weakref

import pytest

from engine.background import UNEXPECTED, Background, Work
from engine.errors import QueryError
from engine.progress import CancelledError, Progress

SECONDS = 60  # nothing here waits so long where all is well


def raises(error: BaseException):
    def run(work: Work) -> None:
        raise error

    return run


def ended(background: Background, run, **how) -> Work:
    work = Work("some work")
    background.begin(work, run, **how)
    assert work.ended.wait(SECONDS)
    return work


@pytest.mark.parametrize("lane", [None, "one"])
def test_a_work_is_done_failed_or_cancelled(lane, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    background, how = Background(), {"lane": lane}
    done = ended(background, lambda work: "found", **how)
    assert (done.state, done.result, done.error, done.active) == ("done", "found", "", False)
    failed = ended(background, raises(QueryError("No such thing.")), **how)
    assert (failed.state, failed.result, failed.error) == ("failed", None, "No such thing.")
    assert ended(background, raises(CancelledError()), **how).state == "cancelled"
    fault = ended(background, raises(ZeroDivisionError()), **how)
    assert (fault.state, fault.error) == ("failed", UNEXPECTED)
    assert ended(background, lambda work: 1, **how).state == "done"  # the lane goes on after a fault


def test_a_lane_keeps_the_order_and_others_do_not_wait_for_it():
    background, go, order = Background(), threading.Event(), []
    works = [Work(str(n)) for n in range(5)]

    def run(work: Work) -> None:
        go.wait(SECONDS)
        order.append(work.title)

    for work in works:
        background.begin(work, run, lane="a")
    assert ended(background, lambda work: "at once").result == "at once"
    assert ended(background, lambda work: "beside", lane="b").result == "beside"
    assert background.busy("a") is works[0] and background.busy("c") is None
    works[2].cancel()
    assert works[2].state == "cancelled" and works[2].ended.is_set()  # it never begins
    go.set()
    assert works[-1].ended.wait(SECONDS) and order == ["0", "1", "3", "4"]


def test_a_cancel_is_heard_or_is_at_once_and_what_comes_late_is_dropped():
    background, begun, go = Background(), threading.Event(), threading.Event()

    def deaf(work: Work) -> str:
        work.hear(Progress.of_share("Working", 0.5))
        begun.set()
        go.wait(SECONDS)
        return "too late"

    work = Work("deaf")
    background.begin(work, deaf)
    assert begun.wait(SECONDS) and (work.state, work.progress.share) == ("running", 0.5)
    work.cancel()
    assert work.stop.is_set() and work.active and not work.ended.is_set()  # it was asked, and has not heard
    work.cancel(at_once=True)
    assert work.state == "cancelled" and work.ended.is_set()
    go.set()
    assert work.result is None and work.state == "cancelled"


def test_what_a_work_held_is_free_once_it_is_over():
    class Large:
        pass

    background, large = Background(), Large()
    held = weakref.ref(large)
    work = Work("large")
    background.begin(work, lambda work, kept=large: None, lane="a")
    assert work.ended.wait(SECONDS) and ended(background, lambda work: None, lane="a").state == "done"
    del large, work
    for _ in range(100):
        gc.collect()
        if held() is None:
            break
        threading.Event().wait(0.05)
    assert held() is None
