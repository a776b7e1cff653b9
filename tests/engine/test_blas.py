"""One thread for matrices while anybody wants it, and as many as before when the last one is done."""

from __future__ import annotations

import threading

import numpy as np
from threadpoolctl import threadpool_info

from engine.blas import one_thread


def threads() -> set[int]:
    assert np.ones((2, 2)) @ np.ones(2) is not None  # NumPy's library is loaded
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_it_is_one_while_any_of_two_computes_and_as_before_afterwards():
    before, inside, go = threads(), threading.Event(), threading.Event()

    def first() -> None:
        with one_thread():
            inside.set()
            go.wait(60)

    other = threading.Thread(target=first)
    other.start()
    assert inside.wait(60)
    with one_thread():
        go.set()
        other.join(60)
        assert threads() == {1}  # the first to come was the first to go
    assert threads() == before
