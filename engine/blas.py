"""One thread for products of matrices, where small ones are computed while the other core is busy.

Threads that wait for each other cost more than they bring as soon as a core is busy with something else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside: list[Any] = []  # the limits, set by the first who asks and lifted by the last


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in the whole process until the last of those who asked for it is done."""
    from threadpoolctl import threadpool_limits

    with _lock:
        _inside.append(_inside[0] if _inside else threadpool_limits(1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limits = _inside.pop()
            if not _inside:
                limits.restore_original_limits()
