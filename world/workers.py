"""Rendering in several processes.

The processes of a pool are started once and kept for later calls, since starting one costs about
as much as rendering a hundred small pictures.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context, parent_process
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 2  # results a process that may wait to be collected


def _begin() -> None:
    """What a worker does first.

    Ctrl-C is left to the parent process, which stops handing out work. A parent that was killed
    hands out nothing either, and its workers would wait for ever: they end with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(0)


@cache
def _pool(workers: int) -> ProcessPoolExecutor:
    """Return the pool with this many processes; it lives as long as this process."""
    method = "forkserver" if os.name == "posix" else "spawn"
    return ProcessPoolExecutor(workers, get_context(method), initializer=_begin)


def map_in_order(function: Callable[[A], R], items: Iterable[A], workers: int) -> Iterator[R]:
    """Apply a picklable function in other processes, results in the order of the items.

    Only a few results are ever waiting, however slowly they are collected.

    Args:
        function: Module-level, or a partial of one that is.
        items: Its arguments.
        workers: Processes; with 0 the work is done in this one.
    """
    if workers == 0:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(_pool(workers).submit(function, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        _pool.cache_clear()  # the next call starts a new one
        raise
    finally:
        for future in waiting:
            future.cancel()
