"""The load generator of the benchmarks, against a server whose times are known."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from .scripts import script

load = script("load")
served = script("served")
bench_server = script("bench_server")


async def answering(work: Callable[[], Awaitable[object]], status: int, n: int, rate: float) -> Any:
    """What a load of ``n`` requests meets at a server that works so long for each."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            await work()
            writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    server = await asyncio.start_server(connected, served.HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asked = load.message("GET", "/", served.HOST)
        requests = load.Requests(host=served.HOST, port=port, messages=[asked])
        return await load.open_loop(requests, rate=rate, n=n, seed=0)


def test_every_arrival_is_counted_with_its_latency() -> None:
    """The server sleeps for 20 ms, and 200 requests arrive in about a second."""
    found = asyncio.run(answering(lambda: asyncio.sleep(0.02), 200, n=200, rate=200))
    assert found.statuses == Counter({200: 200})
    assert len(found.latencies) == 200 and min(found.latencies) >= 0.02
    assert found.rate == pytest.approx(200, rel=0.3)
    assert found.n_errors == 0


def test_what_is_turned_away_has_no_latency_and_is_no_error() -> None:
    found = asyncio.run(answering(lambda: asyncio.sleep(0), 429, n=20, rate=1000))
    assert found.statuses == Counter({429: 20})
    assert found.latencies == [] and found.rate == 0 and found.n_errors == 0


def test_an_overdue_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is answered within the time that is left after the last arrival."""
    monkeypatch.setattr(load, "DRAIN_SECONDS", 0.05)
    found = asyncio.run(answering(lambda: asyncio.sleep(0.5), 200, n=5, rate=1000))
    assert found.statuses == Counter({load.NO_ANSWER: 5}) and found.n_errors == 5


@pytest.mark.parametrize(("share", "n"), [(0.5, 2), (0.99, 100), (0.999, 1000)])
def test_a_quantile_wants_answers_beyond_it(share: float, n: int) -> None:
    """One in a thousand is not seen in 999; the reference is numpy."""
    times = np.random.default_rng(0).exponential(1, n).tolist()
    assert load.Outcome(latencies=times).quantile(share) == np.quantile(times, share)
    assert load.Outcome(latencies=times[1:]).quantile(share) is None


def test_seconds_cut_a_slow_load_short_and_none_do_not() -> None:
    """By hand: 60 s at 100 a second are 6,000, at 1,000 a second more than were asked for."""
    n = bench_server.n_arrivals
    assert n(100.0, requests=20_000, seconds=60) == 6000
    assert n(1000.0, requests=20_000, seconds=60) == 20_000
    assert n(0.01, requests=20_000, seconds=60) == 1
    assert n(0.01, requests=20_000, seconds=0) == 20_000
