"""Rendering in several processes.

The processes of a pool are started once and kept for later calls, since starting one costs about
as much as rendering a hundred small pictures.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 2  # results a process that may wait to be collected


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent process, which stops handing out work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _pool(workers: int) -> ProcessPoolExecutor:
    """Return the pool with this many processes; it lives as long as this process."""
    method = "forkserver" if os.name == "posix" else "spawn"
    return ProcessPoolExecutor(workers, get_context(method), initializer=_ignore_interrupts)


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
