"""Dynamic batching: whatever waits when a worker becomes free is done together.

Nothing waits for company: a lone item starts at once, and the batches grow with the load. Items of
different requests take turns, so that one request of many items does not hold up the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import Overloaded

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Ticket(Generic[Item, Result]):
    """The items of one call, and what became of them."""

    items: Sequence[Item]
    future: "asyncio.Future[list[Result]]"
    taken: int = 0  # items that went into batches
    results: dict[int, Result] = field(default_factory=dict[int, Result])


class Batcher(Generic[Item, Result]):
    """One kind of work, done in batches in a worker thread. For one event loop.

    Args:
        work: Results for a batch of items, in their order; called in a thread of ``executor``,
            never twice at the same moment.
        executor: Where it runs.
        max_batch: Items at once.
        max_waiting: Items that may wait; more are refused.
        name: For messages.
        observe: Told the size of each batch.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        executor: Executor,
        *,
        max_batch: int,
        max_waiting: int,
        name: str,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._work = work
        self._executor = executor
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._name = name
        self._observe = observe
        self._waiting: deque[_Ticket[Item, Result]] = deque()  # those with items left
        self._n_waiting = 0
        self._busy = False

    @property
    def n_waiting(self) -> int:
        """Items that wait for a batch."""
        return self._n_waiting

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Results of items, in their order.

        If the caller is cancelled, those that wait are dropped.

        Raises:
            Overloaded: More items wait than may.
            Exception: What ``work`` raised for one of the items.
        """
        if not items:
            return []
        if self._n_waiting + len(items) > max(self._max_waiting, len(items)):
            raise Overloaded(
                f"{self._n_waiting} inputs wait for {self._name} and {self._max_waiting} may; "
                "try again soon"
            )
        ticket = _Ticket[Item, Result](items, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._n_waiting += len(items)
        self._begin()
        try:
            return await ticket.future
        finally:
            if ticket.taken < len(items):  # cancelled, or one of its items failed
                self._drop(ticket)

    def _begin(self) -> None:
        """Start a batch, if the worker is free and something waits: once whoever else is on the
        point of asking has asked, as all are whose texts were encoded together."""
        if not self._busy and self._waiting:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        batch = self._take()
        if not batch:  # whoever asked is gone
            self._busy = False
            return
        items = [ticket.items[place] for ticket, place in batch]
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, self._outcomes, items)
        running.add_done_callback(lambda done: self._finish(batch, done))

    def _take(self) -> list[tuple[_Ticket[Item, Result], int]]:
        """The next batch: an item of each ticket in turn, the oldest first."""
        batch: list[tuple[_Ticket[Item, Result], int]] = []
        while self._waiting and len(batch) < self._max_batch:
            ticket = self._waiting.popleft()
            batch.append((ticket, ticket.taken))
            ticket.taken += 1
            if ticket.taken < len(ticket.items):
                self._waiting.append(ticket)
        self._n_waiting -= len(batch)
        if batch:
            self._observe(len(batch))
        return batch

    def _outcomes(self, items: list[Item]) -> list[Result | Exception]:
        """What each item gave. If a batch fails, its halves are tried, and theirs, so that one item
        that cannot be done neither fails its neighbours nor leaves each of them alone."""
        try:
            return list(self._work(items))
        except Exception as error:
            if len(items) == 1:
                return [error]
            half = len(items) // 2
            return self._outcomes(items[:half]) + self._outcomes(items[half:])

    def _finish(
        self,
        batch: list[tuple[_Ticket[Item, Result], int]],
        done: "asyncio.Future[list[Result | Exception]]",
    ) -> None:
        self._busy = False
        if done.cancelled():
            for ticket, _ in batch:
                ticket.future.cancel()
            return
        for (ticket, place), outcome in zip(batch, done.result(), strict=True):
            if ticket.future.done():
                continue
            if isinstance(outcome, Exception):
                ticket.future.set_exception(outcome)
                continue
            ticket.results[place] = outcome
            if len(ticket.results) == len(ticket.items):
                ticket.future.set_result([ticket.results[i] for i in range(len(ticket.items))])
        self._begin()

    def _drop(self, ticket: _Ticket[Item, Result]) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._n_waiting -= len(ticket.items) - ticket.taken
