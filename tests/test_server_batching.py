"""Batches form by themselves, are fair and bounded, and one bad item harms no other."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from anybind.errors import Overloaded
from anybind.server.batching import Batcher


class Worker:
    """Squares numbers in batches, each of which waits until it is let through."""

    def __init__(self, *, open: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        if open:
            self.gate.set()

    def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.gate.wait(10)
        if 13 in items:
            raise ValueError("13 cannot be squared")
        return [item * item for item in items]


def batcher(worker: Worker, *, max_batch: int = 4, max_waiting: int = 100) -> Batcher[int, int]:
    return Batcher(
        worker,
        ThreadPoolExecutor(1),
        max_batch=max_batch,
        max_waiting=max_waiting,
        name="squaring",
    )


async def until_waiting(batches: Batcher[int, int], n: int) -> None:
    while batches.n_waiting < n:
        await asyncio.sleep(0.001)


def test_a_lone_item_starts_at_once_and_those_that_come_meanwhile_go_together() -> None:
    """The reference is the squares."""

    async def run() -> list[list[int]]:
        batches = batcher(worker)
        first = asyncio.ensure_future(batches.submit([1]))
        while not worker.batches:
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(batches.submit([i])) for i in (2, 3, 4)]
        await until_waiting(batches, 3)
        worker.gate.set()
        return await asyncio.gather(first, *rest)

    worker = Worker(open=False)
    assert asyncio.run(run()) == [[1], [4], [9], [16]]
    assert worker.batches == [[1], [2, 3, 4]]


def test_those_that_ask_in_one_turn_of_the_loop_go_together() -> None:
    """As searches do whose texts were encoded together; one that leaves meanwhile is left out."""

    async def run() -> list[list[int] | BaseException]:
        batches = batcher(worker)
        asked = [asyncio.ensure_future(batches.submit([i])) for i in (1, 2, 3)]
        await asyncio.sleep(0)  # they have asked, and nothing has begun
        asked[0].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    worker = Worker()
    left, *others = asyncio.run(run())
    assert isinstance(left, asyncio.CancelledError) and others == [[4], [9]]
    assert worker.batches in ([[1, 2, 3]], [[2, 3]])  # whichever came first, the turn or its end

    async def nobody() -> list[int]:
        batches = batcher(worker)
        alone = asyncio.ensure_future(batches.submit([7]))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        return await batches.submit([8])

    assert asyncio.run(nobody()) == [64]


def test_results_keep_the_order_of_their_items_over_several_batches() -> None:
    worker = Worker()
    numbers = list(range(11))

    async def run() -> list[int]:
        return await batcher(worker).submit(numbers)

    assert asyncio.run(run()) == [n * n for n in numbers]
    assert max(map(len, worker.batches)) == 4
    assert asyncio.run(batcher(worker).submit([])) == []


def test_a_request_of_many_items_does_not_hold_up_the_others() -> None:
    """Items take turns: those of the small request are in the first batch that has room."""

    async def run() -> None:
        batches = batcher(worker)
        blocked = asyncio.ensure_future(batches.submit([0]))
        while not worker.batches:
            await asyncio.sleep(0.001)
        many = asyncio.ensure_future(batches.submit(list(range(100, 112))))
        few = asyncio.ensure_future(batches.submit([1, 2]))
        await until_waiting(batches, 14)
        worker.gate.set()
        await asyncio.gather(blocked, many, few)

    worker = Worker(open=False)
    asyncio.run(run())
    assert worker.batches[:2] == [[0], [100, 1, 101, 2]]


def test_an_item_that_fails_fails_alone() -> None:
    async def run() -> list[object]:
        batches = batcher(worker)
        blocked = asyncio.ensure_future(batches.submit([0]))
        while not worker.batches:
            await asyncio.sleep(0.001)
        waiting = [asyncio.ensure_future(batches.submit([i])) for i in (2, 13, 3)]
        await until_waiting(batches, 3)
        worker.gate.set()
        return list(await asyncio.gather(blocked, *waiting, return_exceptions=True))

    worker = Worker(open=False)
    first, two, failed, three = asyncio.run(run())
    assert (first, two, three) == ([0], [4], [9])
    assert isinstance(failed, ValueError)


def test_one_bad_item_leaves_its_neighbours_in_batches() -> None:
    """Halves are tried: of sixteen, fifteen are done in four further batches, not one by one."""
    seen: list[list[int]] = []

    def work(items: list[int]) -> list[int]:
        seen.append(items)
        if 5 in items:
            raise ValueError
        return items

    async def run() -> list[object]:
        with ThreadPoolExecutor(1) as threads:
            batches = Batcher(work, threads, max_batch=16, max_waiting=64, name="it")
            some = [asyncio.ensure_future(batches.submit([i])) for i in range(16)]
            return list(await asyncio.gather(*some, return_exceptions=True))

    outcomes = asyncio.run(run())
    assert isinstance(outcomes.pop(5), ValueError)
    assert outcomes == [[i] for i in range(16) if i != 5]
    assert len([items for items in seen if 5 not in items]) <= 5


def test_more_than_may_wait_is_refused_and_what_is_cancelled_makes_room() -> None:
    async def run() -> None:
        batches = batcher(worker, max_waiting=3)
        blocked = asyncio.ensure_future(batches.submit([0]))
        while not worker.batches:
            await asyncio.sleep(0.001)
        waiting = asyncio.ensure_future(batches.submit([1, 2, 3]))
        await until_waiting(batches, 3)
        with pytest.raises(Overloaded, match="3 inputs wait for squaring and 3 may"):
            await batches.submit([4])
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert batches.n_waiting == 0
        later = asyncio.ensure_future(batches.submit([5]))
        await until_waiting(batches, 1)
        worker.gate.set()
        assert await later == [25]
        assert await blocked == [0]

    worker = Worker(open=False)
    asyncio.run(run())
    assert worker.batches == [[0], [5]]


def test_a_request_larger_than_what_may_wait_is_taken_by_an_idle_worker() -> None:
    """It could never be done otherwise."""
    worker = Worker()
    assert asyncio.run(batcher(worker, max_waiting=2).submit([1, 2, 3])) == [1, 4, 9]
